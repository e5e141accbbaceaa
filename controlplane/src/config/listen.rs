//! `listenOn` and `socket`: where a service is reached, and by whom.
//!
//! Owns the text form of addresses and the rights on Unix sockets. Knows no other service: see `claims`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::Place;
use super::literals::{VARIABLE_IS_TEXT, names_variable};
use super::model::{ListenOn, SocketAccess};
use super::section::{Field, Reader, Section, Unknown};
use super::system::System;

/// Reads `listenOn` and, for Unix sockets, `socket`. The place is that of the address.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: Place,
) -> Option<(Place, ListenOn)> {
    let socket = section.take(reader, "socket");
    let Some(field) = section.take(reader, "listenOn") else {
        reader.error(
            service,
            &section.path_of("listenOn"),
            format!("cannot be blank: expected {EXPECTED}"),
            HELP,
        );
        return None;
    };
    let found = reader.text(&field, EXPECTED, HELP)?;
    if names_variable(found.as_bytes()) {
        reader.warn(field.place, &field.path, VARIABLE_IS_TEXT, "write the address itself");
    }
    let address = match parse(found, reader.system()) {
        Ok(address) => address,
        Err(fault) => {
            reader.unexpected(&field, &fault.expected, found, &fault.help);
            // What is wrong in `socket` is wrong whatever the address will be.
            if let Some(socket) = socket {
                read_access(reader, &socket);
            }
            return None;
        }
    };
    let listen_on = match (address, socket) {
        (Address::Tcp(address), None) => ListenOn::Tcp(address),
        (Address::Tcp(_), Some(socket)) => {
            reader.error(
                socket.place,
                &socket.path,
                "expected no such section: it is for services that listen on unix://",
                "remove it",
            );
            return None;
        }
        (Address::Unix(path), None) => ListenOn::Unix { path, access: DEFAULT_ACCESS },
        (Address::Unix(path), Some(socket)) => ListenOn::Unix { path, access: read_access(reader, &socket)? },
    };
    Some((field.place, listen_on))
}

/// Whether only this machine reaches the address.
pub(super) fn is_local(listen_on: &ListenOn) -> bool {
    match listen_on {
        ListenOn::Tcp(address) => address.ip().to_canonical().is_loopback(),
        ListenOn::Unix { .. } => true,
    }
}

/// Reads an address of our own, `host:port`.
pub(super) fn parse_tcp(text: &str, system: &System) -> Result<SocketAddr, Fault> {
    parse_host_port(text, Family::Any, system)
}

/// What an address should have been.
#[derive(Debug)]
pub(super) struct Fault {
    /// Completes "expected …".
    pub(super) expected: String,
    /// The remedy.
    pub(super) help: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

#[derive(Clone, Copy)]
enum Account {
    User,
    Group,
}

impl Fault {
    fn new(expected: impl Into<String>, help: impl Into<String>) -> Self {
        Self { expected: expected.into(), help: help.into() }
    }
}

fn parse(text: &str, system: &System) -> Result<Address, Fault> {
    let (network, address) = text.split_once("://").ok_or_else(|| Fault::new(EXPECTED, HELP))?;
    match network {
        "tcp" => parse_host_port(address, Family::Any, system).map(Address::Tcp),
        "tcp4" => parse_host_port(address, Family::V4, system).map(Address::Tcp),
        "tcp6" => parse_host_port(address, Family::V6, system).map(Address::Tcp),
        "unix" => parse_path(address).map(Address::Unix),
        _ => Err(Fault::new(EXPECTED, format!("unknown network; {HELP}"))),
    }
}

fn parse_path(path: &str) -> Result<PathBuf, Fault> {
    if path.is_empty() || path.ends_with('/') {
        return Err(Fault::new(
            "the path of a socket after `unix://`",
            "write it like `unix:///run/db/.s.PGSQL.5432`",
        ));
    }
    if path.starts_with('@') {
        return Err(Fault::new(
            "a path after `unix://`",
            "abstract sockets have no owner or mode, so anybody could connect; use a path",
        ));
    }
    if path.len() > SOCKET_PATH_BYTES_MAX {
        return Err(Fault::new(
            format!("a path of at most {SOCKET_PATH_BYTES_MAX} bytes (this one has {})", path.len()),
            "the kernel takes no longer ones; use a shorter folder, or a path relative to the working directory",
        ));
    }
    Ok(PathBuf::from(path))
}

fn parse_host_port(text: &str, family: Family, system: &System) -> Result<SocketAddr, Fault> {
    let (host, port) = split_host_port(text).ok_or_else(|| match text.contains(':') {
        true => Fault::new("host:port", "an IPv6 address goes in brackets: `[::1]:5432`"),
        false => Fault::new("host:port", "write a port behind it: `127.0.0.1:5432`"),
    })?;
    let port =
        port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(
            || Fault::new("a port from 0 to 65535", "invalid port: write it in digits, after the last colon"),
        )?;
    let ip = match (host, family) {
        ("", Family::V4) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ("", Family::Any | Family::V6) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return resolve(host, port, family, system),
    };
    Ok(SocketAddr::new(ip, port))
}

/// `host:port` or `[host]:port`; the host may be empty.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            Some((host, port.strip_prefix(':')?))
        }
        None => text.rsplit_once(':').filter(|(host, _)| !host.contains(':')),
    }
}

/// Like Go's listeners: the first IPv4 address of a name, or else its first.
fn resolve(host: &str, port: u16, family: Family, system: &System) -> Result<SocketAddr, Fault> {
    let fits = |address: &SocketAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let help = "write the address itself, or `localhost`, or nothing for all addresses: `tcp://:5432`";
    let addresses = (system.resolve)(host, port);
    if addresses.is_empty() {
        return Err(Fault::new("an address of this machine (the name does not resolve)", help));
    }
    let addresses: Vec<SocketAddr> = addresses.into_iter().filter(fits).collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied()
        .ok_or_else(|| Fault::new("an address of the family that `tcp4` or `tcp6` asks for", help))
}

fn read_access<'d>(reader: &mut Reader<'d>, socket: &Field<'d>) -> Option<SocketAccess> {
    let section = reader.section(socket)?;
    section.finish(reader, &["owner", "group", "mode"], Unknown::Refused);
    let mut access = Some(DEFAULT_ACCESS);
    if let Some(field) = section.take(reader, "owner") {
        let owner = read_account(reader, &field, Account::User);
        access = access.zip(owner).map(|(access, owner)| SocketAccess { owner: Some(owner), ..access });
    }
    if let Some(field) = section.take(reader, "group") {
        let group = read_account(reader, &field, Account::Group);
        access = access.zip(group).map(|(access, group)| SocketAccess { group: Some(group), ..access });
    }
    if let Some(field) = section.take(reader, "mode") {
        let mode = read_mode(reader, &field);
        access = access.zip(mode).map(|(access, mode)| SocketAccess { mode, ..access });
    }
    access
}

fn read_account<'d>(reader: &mut Reader<'d>, field: &Field<'d>, what: Account) -> Option<u32> {
    let (noun, id) = match what {
        Account::User => ("user", reader.system().user_id),
        Account::Group => ("group", reader.system().group_id),
    };
    let expected = format!("a {noun} of this system, by name or number");
    let help = format!("there is no such {noun} here; create it, or write its number");
    let found = reader.text(field, &expected, &help)?;
    let id = id(found);
    if id.is_none() {
        reader.unexpected(field, &expected, found, &help);
    }
    id
}

/// The mode as it is written: `0660`, `0o660` or `"660"`. An unquoted 660 would be decimal in YAML, so it is not
/// guessed at.
fn read_mode<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> Option<u32> {
    const EXPECTED: &str = "permission bits in octal, like `0660`";
    const HELP: &str = "write the mode with a leading zero: `mode: 0660`";
    let found = reader.text(field, EXPECTED, HELP)?;
    let quoted = reader.scalar(field).is_some_and(|scalar| !scalar.is_plain());
    let mode = parse_mode(found, quoted);
    if mode.is_none() {
        reader.unexpected(field, EXPECTED, found, HELP);
    }
    mode
}

fn parse_mode(text: &str, quoted: bool) -> Option<u32> {
    let digits = text.strip_prefix("0o").or(text.strip_prefix('0')).or(quoted.then_some(text))?;
    let octal = digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777)
}

/// The owner and the group of a socket may connect.
const DEFAULT_ACCESS: SocketAccess = SocketAccess { owner: None, group: None, mode: 0o660 };

/// `sun_path` has 108 bytes (unix(7)), the last of them NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

const EXPECTED: &str = "tcp://host:port or unix:///path";
const HELP: &str = "write it like `tcp://127.0.0.1:5432` or `unix:///run/db/.s.PGSQL.5432`";

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> SocketAddr {
        match parse(text, &System::REAL) {
            Ok(Address::Tcp(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn tcp_addresses_are_read_as_go_reads_them() {
        for (text, address) in [
            ("tcp://0.0.0.0:5432", "0.0.0.0:5432"),
            ("tcp://127.0.0.1:0", "127.0.0.1:0"),
            ("tcp://:5432", "[::]:5432"),
            ("tcp://[::]:5432", "[::]:5432"),
            ("tcp://[::1]:5432", "[::1]:5432"),
            ("tcp4://:5432", "0.0.0.0:5432"),
            ("tcp6://:5432", "[::]:5432"),
            ("tcp6://[::1]:65535", "[::1]:65535"),
            ("tcp://localhost:5432", "127.0.0.1:5432"),
            ("tcp://0.0.0.0:05432", "0.0.0.0:5432"),
        ] {
            assert_eq!(tcp(text), address.parse().expect("an address"), "{text}");
        }
    }

    #[test]
    fn unix_paths_may_be_relative() {
        for (text, path) in [
            ("unix:///sock/.s.PGSQL.5432", "/sock/.s.PGSQL.5432"),
            ("unix://run/db.sock", "run/db.sock"),
            ("unix://./db.sock", "./db.sock"),
        ] {
            assert_eq!(
                parse(text, &System::REAL).expect("a path"),
                Address::Unix(PathBuf::from(path)),
                "{text}"
            );
        }
        let longest = format!("unix:///{}", "x".repeat(106));
        assert!(parse(&longest, &System::REAL).is_ok());
        let fault = parse(&format!("{longest}x"), &System::REAL).expect_err("one byte too long");
        assert_eq!(fault.expected, "a path of at most 107 bytes (this one has 108)");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for (text, expected) in [
            ("", EXPECTED),
            ("0.0.0.0:5432", EXPECTED),
            ("udp://0.0.0.0:53", EXPECTED),
            ("unixpacket:///run/x", EXPECTED),
            ("TCP://0.0.0.0:5432", EXPECTED),
            ("tcp://0.0.0.0", "host:port"),
            ("tcp://::1:5432", "host:port"),
            ("tcp://[::1]5432", "host:port"),
            ("tcp://[::1:5432", "host:port"),
            ("tcp://0.0.0.0:111111", "a port from 0 to 65535"),
            ("tcp://0.0.0.0:-1", "a port from 0 to 65535"),
            ("tcp://0.0.0.0:+1", "a port from 0 to 65535"),
            ("tcp://0.0.0.0:", "a port from 0 to 65535"),
            ("tcp://0.0.0.0:postgresql", "a port from 0 to 65535"),
            ("tcp4://[::1]:5432", "an address of the family that `tcp4` or `tcp6` asks for"),
            ("unix://", "the path of a socket after `unix://`"),
            ("unix:///run/", "the path of a socket after `unix://`"),
            ("unix://@abstract", "a path after `unix://`"),
        ] {
            assert_eq!(parse(text, &System::REAL).expect_err(text).expected, expected, "{text}");
        }
    }

    #[test]
    fn only_loopback_addresses_and_paths_are_local() {
        for (text, expected) in [
            ("tcp://127.0.0.1:1", true),
            ("tcp://127.9.9.9:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://[::ffff:127.0.0.1]:1", true),
            ("tcp://0.0.0.0:1", false),
            ("tcp://:1", false),
            ("tcp://192.0.2.1:1", false),
            ("tcp://[2001:db8::1]:1", false),
            ("tcp://[::ffff:192.0.2.1]:1", false),
        ] {
            assert_eq!(is_local(&ListenOn::Tcp(tcp(text))), expected, "{text}");
        }
        assert!(is_local(&ListenOn::Unix { path: "x".into(), access: DEFAULT_ACCESS }));
    }

    #[test]
    fn modes_are_octal_and_say_so() {
        for (text, quoted, mode) in [
            ("0660", false, Some(0o660)),
            ("0660", true, Some(0o660)),
            ("0o777", false, Some(0o777)),
            ("660", true, Some(0o660)),
            ("0", false, None),
            ("660", false, None),
            ("432", false, None),
            ("01777", false, None),
            ("0680", false, None),
            ("0+60", false, None),
            ("rw-rw----", true, None),
            ("", true, None),
        ] {
            assert_eq!(parse_mode(text, quoted), mode, "{text} {quoted}");
        }
    }
}
