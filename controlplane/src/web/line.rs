//! The way to one store.
//!
//! Owns the settings about that as one value, and what their words mean. Nothing is read from files here.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::keys::{
    CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, PROXY, RETRIES, SKIP_VERIFY, TIMEOUT, TLS_SERVER_NAME,
};
use super::pem::Pem;
use super::proxy::{Proxying, is_here};
use super::said::Wrong;
use super::wire::server_name;

/// The way to one store.
pub(crate) struct Line {
    /// Its base address: scheme, host, and perhaps a port and a path.
    pub(crate) address: Uri,
    /// The roots that its certificate may come from, if not the system's.
    pub(crate) roots: Option<Roots>,
    /// Our own certificate and its key, if the store asks for one.
    pub(crate) identity: Option<(Pem, Pem)>,
    /// The name that its certificate has, if that is not its host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// Whether any certificate will do.
    pub(crate) skip_verify: bool,
    /// How long one fetch may take.
    pub(crate) timeout: Duration,
    /// How often a fetch is tried again within that time.
    pub(crate) retries: u32,
    /// The proxy in between.
    pub(crate) proxy: Proxying,
}

/// Where roots are.
pub(crate) enum Roots {
    Pem(Pem),
    Folder(PathBuf),
}

impl Line {
    /// The way to `address`: `said` has what is said under a setting's name, and `variable` a variable of the environment, which
    /// may name a proxy.
    pub(crate) fn of(
        address: Uri,
        said: impl Fn(&'static str) -> Result<Option<Zeroizing<String>>, Wrong>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Wrong> {
        let roots = match said(CA_CERT)? {
            Some(pem) => Some(Roots::Pem(Pem::of(CA_CERT, pem)?)),
            None => said(CA_PATH)?.map(|path| Roots::Folder(path.as_str().into())),
        };
        Ok(Self {
            proxy: match said(PROXY)?.and_then(|proxy| Proxying::always(&proxy)) {
                Some(proxy) => proxy,
                None => Proxying::from_environment(&address, variable).map_err(Wrong)?,
            },
            address,
            roots,
            identity: match said(CLIENT_CERT)?.zip(said(CLIENT_KEY)?) {
                Some((certificate, key)) => {
                    Some((Pem::of(CLIENT_CERT, certificate)?, Pem::of(CLIENT_KEY, key)?))
                }
                None => None,
            },
            server_name: said(TLS_SERVER_NAME)?.and_then(|name| server_name(&name)),
            skip_verify: said(SKIP_VERIFY)?.and_then(|word| boolean(&word)).unwrap_or_default(),
            timeout: said(TIMEOUT)?.and_then(|time| duration(&time)).unwrap_or(TIMEOUT_DEFAULT),
            retries: said(RETRIES)?.and_then(|count| tries(&count)).unwrap_or(RETRIES_DEFAULT),
        })
    }

    /// Whether there is TLS on it.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.address.scheme_str() == Some("https")
    }

    /// Whether it does not leave this machine.
    pub(crate) fn stays_here(&self) -> bool {
        is_here(self.address.host().unwrap_or_default())
    }
}

/// As Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number of seconds, or numbers with units, as Go writes them: `90`, `1m30s`, `500ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let within_reason = |time: &Duration| !time.is_zero() && *time <= TIMEOUT_MAX;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(within_reason);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        let unit = &rest[number_end..];
        let unit_end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let seconds = match &unit[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &unit[unit_end..];
    }
    Some(total).filter(within_reason)
}

/// Within the time of a fetch there is no room for more.
pub(crate) fn tries(text: &str) -> Option<u32> {
    text.parse().ok().filter(|tries| *tries <= 100)
}

/// Nobody waits longer for an answer, and no clock overflows.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Less than the 60 s of Vault's own client: whoever waits for a connection does not wait that long.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// As Vault's own client.
const RETRIES_DEFAULT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        let millis = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(millis("90"), Some(90_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1.5s"), Some(1_500));
        assert_eq!(millis("500ms"), Some(500));
        for wrong in ["", "s", "1x", "-1s", "1s2", "0", "0s", "9999999999999999999999h"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
