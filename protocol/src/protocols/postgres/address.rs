//! Where a PostgreSQL target is: the fields `host`, `port` and `address`.
//!
//! Owns their defaults and spelling. Resolves nothing.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::fields::{parse_port, text, unusable, without_brackets};
use crate::{Credential, Destination, Error};

/// Registered with IANA.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// The target of `credential`. `address` is deprecated and, where it is set, decides alone.
pub(super) fn destination(credential: &Credential) -> Result<Destination, Error> {
    let (host, port) = match text(credential, "address")? {
        Some(address) => split_address(&address)?,
        None => {
            let host = text(credential, "host")?.unwrap_or_else(|| "localhost".to_owned());
            let port = match text(credential, "port")? {
                Some(digits) => parse_port("port", &digits)?,
                None => DEFAULT_PORT,
            };
            (host, port)
        }
    };
    // As libpq: "If a host name looks like an absolute path name, it specifies Unix-domain communication".
    if host.starts_with('/') {
        return Ok(Destination::Unix(format!("{host}/.s.PGSQL.{port}")));
    }
    Ok(Destination::Tcp { host: without_brackets(host), port })
}

/// `host`, `host:port`, `[address]` or `[address]:port`; an IPv6 address without brackets has no port.
fn split_address(address: &str) -> Result<(String, u16), Error> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return Err(unusable("address", "it must be host, host:port or [address]:port")),
        },
        None if address.starts_with('/') => (address, None),
        None => match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (address, None),
        },
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let port = port.map_or(Ok(DEFAULT_PORT), |digits| parse_port("address", digits))?;
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::destination;
    use crate::testing::credential;
    use crate::{Destination, Error};

    fn tcp(host: &str, port: u16) -> Result<Destination, Error> {
        Ok(Destination::Tcp { host: host.into(), port })
    }

    fn read(fields: &[(&str, &[u8])]) -> Result<Destination, Error> {
        destination(&credential(fields))
    }

    #[test]
    fn reads_host_and_port_with_their_defaults() {
        assert_eq!(read(&[]), tcp("localhost", 5432));
        assert_eq!(read(&[("host", b"db.example"), ("port", b"6000")]), tcp("db.example", 6000));
        assert_eq!(read(&[("host", b"::1")]), tcp("::1", 5432));
        assert_eq!(read(&[("host", b"[::1]"), ("port", b"65535")]), tcp("::1", 65535));
    }

    #[test]
    fn a_host_that_begins_with_a_slash_is_a_socket_directory() {
        assert_eq!(read(&[("host", b"/run/pg")]), Ok(Destination::Unix("/run/pg/.s.PGSQL.5432".into())));
        assert_eq!(
            read(&[("host", b"/run/pg"), ("port", b"6000")]),
            Ok(Destination::Unix("/run/pg/.s.PGSQL.6000".into()))
        );
        assert_eq!(read(&[("address", b"/run/pg")]), Ok(Destination::Unix("/run/pg/.s.PGSQL.5432".into())));
    }

    #[test]
    fn the_deprecated_address_decides_alone() {
        let address = |address: &[u8]| read(&[("address", address), ("host", b"other"), ("port", b"1")]);
        assert_eq!(address(b"db"), tcp("db", 5432));
        assert_eq!(address(b"db:6000"), tcp("db", 6000));
        assert_eq!(address(b":6000"), tcp("localhost", 6000));
        assert_eq!(address(b"::1"), tcp("::1", 5432));
        assert_eq!(address(b"[::1]"), tcp("::1", 5432));
        assert_eq!(address(b"[::1]:6000"), tcp("::1", 6000));
        for wrong in [&b"db:5432/name"[..], b"db:", b"[::1]6000", b"db:0"] {
            let error = address(wrong).unwrap_err().to_string();
            assert!(error.starts_with("credential 'address': "), "{error}");
        }
    }

    #[test]
    fn refuses_a_port_that_is_none() {
        for wrong in [&b"0"[..], b"65536", b"+1", b"5432 ", b"pg", b"\xFF", b"5432\n"] {
            let error = read(&[("port", wrong)]).unwrap_err().to_string();
            assert!(error.starts_with("credential 'port': "), "{error}");
        }
        assert!(read(&[("host", b"a\0b")]).is_err());
    }
}
