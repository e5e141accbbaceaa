//! Where a store is, and how it is reached.
//!
//! Owns the settings about that as one value. Nothing is read from files here.

use ureq::http::Uri;

use super::keys::{ADDRESS, NAMESPACE, REVOKE, revoke};
use super::said::Said;
use crate::providers::Revoke;
use crate::web::keys::{CLIENT_CERT, CLIENT_KEY};
use crate::web::line::Line;
use crate::web::said::Wrong;

/// One store, as it can be asked.
pub(super) struct Site {
    /// The way there. Its address is what paths stand behind.
    pub(super) line: Line,
    /// The namespace that all paths are in.
    pub(super) namespace: Option<String>,
    /// When its leases are given back.
    pub(super) revoke: Revoke,
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
        if text(CLIENT_CERT)?.is_some() != text(CLIENT_KEY)?.is_some() {
            return Err(Wrong("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY need each other".into()));
        }
        Ok(Self {
            line: Line::of(address, text, said.variable)?,
            namespace: text(NAMESPACE)?
                .map(|namespace| namespace.to_string())
                .filter(|name| !name.is_empty()),
            revoke: text(REVOKE)?.and_then(|word| revoke(&word)).unwrap_or(Revoke::Unused),
        })
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

/// What is strange about the path of an address. A gateway may be set up so.
pub(super) fn strange_path(address: &Uri) -> Option<&'static str> {
    let mut names = address.path().split('/').filter(|name| !name.is_empty());
    match names.clone().next_back() {
        Some("v1") => Some("the address ends in `/v1`, which the broker adds itself"),
        _ if names.next() == Some("ui") => Some("the address is that of the store's pages"),
        _ => None,
    }
}

/// Where the Go client looks for a store.
const DEFAULT: &str = "https://127.0.0.1:8200";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::providers::vault::testing::settings;
    use crate::web::keys::{CA_CERT, CA_PATH, TIMEOUT};
    use crate::web::line::Roots;
    use crate::web::pem::{Pem, PemSource};
    use crate::web::said::Values;

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
        assert_eq!(site.line.address.to_string(), "https://127.0.0.1:8200/");
        assert_eq!(site.namespace, None);
        assert_eq!((site.line.timeout, site.line.retries), (Duration::from_secs(15), 2));
    }

    #[test]
    fn an_address_that_is_not_the_stores_own_is_found() {
        for (address, is_strange) in [
            ("https://vault.test:8200/v1/", true),
            ("https://vault.test/gateway/v1", true),
            ("https://vault.test/ui/vault", true),
            ("https://vault.test/gateway", false),
            ("https://vault.test/", false),
        ] {
            let address = base(address).unwrap_or_else(|words| panic!("{words}"));
            assert_eq!(strange_path(&address).is_some(), is_strange, "{address}");
        }
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
        assert_eq!(site.line.address.to_string(), "http://two:8200/");
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
        assert_eq!(site.line.address.to_string(), "https://theirs:8200/");
        assert_eq!(site.namespace.as_deref(), Some("ours"));
        assert_eq!((site.line.timeout, site.line.retries), (Duration::from_secs(3), 5));
        assert!(
            site.line.identity.is_some() && site.line.server_name.is_some() && site.line.proxy.0.is_some()
        );
        // Roots that are named count, and no others.
        assert!(matches!(&site.line.roots, Some(Roots::Folder(path)) if path.as_os_str() == "/ours"));
        assert!(!site.line.skip_verify);
    }

    #[test]
    fn a_store_with_an_address_of_its_own_is_shown_and_granted_nothing_that_is_meant_for_another() {
        let site = good(&[(ADDRESS, "https://ours:8200")], &ENVIRONMENT);
        assert_eq!(site.line.address.to_string(), "https://ours:8200/");
        assert!(site.namespace.is_none() && site.line.identity.is_none() && site.line.server_name.is_none());
        assert!(!site.line.skip_verify);
        // The way there is this machine's, whatever the store.
        assert!(
            matches!(&site.line.roots, Some(Roots::Pem(Pem { source: PemSource::File(path), .. })) if path.as_os_str() == "/theirs.pem")
        );
        assert_eq!((site.line.timeout, site.line.retries), (Duration::from_secs(7), 5));
        assert!(site.line.proxy.0.is_some());
    }

    #[test]
    fn a_certificate_may_stand_where_a_path_may() {
        let site = good(&[(CA_CERT, "-----BEGIN CERTIFICATE-----\n")], &[]);
        assert!(matches!(&site.line.roots, Some(Roots::Pem(Pem { source: PemSource::Text(_), .. }))));
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
}
