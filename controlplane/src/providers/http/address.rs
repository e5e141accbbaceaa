//! Addresses: what may be one, where a path leads, and what of one may be shown.
//!
//! Owns the rules. No word of a refusal quotes an address: a query may be a secret, and so may what stands before an `@`.

use ureq::http::Uri;

/// `text` as an address that stands for itself.
pub(super) fn absolute(text: &str) -> Result<Uri, &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or(
        "is no address like http://HOST/PATH: write it in full, or give the store a name and a `url` under `providers:`",
    )?;
    if rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(
            "holds a user or a password: give the store a name, `url`, `username` and `password` under `providers:`",
        );
    }
    let address = parsed(text)?;
    let authority = address.authority().ok_or(UNREADABLE)?;
    if authority.host().is_empty() {
        return Err("names no host");
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has a port that cannot be: it is a number from 1 to 65535");
    }
    Ok(address)
}

/// `text` as an address that paths can be put behind.
pub(super) fn base(text: &str) -> Result<Uri, &'static str> {
    if text.contains(['?', '#']) {
        return Err("has a `?` or a `#`: write what is behind them in `get`");
    }
    let path = text.splitn(4, '/').nth(3).unwrap_or_default();
    if decoded(path).iter().any(|name| is_step(name)) {
        return Err("has '.' or '..' in its path: write it out");
    }
    match absolute(text) {
        // Whoever writes this has a name for it already.
        Err(words) if words.starts_with("is no address") => Err("is no address like https://HOST/PATH"),
        Err(words) if words.starts_with("holds") => {
            Err("holds a user or a password: write `username` and `password`")
        }
        other => other,
    }
}

/// The address of `path` below `base`, which [`base`] has taken: `base` itself where the path is empty. It has the host of `base`
/// whatever the path is.
pub(super) fn below(base: &str, path: &str) -> Result<Uri, &'static str> {
    let bare = path.split('?').next().unwrap_or_default();
    if bare.contains("://") {
        return Err("is a whole address, and its store has a `url`: write what is behind that");
    }
    let bare = bare.strip_prefix('/').unwrap_or(bare);
    let mut names = decoded(bare).into_iter().peekable();
    while let Some(name) = names.next() {
        // A folder may be asked for, as `a/`.
        let is_empty = name.is_empty() && names.peek().is_some();
        if is_empty || is_step(&name) {
            return Err("has an empty name, '.' or '..' in its path: write it out");
        }
    }
    let (base, path) = (base.trim_end_matches('/'), path.strip_prefix('/').unwrap_or(path));
    let between = if path.is_empty() || path.starts_with('?') { "" } else { "/" };
    parsed(&format!("{base}{between}{path}"))
}

/// The scheme and the host of an address that stands for itself.
pub(super) fn host(text: &str) -> Option<&str> {
    let start = text.find("://")? + 3;
    let length = text[start..].find(['/', '?', '#']).unwrap_or(text.len() - start);
    Some(&text[..start + length])
}

fn parsed(text: &str) -> Result<Uri, &'static str> {
    // What is sent beyond ASCII every server reads in another way.
    let address = text.parse().ok().filter(|_| text.is_ascii());
    address.ok_or(UNREADABLE)
}

/// What of an address, or of a value's name, may be shown: all but its query.
pub(super) fn shown(text: &str) -> String {
    let (place, part) = text.split_at(text.find('#').unwrap_or(text.len()));
    match place.split_once('?') {
        Some((path, _)) => format!("{path}?...{part}"),
        None => text.to_owned(),
    }
}

/// Whether a server may read `name` as another folder. Some cut it off at a `;`.
fn is_step(name: &[u8]) -> bool {
    matches!(name.split(|byte| *byte == b';').next(), Some(b"." | b".."))
}

/// The names of a path, as a server may read them that takes `%2F` and `\` for slashes.
fn decoded(path: &str) -> Vec<Vec<u8>> {
    let mut names = vec![Vec::new()];
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex =
            behind.get(..2).and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        let (byte, used) = match hex.filter(|_| first == b'%') {
            Some(byte) => (byte, 3),
            None => (first, 1),
        };
        rest = &rest[used..];
        match (byte, names.last_mut()) {
            (b'/' | b'\\', _) => names.push(Vec::new()),
            (_, Some(name)) => name.push(byte),
            (_, None) => {}
        }
    }
    names
}

const UNREADABLE: &str =
    "is no address that can be asked: write other letters and blanks as `%20` and the like";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_all_before_its_path() {
        for (text, expected) in [
            ("https://h:1/a/b", Some("https://h:1")),
            ("http://[::1]:80?x", Some("http://[::1]:80")),
            ("http://h#x", Some("http://h")),
            ("http://h", Some("http://h")),
            ("a/b", None),
        ] {
            assert_eq!(host(text), expected);
        }
    }

    #[test]
    fn an_address_has_a_scheme_a_host_and_perhaps_more() {
        for good in
            ["http://h", "https://h:1/", "http://[::1]:80/a?b=c", "http://10.0.0.1/a//b/../c", "http://h?a@b"]
        {
            assert_eq!(absolute(good).map(drop), Ok(()), "{good}");
        }
        for (wrong, words) in [
            ("", "is no address like"),
            ("secrets/orders", "is no address like"),
            ("/secrets", "is no address like"),
            ("ftp://h/a", "is no address like"),
            ("HTTP://h/a", "is no address like"),
            ("http://", "is no address that can be asked"),
            ("http:///a", "is no address that can be asked"),
            ("http://h/a b", "is no address that can be asked"),
            ("http://h/\u{e4}", "is no address that can be asked"),
            ("http://h\n/a", "is no address that can be asked"),
            ("http://hunter2@h/", "holds a user or a password"),
            ("http://user:hunter2@h", "holds a user or a password"),
            ("http://h:0/", "has a port that cannot be"),
            ("http://h:65536/", "has a port that cannot be"),
            ("http://h:/", "has a port that cannot be"),
        ] {
            let found = absolute(wrong).expect_err(wrong);
            assert!(found.starts_with(words), "{wrong}: {found}");
        }
    }

    #[test]
    fn a_path_stays_below_the_stores_address() {
        let to = |path| below("https://h:1/base/", path).map(|address| address.to_string());
        for (path, address) in [
            ("a/b", "https://h:1/base/a/b"),
            ("/a/b/", "https://h:1/base/a/b/"),
            ("", "https://h:1/base"),
            ("/", "https://h:1/base"),
            ("?a=/../b", "https://h:1/base?a=/../b"),
            ("a?b=http://c/..", "https://h:1/base/a?b=http://c/.."),
            ("@evil/a", "https://h:1/base/@evil/a"),
            (":2/a", "https://h:1/base/:2/a"),
            ("a/...", "https://h:1/base/a/..."),
            ("a%20b", "https://h:1/base/a%20b"),
        ] {
            assert_eq!(to(path).as_deref(), Ok(address), "{path}");
        }
        for (path, words) in [
            ("http://evil/a", "is a whole address"),
            ("//evil/a", "has an empty name"),
            ("a//b", "has an empty name"),
            ("..", "has an empty name, '.' or '..'"),
            ("a/..;/x", "has an empty name, '.' or '..'"),
            ("%2e%2e%3bx/y", "has an empty name, '.' or '..'"),
            ("a/../../b", "has an empty name, '.' or '..'"),
            ("a/./b", "has an empty name, '.' or '..'"),
            ("a/%2e%2E/b", "has an empty name, '.' or '..'"),
            ("a%2f..%2Fb", "has an empty name, '.' or '..'"),
            ("a\\..\\b", "has an empty name, '.' or '..'"),
            ("a b", "is no address that can be asked"),
            ("a\r\nb", "is no address that can be asked"),
        ] {
            let found = to(path).expect_err(path);
            assert!(found.starts_with(words), "{path}: {found}");
        }
        assert_eq!(below("http://h", "?a").map(|address| address.to_string()).as_deref(), Ok("http://h/?a"));
    }

    #[test]
    fn a_stores_own_address_is_an_address_alone() {
        assert_eq!(base("https://h:1/base/").map(drop), Ok(()));
        for (wrong, words) in [
            ("h", "is no address like https://HOST/PATH"),
            ("https://h?a", "has a `?` or a `#`"),
            ("https://h#a", "has a `?` or a `#`"),
            ("https://a@h", "holds a user or a password: write `username` and `password`"),
        ] {
            let found = base(wrong).expect_err(wrong);
            assert!(found.starts_with(words), "{wrong}: {found}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        for (text, words) in [
            ("http://h/a?token=hunter2&b#/c?d", "http://h/a?...#/c?d"),
            ("http://h/a?hunter2?hunter2", "http://h/a?..."),
            ("http://h/a#b", "http://h/a#b"),
        ] {
            assert_eq!(shown(text), words);
        }
    }
}
