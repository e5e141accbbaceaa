//! Settings of an entry that do not go together.
//!
//! Owns the rules between settings, and the remedies.

use ureq::http::header::AUTHORIZATION;

use super::keys::{BEARER, HEADERS, PASSWORD, URL, USERNAME};
use super::proof::header;
use crate::providers::{Conflict, Written};
use crate::web::keys::{CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, OF_TLS, SKIP_VERIFY, TLS_SERVER_NAME};
use crate::web::line::boolean;

/// What is wrong with `written`.
pub(super) fn of(written: &Written<'_>) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut wrong = |setting, words: String, help: String| found.push(Conflict { setting, words, help });
    for (one, other) in [(CA_CERT, CA_PATH), (BEARER, USERNAME)] {
        if written.has(one) && written.has(other) {
            wrong(other, format!("`{one}` says it already"), format!("remove `{one}` or `{other}`"));
        }
    }
    let is_proof = |line: &[u8]| header(line).is_ok_and(|(name, _)| name == AUTHORIZATION);
    if written.values(HEADERS).any(|line| line.expose(is_proof)) {
        for name in [BEARER, USERNAME].into_iter().filter(|name| written.has(name)) {
            wrong(
                name,
                format!("a header of `{HEADERS}` says it already: Authorization"),
                "remove one of them".to_owned(),
            );
        }
    }
    let present = |names: &'static [&'static str]| names.iter().copied().filter(|name| written.has(name));
    if !written.has(URL) {
        for name in present(&OF_ONE_STORE) {
            wrong(
                name,
                format!("there is no `{URL}`: this would go to every host that a value is asked of"),
                format!("add `{URL}: https://HOST`, and write paths in `get`"),
            );
        }
    }
    if written.word(URL).is_some_and(|url| url.starts_with("http://")) {
        for name in present(&OF_TLS) {
            wrong(
                name,
                format!("`{URL}` is in clear, where it means nothing"),
                format!("write `{URL}: https://…`, or remove it"),
            );
        }
    }
    let verifies_nobody = written.word(SKIP_VERIFY).and_then(|word| boolean(&word)) == Some(true);
    for name in present(&[CA_CERT, CA_PATH, TLS_SERVER_NAME]).filter(|_| verifies_nobody) {
        wrong(
            name,
            format!("`{SKIP_VERIFY}` takes any certificate, so it means nothing"),
            format!("remove `{SKIP_VERIFY}`"),
        );
    }
    found
}

/// What says who we are, or who the store is.
const OF_ONE_STORE: [&str; 7] =
    [HEADERS, BEARER, USERNAME, PASSWORD, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conflicts;

    fn found(entry: &[(&str, &str)]) -> String {
        conflicts(entry, of)
    }

    #[test]
    fn settings_that_do_not_go_together_are_named_with_the_remedy() {
        let url = ("url", "https://h");
        let homeless = "there is no `url`: this would go to every host that a value is asked of; add `url: https://HOST`";
        for (entry, expected) in [
            (
                &[url, ("caCert", "a"), ("caPath", "b")][..],
                "caPath: `caCert` says it already; remove `caCert` or `caPath`",
            ),
            (&[url, ("bearer", "a"), ("username", "b")], "username: `bearer` says it already"),
            (
                &[url, ("headers", "A: b"), ("headers", "authorization: x"), ("bearer", "a")],
                "bearer: a header of `headers` says it already: Authorization; remove one of them",
            ),
            (&[("headers", "A: b")], &format!("headers: {homeless}")),
            (&[("bearer", "a")], &format!("bearer: {homeless}")),
            (&[("password", "a")], &format!("password: {homeless}")),
            (&[("clientKey", "a")], &format!("clientKey: {homeless}")),
            (
                &[("url", "http://h"), ("caCert", "a")],
                "caCert: `url` is in clear, where it means nothing; write",
            ),
            (&[url, ("skipVerify", "true"), ("caPath", "a")], "caPath: `skipVerify` takes any certificate"),
        ] {
            let found = found(entry);
            assert!(found.starts_with(expected), "{entry:?}: {found}");
        }
    }

    #[test]
    fn what_goes_together_is_not_complained_about() {
        for entry in [
            &[][..],
            &[("caCert", "a"), ("timeout", "1s"), ("skipVerify", "false")],
            &[("skipVerify", "true")],
            &[("url", "http://h"), ("bearer", "a"), ("headers", "A: b")],
            &[
                ("url", "https://h"),
                ("username", "a"),
                ("password", "b"),
                ("clientCert", "c"),
                ("clientKey", "d"),
            ],
        ] {
            assert_eq!(found(entry), "", "{entry:?}");
        }
    }
}
