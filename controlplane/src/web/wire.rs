//! The bytes between us and a store.
//!
//! Owns the connections of one fetch: a socket, TLS on it, and their buffers, which are wiped, for tokens and values pass
//! through them. Written against `ureq::unversioned`, which may change with any release: this file is all that has to
//! follow it. Knows nothing of HTTP.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};
use ureq::{Error, Timeout};
use zeroize::Zeroizing;

/// Opens sockets, none of which is waited for beyond `deadline`: whoever asks bit by bit has as many times as there are bits.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) deadline: Instant,
}

impl<In: Transport> Connector<In> for Sockets {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        tunnel: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if tunnel.is_some() {
            return Ok(tunnel.map(Either::A));
        }
        let patience = left(details.timeout, self.deadline)?.min(CONNECT_MAX);
        let end = Instant::now() + patience;
        let mut failure = Error::HostNotFound;
        for address in &details.addrs {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Some(Either::B(Socket {
                        stream,
                        deadline: self.deadline,
                        buffers: Wiped::new(),
                    })));
                }
                Err(error) => failure = said(error, Timeout::Connect),
            }
        }
        Err(failure)
    }
}

/// A connection in clear.
pub(crate) struct Socket {
    stream: TcpStream,
    deadline: Instant,
    buffers: Wiped,
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < amount {
            // A peer may take it bit by bit.
            self.stream.set_write_timeout(Some(left(timeout, self.deadline)?))?;
            match self.stream.write(&self.buffers.output[sent..amount]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(said(error, timeout.reason)),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(Some(left(timeout, self.deadline)?))?;
        self.buffers.fill_from(&mut self.stream).map_err(|error| said(error, timeout.reason))
    }

    fn is_open(&mut self) -> bool {
        // Asked before a connection is used again within a fetch, a moment after the last answer.
        true
    }
}

/// Puts TLS on connections to addresses that want it.
pub(crate) struct Encryption {
    /// How with the store; `None` for one in clear.
    pub(crate) config: Option<Arc<ClientConfig>>,
    /// Whether there is a proxy in between.
    pub(crate) is_proxied: bool,
    /// How with the proxy; `None` for one in clear.
    pub(crate) proxy: Option<Arc<ClientConfig>>,
    /// The name that the store's certificate has, if that is not its host.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// The store's host, which that name is for. A proxy has its own.
    pub(crate) host: String,
}

impl<In: Transport> Connector<In> for Encryption {
    type Out = Either<In, Tls>;

    fn connect(&self, details: &ConnectionDetails<'_>, line: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(line) = line else { return Ok(None) };
        if !details.needs_tls() || line.is_tls() {
            return Ok(Some(Either::A(line)));
        }
        // The way to the proxy has no proxy.
        let is_proxy = self.is_proxied && details.config.proxy().is_none();
        let config = if is_proxy { &self.proxy } else { &self.config };
        let config = config.as_ref().ok_or_else(|| io::Error::other("there is no TLS for it"))?;
        let name = match &self.server_name {
            Some(name) if !is_proxy && details.uri.host() == Some(&*self.host) => name.clone(),
            _ => details.uri.host().and_then(server_name).ok_or(Error::HostNotFound)?,
        };
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let line = TransportAdapter::new(line.boxed(), Arc::clone(&details.current_time));
        let mut stream = StreamOwned::new(connection, line);
        stream.sock.set_timeout(details.timeout);
        stream.conn.complete_io(&mut stream.sock)?;
        Ok(Some(Either::B(Tls { stream, buffers: Wiped::new() })))
    }
}

/// The name in a certificate for a host of an address; one of IPv6 stands in brackets there.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).ok()
}

/// A connection in TLS.
pub(crate) struct Tls {
    stream: StreamOwned<ClientConnection, TransportAdapter>,
    buffers: Wiped,
}

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        self.buffers.fill_from(&mut self.stream).map_err(|error| said(error, timeout.reason))
    }

    fn is_open(&mut self) -> bool {
        true
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Both directions' bytes, wiped when the connection goes.
///
/// `parsed <= filled <= input.len()`
struct Wiped {
    input: Zeroizing<Vec<u8>>,
    parsed: usize,
    filled: usize,
    output: Zeroizing<Vec<u8>>,
    /// Whether the last look at the input took something of it.
    has_moved: bool,
}

impl Wiped {
    fn new() -> Self {
        let buffer = || Zeroizing::new(vec![0; BUFFER_BYTES]);
        Self { input: buffer(), parsed: 0, filled: 0, output: buffer(), has_moved: false }
    }

    fn fill_from(&mut self, source: &mut impl Read) -> io::Result<bool> {
        if self.input_append_buf().is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidData, "the answer's head is too long"));
        }
        loop {
            match source.read(&mut self.input[self.filled..]) {
                Ok(count) => {
                    self.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Buffers for Wiped {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.parsed..self.filled]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.parsed..self.filled, 0);
        self.filled -= self.parsed;
        self.parsed = 0;
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled = (self.filled + amount).min(self.input.len());
    }

    fn input_consume(&mut self, amount: usize) {
        self.has_moved = amount > 0;
        self.parsed = (self.parsed + amount).min(self.filled);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.input[self.filled..], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.parsed < self.filled && self.has_moved
    }
}

/// How long the next step may take; `Err` once nothing is left.
fn left(timeout: NextTimeout, deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = if timeout.after.is_not_happening() { left } else { left.min(*timeout.after) };
    if left.is_zero() { Err(Error::Timeout(timeout.reason)) } else { Ok(left) }
}

/// A socket's deadline shows as an operation that would block. What breaks off must not look like the end of a body, which the client
/// takes it for where that has no length.
fn said(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(reason),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            Error::Io(io::Error::other(error))
        }
        _ => error.into(),
    }
}

/// Neither has anything to show.
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

/// A head of an answer fits in, and so do two records of TLS.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;

/// A store that is up takes a connection at once; one whose machine is gone takes none, and another address of its
/// name may be alive.
const CONNECT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_keeps_what_was_not_parsed_and_makes_room_before_it_is_filled() {
        let mut buffers = Wiped::new();
        let first = vec![1; BUFFER_BYTES];
        assert!(buffers.fill_from(&mut &first[..]).expect("a slice does not fail"));
        assert!(buffers.fill_from(&mut &first[..]).is_err(), "it is full");
        buffers.input_consume(BUFFER_BYTES - 2);
        assert!(buffers.can_use_input());
        assert!(buffers.fill_from(&mut &[2u8, 3][..]).expect("there is room"));
        assert_eq!(buffers.input(), [1, 1, 2, 3]);
        buffers.input_consume(0);
        assert!(!buffers.can_use_input(), "whoever takes nothing needs more");
        assert!(!buffers.fill_from(&mut &[][..]).expect("an end is no error"));
    }

    #[test]
    fn an_address_of_ipv6_is_a_name_without_its_brackets() {
        assert_eq!(server_name("[::1]").map(|name| name.to_str().into_owned()).as_deref(), Some("::1"));
        assert!(server_name("vault.example.com").is_some());
        assert!(server_name("").is_none());
    }
}
