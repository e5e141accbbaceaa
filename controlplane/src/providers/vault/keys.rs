//! What can be said about a store: by its entry in the file, and where that is silent by the environment.
//!
//! Owns the names of settings and variables, what a value must look like, and who has the last word. Knows no value.

use ureq::http::HeaderValue;

use super::site::base;
pub(super) use crate::providers::REVOKE;
use crate::providers::{KnownSetting, Revoke, Shown};
use crate::web::header::token;
use crate::web::keys::{
    CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, PROXY, RETRIES, SKIP_VERIFY, TIMEOUT, TLS_SERVER_NAME,
    checked, expect, filled, means, plain, text, with_lines,
};

pub(super) const ADDRESS: &str = "address";
pub(super) const NAMESPACE: &str = "namespace";
pub(super) const LOGIN: &str = "login";
pub(super) const MOUNT: &str = "mount";
pub(super) const ROLE: &str = "role";
pub(super) const ROLE_ID: &str = "roleId";
pub(super) const SECRET_ID: &str = "secretId";
pub(super) const JWT: &str = "jwt";
pub(super) const JWT_FILE: &str = "jwtFile";
pub(super) const USERNAME: &str = "username";
pub(super) const PASSWORD: &str = "password";
pub(super) const TOKEN: &str = "token";
pub(super) const TOKEN_FILE: &str = "tokenFile";

/// A setting about where the store is and how it is reached.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The variables of the store's own client that say the same, without their prefix. The first that is set counts.
    pub(super) variables: &'static [&'static str],
    /// Settings that say together what one of them says in part: whoever says one says all.
    pub(super) with: &'static [&'static str],
    /// Whether the environment says it of its own store alone, and not of one with an address in the file.
    pub(super) is_of_one_store: bool,
}

impl Key {
    const fn new(name: &'static str, variables: &'static [&'static str]) -> Self {
        Self { name, variables, with: &[], is_of_one_store: false }
    }

    const fn of_one_store(name: &'static str, variables: &'static [&'static str]) -> Self {
        Self { is_of_one_store: true, ..Self::new(name, variables) }
    }
}

/// All of them.
pub(super) static KEYS: [Key; 11] = [
    Key::new(ADDRESS, &["AGENT_ADDR", "ADDR"]),
    Key::of_one_store(NAMESPACE, &["NAMESPACE"]),
    Key { with: &[CA_PATH], ..Key::new(CA_CERT, &["CACERT"]) },
    Key { with: &[CA_CERT], ..Key::new(CA_PATH, &["CAPATH"]) },
    Key { with: &[CLIENT_KEY], ..Key::of_one_store(CLIENT_CERT, &["CLIENT_CERT"]) },
    Key { with: &[CLIENT_CERT], ..Key::of_one_store(CLIENT_KEY, &["CLIENT_KEY"]) },
    Key::of_one_store(TLS_SERVER_NAME, &["TLS_SERVER_NAME"]),
    // Whoever names roots wants them to count.
    Key { with: &[CA_CERT, CA_PATH], ..Key::of_one_store(SKIP_VERIFY, &["SKIP_VERIFY"]) },
    Key::new(PROXY, &["PROXY_ADDR", "HTTP_PROXY"]),
    Key::new(TIMEOUT, &["CLIENT_TIMEOUT"]),
    Key::new(RETRIES, &["MAX_RETRIES"]),
];

/// What has to be known before anything is asked: the way, and whether a login comes first.
pub(super) const OF_THE_WAY: [&str; 15] = [
    ADDRESS,
    NAMESPACE,
    CA_CERT,
    CA_PATH,
    CLIENT_CERT,
    CLIENT_KEY,
    TLS_SERVER_NAME,
    SKIP_VERIFY,
    PROXY,
    TIMEOUT,
    RETRIES,
    LOGIN,
    TOKEN,
    TOKEN_FILE,
    REVOKE,
];

/// All settings, those of logins too, in the order of the documentation.
pub(super) static SETTINGS: [KnownSetting; 23] = with_lines(
    [
        plain(ADDRESS, |value| text(value).and_then(|text| base(text).map(drop))),
        plain(NAMESPACE, |value| expect(HeaderValue::from_bytes(value).is_ok(), "cannot be sent as it is")),
    ],
    [
        KnownSetting {
            is_fixed: true,
            ..plain(LOGIN, |value| {
                let words =
                    "is none of `approle`, `kubernetes`, `jwt`, `cert`, `userpass`, `ldap` and `token`";
                means(value, super::login::Method::of, words)
            })
        },
        plain(MOUNT, |value| {
            let path = text(value)?;
            expect(!path.starts_with("auth/"), "is written without `auth/`")?;
            let is_path = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
            expect(is_path && !path.chars().any(char::is_control), "is no path like `approle`")
        }),
        plain(ROLE, filled),
        // The store's documentation calls it an identifier, and no secret.
        KnownSetting { is_public: true, ..checked(ROLE_ID, filled) },
        checked(SECRET_ID, filled),
        checked(JWT, filled),
        KnownSetting { shown: Shown::Path, ..checked(JWT_FILE, filled) },
        checked(USERNAME, |value| {
            let name = text(value)?;
            let is_name = !matches!(name, "." | "..") && !name.contains(|c: char| c == '/' || c.is_control());
            expect(is_name, "cannot be a user's name there")
        }),
        checked(PASSWORD, filled),
        checked(TOKEN, token),
        KnownSetting { shown: Shown::Path, ..checked(TOKEN_FILE, filled) },
        plain(REVOKE, |value| means(value, revoke, "is none of `unused`, `stop` and `never`")),
    ],
);

/// What is wrong with `value` as the setting `name`.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), &'static str> {
    SETTINGS.iter().find(|setting| setting.name == name).map_or(Ok(()), |setting| (setting.check)(value))
}

/// When leases are given back.
pub(super) fn revoke(word: &str) -> Option<Revoke> {
    Some(match word {
        "unused" => Revoke::Unused,
        "stop" => Revoke::AtStop,
        "never" => Revoke::Never,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_way_to_a_store_is_a_setting() {
        for key in &KEYS {
            assert!(SETTINGS.iter().any(|setting| setting.name == key.name), "{}", key.name);
            assert!(OF_THE_WAY.contains(&key.name));
            assert!(key.with.iter().all(|with| KEYS.iter().any(|other| other.name == *with)));
        }
        for setting in &SETTINGS {
            assert!(!setting.is_list && !setting.is_required);
            assert_eq!((setting.check)(b"").is_err(), setting.name != NAMESPACE, "{}", setting.name);
        }
    }

    #[test]
    fn a_wrong_value_is_told_what_it_is_not() {
        for (name, value, words) in [
            (ADDRESS, "vault.example.com", "has no scheme: write https://HOST:PORT"),
            (SKIP_VERIFY, "yes", "is neither `true` nor `false`"),
            (PROXY, "socks5://x", "is no address of an HTTP proxy"),
            (TIMEOUT, "soon", "is no time like `30s`"),
            (RETRIES, "101", "is no number of tries from 0 to 100"),
            (MOUNT, "auth/approle", "is written without `auth/`"),
            (MOUNT, "a//b", "is no path like `approle`"),
            (USERNAME, "a/b", "cannot be a user's name there"),
            (TOKEN, "two words", "is no token"),
            (TOKEN, "", "is empty"),
            (NAMESPACE, "a\nb", "cannot be sent as it is"),
            (CA_CERT, "", "is empty"),
        ] {
            assert_eq!(check(name, value.as_bytes()), Err(words), "{name}");
        }
        assert!(check(LOGIN, b"AppRole").is_err_and(|words| words.starts_with("is none of `approle`")));
        assert_eq!(check(MOUNT, b"team/approle"), Ok(()));
        assert_eq!(check("anything", b""), Ok(()));
    }
}
