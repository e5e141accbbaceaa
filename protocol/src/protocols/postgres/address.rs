//! Where a PostgreSQL target is: the fields `host`, `port` and `address`.
//!
//! Owns their defaults and spelling. Resolves nothing.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::{Credential, Destination, Error, TargetFailed};

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
    let host =
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(ToOwned::to_owned).unwrap_or(host);
    Ok(Destination::Tcp { host, port })
}

fn text(credential: &Credential, name: &'static str) -> Result<Option<String>, Error> {
    match credential.text(name, ToOwned::to_owned) {
        None => Ok(None),
        Some(Ok(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(unusable(name, "it must be UTF-8 without NUL bytes")),
    }
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

fn parse_port(name: &'static str, digits: &str) -> Result<u16, Error> {
    // A sign is a number to `parse`, and none to anybody else.
    match digits.parse() {
        Ok(port) if port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(unusable(name, "the port must be a number from 1 to 65535")),
    }
}

fn unusable(name: &'static str, reason: &str) -> Error {
    TargetFailed::Field { name, reason: reason.to_owned() }.into()
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
