//! Which proxy is between us and the store.
//!
//! Owns what the environment says about it, read as Go reads it. A proxy is asked to open a line (`CONNECT`), for stores
//! in clear, too. Knows nothing of the store.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// The proxy, or none.
pub(crate) struct Proxying(pub(crate) Option<Proxy>);

impl Proxying {
    /// `text` as the address of a proxy for every store; `None` if it is none.
    pub(crate) fn always(text: &str) -> Option<Self> {
        let proxy = Proxy::new(text).ok()?;
        let is_known = matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        is_known.then_some(Self(Some(proxy)))
    }

    /// Its host and port, and nothing that is said to it.
    pub(crate) fn name(&self) -> Option<String> {
        self.0.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    /// What `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say about `address`.
    pub(crate) fn from_environment(
        address: &Uri,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let either = |upper: &str| {
            let lower = upper.to_lowercase();
            [upper, &lower].into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let name = if address.scheme_str() == Some("https") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        let host = address.host().unwrap_or_default();
        match either(name) {
            Some(proxy) if !is_exempt(host, address.port_u16(), &either("NO_PROXY").unwrap_or_default()) => {
                Self::always(&proxy).ok_or_else(|| format!("{name} is no address of an HTTP proxy"))
            }
            _ => Ok(Self(None)),
        }
    }
}

/// Whether no proxy may be asked for `host`: those of this machine are never, as in Go.
fn is_exempt(host: &str, port: Option<u16>, list: &str) -> bool {
    if is_here(host) {
        return true;
    }
    let host = host.trim_matches(['[', ']']).to_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    list.split(',').map(|entry| entry.trim().to_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some(ip), Some((network, bits))) = (ip, entry.split_once('/')) {
            return is_within(ip, network, bits);
        }
        let (name, wanted) = match entry.rsplit_once(':') {
            // An address of IPv6 has colons of its own.
            Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
            _ => (entry.as_str(), None),
        };
        if wanted.is_some() && wanted != port {
            return false;
        }
        // "example.com" is the host and all beneath it; ".example.com" and "*.example.com" only what is beneath.
        let suffix = name.trim_start_matches('*');
        match suffix.starts_with('.') {
            true => host.ends_with(suffix),
            false => host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.')),
        }
    })
}

/// Whether `host` is this machine, by its name or address.
pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether `ip` is in `network/bits`.
fn is_within(ip: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(address: &str, variables: &[(&str, &str)]) -> Option<String> {
        let address: Uri = address.parse().expect("an address");
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let proxying = Proxying::from_environment(&address, variable).expect("well-formed variables");
        proxying.0.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn each_scheme_has_a_variable_and_this_machine_has_none() {
        let both = [("HTTPS_PROXY", "http://s:3128"), ("http_proxy", "p:8080")];
        assert_eq!(proxy("https://vault.example.com", &both).as_deref(), Some("s:3128"));
        assert_eq!(proxy("http://vault.example.com", &both).as_deref(), Some("p:8080"));
        for own in ["http://localhost:8200", "https://127.0.0.1:8200", "https://[::1]"] {
            assert_eq!(proxy(own, &both), None);
        }
        assert_eq!(proxy("https://vault.example.com", &[("HTTP_PROXY", "http://p")]), None);
    }

    #[test]
    fn hosts_are_exempt_as_in_go() {
        for (list, exempt) in [
            ("example.com", true),
            ("vault.example.com", true),
            (".example.com", true),
            ("*.example.com", true),
            ("other, VAULT.example.com", true),
            ("vault.example.com:8200", true),
            ("*", true),
            ("vault.example.com:80", false),
            ("ample.com", false),
            (".vault.example.com", false),
            ("", false),
        ] {
            assert_eq!(is_exempt("vault.example.com", Some(8200), list), exempt, "{list}");
        }
        for (ip, list, exempt) in [
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("[fd00::1]", "fd00::/8", true),
            ("[fe00::1]", "fd00::/8", false),
            ("10.1.2.3", "10.0.0.0/99", false),
        ] {
            assert_eq!(is_exempt(ip, None, list), exempt, "{ip} {list}");
        }
    }
}
