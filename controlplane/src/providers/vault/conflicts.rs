//! Settings of an entry that do not go together.
//!
//! Owns the rules between settings, and the remedies. Knows a value only of `login` and `address`.

use super::keys::{
    ADDRESS, JWT, JWT_FILE, LOGIN, MOUNT, PASSWORD, ROLE, ROLE_ID, SECRET_ID, TOKEN, TOKEN_FILE, USERNAME,
};
use super::login::Method;
use crate::providers::{Conflict, Written};
use crate::web::keys::{CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, OF_TLS};

/// What is wrong with `written`.
pub(super) fn of(written: &Written<'_>) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut wrong = |setting, words: String, help: String| found.push(Conflict { setting, words, help });
    for (one, other) in [(CA_CERT, CA_PATH), (TOKEN, TOKEN_FILE), (JWT, JWT_FILE)] {
        if written.has(one) && written.has(other) {
            wrong(other, format!("`{one}` says it already"), format!("remove `{one}` or `{other}`"));
        }
    }
    if written.word(ADDRESS).is_some_and(|address| address.starts_with("http://")) {
        for name in OF_TLS.into_iter().filter(|name| written.has(name)) {
            wrong(
                name,
                format!("`{ADDRESS}` is in clear, where it means nothing"),
                format!("write `{ADDRESS}: https://…`, or remove it"),
            );
        }
    }
    let present = OF_LOGINS.iter().copied().filter(|name| written.has(name));
    match written.word(LOGIN).map(|word| Method::of(&word)) {
        Some(Some(method)) => {
            for name in present.filter(|name| !method.takes().contains(name)) {
                let words = format!("`login: {}` has no such setting", method.word());
                let help = match taker_of(name) {
                    Some(other) => format!("remove it, or write `login: {}`", other.word()),
                    None => "remove it".to_owned(),
                };
                wrong(name, words, help);
            }
            let mut needs = method.needs().to_vec();
            // What is not in the file is in the environment, but not for another store than the environment's.
            if !written.has(ADDRESS) {
                needs.retain(|need| !need.contains(&CLIENT_CERT) && !need.contains(&CLIENT_KEY));
            } else if method == Method::Token {
                needs.push(&[TOKEN, TOKEN_FILE]);
            }
            for need in needs.into_iter().filter(|need| !need.iter().any(|name| written.has(name))) {
                let words = format!("`login: {}` needs `{}`", method.word(), need.join("` or `"));
                wrong(LOGIN, words, format!("add `{}`", need[0]));
            }
        }
        // A wrong word has its error already.
        _ if written.has(LOGIN) => {}
        _ => {
            let has_token = written.has(TOKEN) || written.has(TOKEN_FILE);
            let strange: Vec<_> = present.filter(|name| !Method::Token.takes().contains(name)).collect();
            for name in &strange {
                let word = taker_of(name).map_or("approle", Method::word);
                let help = match has_token {
                    true => format!(
                        "remove it, for a token is no login; or write `login: {word}` in the token's place"
                    ),
                    false => format!("write `login: {word}`"),
                };
                wrong(name, "there is no `login` that it belongs to".into(), help);
            }
            if strange.is_empty() && written.has(ADDRESS) && !has_token {
                wrong(
                    ADDRESS,
                    "there is no login for it: the environment's token is not sent to an address of the file".into(),
                    "add `login:` and what it needs, or `token: {from: env, get: VAULT_TOKEN}` if it is meant for this store".into(),
                );
            }
        }
    }
    found
}

/// The settings that belong to a login.
const OF_LOGINS: [&str; 10] =
    [MOUNT, ROLE, ROLE_ID, SECRET_ID, JWT, JWT_FILE, USERNAME, PASSWORD, TOKEN, TOKEN_FILE];

/// The first login that takes this setting, if it tells which is meant.
fn taker_of(name: &str) -> Option<Method> {
    Method::ALL.into_iter().find(|method| name != MOUNT && method.takes().contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conflicts;

    fn found(entry: &[(&str, &str)]) -> String {
        conflicts(entry, of)
    }

    #[test]
    fn settings_that_do_not_go_together_are_named_with_the_remedy() {
        for (entry, expected) in [
            (
                &[("caCert", "a"), ("caPath", "b")][..],
                "caPath: `caCert` says it already; remove `caCert` or `caPath`",
            ),
            (&[("token", "a"), ("tokenFile", "b")], "tokenFile: `token` says it already"),
            (&[("login", "approle")], "login: `login: approle` needs `roleId`; add `roleId`"),
            (
                &[("login", "approle"), ("roleId", "r"), ("password", "p")],
                "password: `login: approle` has no such setting; remove it, or write `login: userpass`",
            ),
            (&[("login", "jwt")], "login: `login: jwt` needs `jwt` or `jwtFile`; add `jwt`"),
            (
                &[("login", "cert"), ("address", "a")],
                "login: `login: cert` needs `clientCert`; add `clientCert`",
            ),
            (&[("login", "token"), ("address", "a")], "login: `login: token` needs `token` or `tokenFile`"),
            (&[("roleId", "r")], "roleId: there is no `login` that it belongs to; write `login: approle`"),
            (
                &[("username", "r")],
                "username: there is no `login` that it belongs to; write `login: userpass`",
            ),
            (
                &[("tokenFile", "/t"), ("mount", "m")],
                "mount: there is no `login` that it belongs to; remove it, for a token is no login",
            ),
            (
                &[("token", "t"), ("address", "http://a"), ("caCert", "/c")],
                "caCert: `address` is in clear, where it means nothing; write `address: https://…`, or remove it",
            ),
            (&[("address", "a")], "address: there is no login for it: the environment's token is not sent"),
        ] {
            let found = found(entry);
            assert!(found.starts_with(expected), "{entry:?}: {found}");
        }
    }

    #[test]
    fn what_goes_together_is_not_complained_about() {
        for entry in [
            &[][..],
            &[("namespace", "team")],
            &[("token", "t"), ("address", "a")],
            &[("login", "token")],
            &[("login", "cert")],
            &[("login", "kubernetes"), ("role", "r"), ("mount", "m"), ("address", "a")],
            &[("login", "approle"), ("roleId", "r"), ("address", "a")],
            &[("login", "nonsense"), ("roleId", "r")],
        ] {
            assert_eq!(found(entry), "", "{entry:?}");
        }
    }
}
