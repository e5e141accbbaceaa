//! What can be said about a store.
//!
//! Owns the names of the settings that are the store's own, and what a value must look like.

use super::address;
use super::proof::header;
use crate::providers::KnownSetting;
use crate::web::header::token;
use crate::web::keys::{
    CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, PROXY, RETRIES, SKIP_VERIFY, TIMEOUT, TLS_SERVER_NAME,
    checked, expect, filled, plain, text, with_lines,
};

pub(super) const URL: &str = "url";
pub(super) const HEADERS: &str = "headers";
pub(super) const BEARER: &str = "bearer";
pub(super) const USERNAME: &str = "username";
pub(super) const PASSWORD: &str = "password";

/// The settings about the way to a store.
pub(super) const OF_LINE: [&str; 9] =
    [CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME, SKIP_VERIFY, PROXY, TIMEOUT, RETRIES];

/// Single values that say who we are.
pub(super) const OF_PROOF: [&str; 3] = [BEARER, USERNAME, PASSWORD];

/// All settings, in the order of the documentation.
pub(super) static SETTINGS: [KnownSetting; 14] = with_lines(
    [
        // What is sent there must go nowhere else, so no other store says where that is.
        KnownSetting { is_fixed: true, ..plain(URL, |value| address::base(text(value)?).map(drop)) },
        KnownSetting { is_list: true, ..checked(HEADERS, |value| header(value).map(drop)) },
        checked(BEARER, |value| token(value.trim_ascii())),
        KnownSetting {
            partner: Some(PASSWORD),
            // RFC 7617, section 2: "a user-id containing a colon character is invalid".
            ..checked(USERNAME, |value| {
                expect(
                    !text(value)?.contains(|c: char| c == ':' || c.is_control()),
                    "cannot be a user's name",
                )
            })
        },
        KnownSetting {
            partner: Some(USERNAME),
            ..checked(PASSWORD, |value| {
                expect(!text(value)?.contains(char::is_control), "cannot be a password of HTTP")
            })
        },
    ],
    [],
);

/// What is wrong with `value` as the setting `name`.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), &'static str> {
    match SETTINGS.iter().find(|setting| setting.name == name) {
        Some(setting) => (setting.check)(value),
        None => filled(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_told_what_it_is_not() {
        for (name, value, words) in [
            (URL, "vault.example.com", "is no address like https://HOST/PATH"),
            (HEADERS, "X-Key", "is no header like `Name: value`"),
            (BEARER, "two words", "is no token"),
            (BEARER, "", "is empty"),
            (BEARER, "Bearer abc", "is written without `Bearer`"),
            (USERNAME, "a:b", "cannot be a user's name"),
            (USERNAME, "", "is empty"),
            (PASSWORD, "a\nb", "cannot be a password of HTTP"),
            (TIMEOUT, "soon", "is no time like `30s`"),
        ] {
            assert_eq!(check(name, value.as_bytes()), Err(words), "{name}");
        }
        for setting in &SETTINGS {
            assert!((setting.check)(b"").is_err(), "{}", setting.name);
            let is_read = [URL, HEADERS].contains(&setting.name)
                || OF_LINE.contains(&setting.name)
                || OF_PROOF.contains(&setting.name);
            assert!(is_read, "{}", setting.name);
        }
    }
}
