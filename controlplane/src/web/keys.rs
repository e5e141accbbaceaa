//! The settings about the way to a store, which all stores that speak HTTP have.
//!
//! Owns their names, and what a value must look like. Knows no value.

use std::str::from_utf8;

use super::line::{boolean, duration, tries};
use super::proxy::Proxying;
use super::wire::server_name;
use crate::providers::{KnownSetting, Shown};

pub(crate) const CA_CERT: &str = "caCert";
pub(crate) const CA_PATH: &str = "caPath";
pub(crate) const CLIENT_CERT: &str = "clientCert";
pub(crate) const CLIENT_KEY: &str = "clientKey";
pub(crate) const TLS_SERVER_NAME: &str = "tlsServerName";
pub(crate) const SKIP_VERIFY: &str = "skipVerify";
pub(crate) const PROXY: &str = "proxy";
pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const RETRIES: &str = "retries";

/// What means something in TLS alone.
pub(crate) const OF_TLS: [&str; 6] =
    [CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME, SKIP_VERIFY];

/// In the order of the documentation.
pub(crate) const OF_LINES: [KnownSetting; 9] = [
    KnownSetting { is_public: true, shown: Shown::Path, ..checked(CA_CERT, filled) },
    plain(CA_PATH, filled),
    KnownSetting {
        is_public: true,
        shown: Shown::Path,
        partner: Some(CLIENT_KEY),
        ..checked(CLIENT_CERT, filled)
    },
    KnownSetting { shown: Shown::Path, partner: Some(CLIENT_CERT), ..checked(CLIENT_KEY, filled) },
    plain(TLS_SERVER_NAME, |value| means(value, server_name, "is no name of a server")),
    plain(SKIP_VERIFY, |value| means(value, boolean, "is neither `true` nor `false`")),
    checked(PROXY, |value| means(value, Proxying::always, "is no address of an HTTP proxy")),
    plain(TIMEOUT, |value| means(value, duration, "is no time like `30s`")),
    plain(RETRIES, |value| means(value, tries, "is no number of tries from 0 to 100")),
];

/// All settings of a store: those about the way stand between its own.
pub(crate) const fn with_lines<const A: usize, const B: usize, const N: usize>(
    before: [KnownSetting; A],
    behind: [KnownSetting; B],
) -> [KnownSetting; N] {
    assert!(A + OF_LINES.len() + B == N);
    let mut all = [OF_LINES[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A {
            before[at]
        } else if at < A + OF_LINES.len() {
            OF_LINES[at - A]
        } else {
            behind[at - A - OF_LINES.len()]
        };
        at += 1;
    }
    all
}

/// The words follow the setting's name, or a variable's.
pub(crate) const fn checked(
    name: &'static str,
    check: fn(&[u8]) -> Result<(), &'static str>,
) -> KnownSetting {
    KnownSetting { check, ..KnownSetting::new(name) }
}

/// The same for a setting that is no secret.
pub(crate) const fn plain(name: &'static str, check: fn(&[u8]) -> Result<(), &'static str>) -> KnownSetting {
    KnownSetting { shown: Shown::Always, ..checked(name, check) }
}

/// Any text but none.
pub(crate) fn filled(value: &[u8]) -> Result<(), &'static str> {
    text(value).map(drop)
}

/// `value` as text.
pub(crate) fn text(value: &[u8]) -> Result<&str, &'static str> {
    expect(!value.is_empty(), "is empty")?;
    from_utf8(value).map_err(|_| "is no text")
}

/// Whether `parse` makes something of it.
pub(crate) fn means<T>(
    value: &[u8],
    parse: fn(&str) -> Option<T>,
    words: &'static str,
) -> Result<(), &'static str> {
    expect(parse(text(value)?).is_some(), words)
}

/// The words, unless `is_right`.
pub(crate) fn expect(is_right: bool, words: &'static str) -> Result<(), &'static str> {
    if is_right { Ok(()) } else { Err(words) }
}
