//! Where a store is, and how it is reached.
//!
//! Owns the settings about that as one value, and what their words mean. Nothing is read from files here.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::keys::{
    ADDRESS, CA_CERT, CA_PATH, CLIENT_CERT, CLIENT_KEY, NAMESPACE, PROXY, RETRIES, REVOKE, SKIP_VERIFY,
    TIMEOUT, TLS_SERVER_NAME, revoke, tries,
};
use super::proxy::Proxying;
use super::said::{Said, Wrong};
use super::wire::server_name;
use crate::providers::Revoke;

/// The way to one store.
pub(super) struct Site {
    /// Its base address: scheme, host, and perhaps a port and a path.
    pub(super) address: Uri,
    /// The namespace that all paths are in.
    pub(super) namespace: Option<String>,
    /// The roots that its certificate may come from, if not the system's.
    pub(super) roots: Option<Roots>,
    /// Our own certificate and its key, if the store asks for one.
    pub(super) identity: Option<(Pem, Pem)>,
    /// The name that its certificate has, if that is not its host.
    pub(super) server_name: Option<ServerName<'static>>,
    /// Whether any certificate will do.
    pub(super) skip_verify: bool,
    /// How long one fetch may take.
    pub(super) timeout: Duration,
    /// How often a fetch is tried again within that time.
    pub(super) retries: u32,
    /// The proxy in between.
    pub(super) proxy: Proxying,
    /// When its leases are given back.
    pub(super) revoke: Revoke,
}

/// Where roots are.
pub(super) enum Roots {
    Pem(Pem),
    Folder(PathBuf),
}

/// PEM, or the path of a file of it.
pub(super) enum Pem {
    File(PathBuf),
    Text(Zeroizing<String>),
}

impl Site {
    /// What `said` makes of it.
    pub(super) fn of(said: &Said<'_>) -> Result<Self, Wrong> {
        let text = |name| Ok(said.get(name)?.map(|(value, _)| value));
        let address = match text(ADDRESS)? {
            Some(address) => base(&address),
            None => base(DEFAULT),
        };
        let address = address.map_err(|words| Wrong(words.to_owned()))?;
        let identity = match (text(CLIENT_CERT)?, text(CLIENT_KEY)?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((Pem::of(certificate), Pem::of(key))),
            _ => return Err(Wrong("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY need each other".into())),
        };
        let roots = match text(CA_CERT)? {
            Some(pem) => Some(Roots::Pem(Pem::of(pem))),
            None => text(CA_PATH)?.map(|path| Roots::Folder(path.as_str().into())),
        };
        Ok(Self {
            proxy: match text(PROXY)?.and_then(|proxy| Proxying::always(&proxy)) {
                Some(proxy) => proxy,
                None => Proxying::from_environment(&address, said.variable).map_err(Wrong)?,
            },
            address,
            namespace: text(NAMESPACE)?
                .map(|namespace| namespace.to_string())
                .filter(|name| !name.is_empty()),
            roots,
            identity,
            server_name: text(TLS_SERVER_NAME)?.and_then(|name| server_name(&name)),
            skip_verify: text(SKIP_VERIFY)?.and_then(|word| boolean(&word)).unwrap_or_default(),
            timeout: text(TIMEOUT)?.and_then(|time| duration(&time)).unwrap_or(TIMEOUT_DEFAULT),
            retries: text(RETRIES)?.and_then(|count| tries(&count)).unwrap_or(RETRIES_DEFAULT),
            revoke: text(REVOKE)?.and_then(|word| revoke(&word)).unwrap_or(Revoke::Unused),
        })
    }
}

impl Pem {
    fn of(text: Zeroizing<String>) -> Self {
        if text.trim_start().starts_with("-----BEGIN ") {
            Self::Text(text)
        } else {
            Self::File(text.as_str().into())
        }
    }
}

/// An address that paths can be put behind.
pub(super) fn base(text: &str) -> Result<Uri, &'static str> {
    let address: Uri = text.parse().map_err(|_| "is no address like https://vault.example.com:8200")?;
    match address.scheme_str() {
        Some("http" | "https") => {}
        Some("unix") => return Err("is a Unix socket: name the store's address, or the agent's on loopback"),
        _ => return Err("has no scheme: write https://HOST:PORT"),
    }
    let authority = address.authority().ok_or("names no host")?;
    if authority.as_str().contains('@') {
        return Err("holds a user or a password: the store takes a token");
    }
    if address.query().is_some() {
        return Err("has a `?`: it is an address alone");
    }
    Ok(address)
}

/// As Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number of seconds, or numbers with units, as Go writes them: `90`, `1m30s`, `500ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|time| !time.is_zero());
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
    Some(total).filter(|time| !time.is_zero())
}

/// Where the Go client looks for a store.
const DEFAULT: &str = "https://127.0.0.1:8200";

/// Less than the 60 s of the store's own client: whoever waits for a connection does not wait that long.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// As the store's own client.
const RETRIES_DEFAULT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::vault::said::Values;
    use crate::providers::vault::testing::settings;

    fn site(entry: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Result<Site, Wrong> {
        let (settings, values): (_, Values) = settings(entry);
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Site::of(&Said { settings: &settings, values: &values, variable: &variable })
    }

    fn good(entry: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Site {
        site(entry, variables).unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    #[test]
    fn an_empty_environment_is_the_store_on_this_machine() {
        let site = good(&[], &[("VAULT_NAMESPACE", "")]);
        assert_eq!(site.address.to_string(), "https://127.0.0.1:8200/");
        assert_eq!(site.namespace, None);
        assert_eq!((site.timeout, site.retries), (Duration::from_secs(15), 2));
    }

    #[test]
    fn openbaos_own_names_win() {
        let site = good(
            &[],
            &[
                ("VAULT_ADDR", "http://one"),
                ("BAO_ADDR", "http://two:8200"),
                ("BAO_NAMESPACE", ""),
                ("VAULT_NAMESPACE", "team"),
            ],
        );
        assert_eq!(site.address.to_string(), "http://two:8200/");
        assert_eq!(site.namespace.as_deref(), Some("team"));
    }

    const ENVIRONMENT: [(&str, &str); 10] = [
        ("VAULT_ADDR", "https://theirs:8200"),
        ("VAULT_NAMESPACE", "theirs"),
        ("VAULT_CACERT", "/theirs.pem"),
        ("VAULT_CLIENT_CERT", "/client.pem"),
        ("VAULT_CLIENT_KEY", "/client.key"),
        ("VAULT_TLS_SERVER_NAME", "theirs"),
        ("VAULT_SKIP_VERIFY", "true"),
        ("VAULT_CLIENT_TIMEOUT", "7s"),
        ("VAULT_MAX_RETRIES", "5"),
        ("VAULT_PROXY_ADDR", "http://proxy:3128"),
    ];

    #[test]
    fn what_an_entry_does_not_say_the_environment_says() {
        let site = good(&[(NAMESPACE, "ours"), (TIMEOUT, "3s"), (CA_PATH, "/ours")], &ENVIRONMENT);
        assert_eq!(site.address.to_string(), "https://theirs:8200/");
        assert_eq!(site.namespace.as_deref(), Some("ours"));
        assert_eq!((site.timeout, site.retries), (Duration::from_secs(3), 5));
        assert!(site.identity.is_some() && site.server_name.is_some() && site.proxy.0.is_some());
        // Roots that are named count, and no others.
        assert!(matches!(&site.roots, Some(Roots::Folder(path)) if path.as_os_str() == "/ours"));
        assert!(!site.skip_verify);
    }

    #[test]
    fn a_store_with_an_address_of_its_own_is_shown_and_granted_nothing_that_is_meant_for_another() {
        let site = good(&[(ADDRESS, "https://ours:8200")], &ENVIRONMENT);
        assert_eq!(site.address.to_string(), "https://ours:8200/");
        assert!(site.namespace.is_none() && site.identity.is_none() && site.server_name.is_none());
        assert!(!site.skip_verify);
        // The way there is this machine's, whatever the store.
        assert!(
            matches!(&site.roots, Some(Roots::Pem(Pem::File(path))) if path.as_os_str() == "/theirs.pem")
        );
        assert_eq!((site.timeout, site.retries), (Duration::from_secs(7), 5));
        assert!(site.proxy.0.is_some());
    }

    #[test]
    fn a_certificate_may_stand_where_a_path_may() {
        let site = good(&[(CA_CERT, "-----BEGIN CERTIFICATE-----\n")], &[]);
        assert!(matches!(&site.roots, Some(Roots::Pem(Pem::Text(_)))));
    }

    #[test]
    fn a_wrong_variable_is_named_and_not_shown() {
        for (name, value) in [
            ("VAULT_ADDR", "hunter2.example.com"),
            ("VAULT_ADDR", "http://hunter2@host"),
            ("VAULT_ADDR", "unix:///hunter2"),
            ("BAO_SKIP_VERIFY", "hunter2"),
            ("VAULT_CLIENT_TIMEOUT", "hunter2"),
            ("VAULT_CLIENT_TIMEOUT", "0"),
            ("VAULT_MAX_RETRIES", "hunter2"),
            ("VAULT_CLIENT_CERT", "/hunter2.pem"),
            ("VAULT_PROXY_ADDR", "socks5://hunter2"),
            ("VAULT_TLS_SERVER_NAME", "hunter2 hunter2"),
        ] {
            let wrong = site(&[], &[(name, value)]).err().unwrap_or_else(|| panic!("{name}={value} passed"));
            assert!(wrong.0.starts_with(name), "{wrong:?}");
            assert!(!wrong.0.contains("hunter2"), "{wrong:?}");
        }
        let wrong = site(&[(ADDRESS, "hunter2")], &[]).err();
        assert_eq!(wrong, Some(Wrong("`address` has no scheme: write https://HOST:PORT".into())));
    }

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
