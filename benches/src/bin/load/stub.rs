//! A stub that stands for a PostgreSQL server: it lets everybody in, then moves bytes of no protocol, or waits.
//!
//! It is for what PostgreSQL does at great cost or not at all: thousands of sessions, and a stream that only the
//! proxy slows down. It takes connections in clear and over TLS, with PostgreSQL's request for it or without, so that
//! proxies that know no PostgreSQL can speak TLS to it. One thread for each connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use ::tests::certificates::Identity;
use ::tests::failure::{Doing, Failure, Result};
use ::tests::wire::{CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, message};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The query that asks for this many bytes, which come at once and without a header.
pub(crate) const DOWNLOAD: &str = "download";

/// The query behind which this many bytes will come; the stub is ready again when it has them.
pub(crate) const UPLOAD: &str = "upload";

/// How much is sent or taken at once.
pub(crate) const CHUNK: usize = 256 * 1024;

/// No message that is meant for the stub is longer.
const MESSAGE_MAX: usize = 64 * 1024;

/// The first byte of a TLS record that begins a handshake. No packet of PostgreSQL is so long.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection's thread needs little, and there are thousands.
const STACK: usize = 256 * 1024;

/// Listens on loopback from now on, for as long as the process lives.
pub(crate) fn start(identity: &Identity) -> Result<SocketAddr> {
    let config = Arc::new(tls(identity)?);
    let listener = TcpListener::bind(("127.0.0.1", ::tests::ports::free())).doing("start the stub")?;
    let address = listener.local_addr().doing("ask for the stub's address")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // Without a thread the connection is dropped, and its client says so. What ends a connection is no
            // concern of the stub's.
            let _ = thread::Builder::new().stack_size(STACK).spawn(move || accept(stream, config));
        }
    });
    Ok(address)
}

/// What makes a server of TLS of this certificate.
pub(crate) fn tls(identity: &Identity) -> Result<ServerConfig> {
    let unusable = |_| Failure::new("the stub's certificate cannot be read");
    let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(unusable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(|error| Failure::new(format!("the stub cannot speak TLS: {error}")))?;
    // Left to the proxies, some would take AES-128 and others AES-256.
    config.ignore_client_order = true;
    Ok(config)
}

/// A connection from its first byte on.
fn accept(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first)? == 1 && first[0] == TLS_HANDSHAKE {
        return log_in(&mut encrypted(stream, config)?);
    }
    loop {
        match packet(&mut stream)? {
            SSL_REQUEST => {
                stream.write_all(b"S")?;
                return log_in(&mut encrypted(stream, config)?);
            }
            GSSENC_REQUEST => stream.write_all(b"N")?,
            CANCEL_REQUEST => return Ok(()),
            _ => return serve(&mut stream),
        }
    }
}

fn encrypted(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

fn log_in(stream: &mut (impl Read + Write)) -> io::Result<()> {
    packet(stream)?;
    serve(stream)
}

/// Reads a packet without a type; gives its code.
fn packet(stream: &mut impl Read) -> io::Result<u32> {
    let (mut length, mut code) = ([0; 4], [0; 4]);
    stream.read_exact(&mut length)?;
    stream.read_exact(&mut code)?;
    body(stream, u32::from_be_bytes(length), 8)?;
    Ok(u32::from_be_bytes(code))
}

/// The rest of a packet of `length` bytes, of which `read` have been read.
fn body(stream: &mut impl Read, length: u32, read: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(read));
    let length = length.filter(|length| *length <= MESSAGE_MAX).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// A session from the answer to the StartupMessage on.
fn serve(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&greeting())?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let body = body(stream, u32::from_be_bytes(length), 4)?;
        match (kind, order(&body)) {
            (b'Q', Some((DOWNLOAD, bytes))) => send(stream, bytes)?,
            (b'Q', Some((UPLOAD, bytes))) => {
                take(stream, bytes)?;
                stream.write_all(&ready())?;
            }
            // An idle session's only query, or what a pooler says to a connection that it takes back.
            (b'Q', _) => stream.write_all(&[message('C', b"DISCARD ALL\0"), ready()].concat())?,
            (b'X', _) => return Ok(()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What a server says to a client that needs no password.
pub(crate) fn greeting() -> Vec<u8> {
    let parameter = |name: &str, value: &str| message('S', format!("{name}\0{value}\0").as_bytes());
    [
        message('R', &[0; 4]),
        parameter("server_version", "15.0"),
        parameter("server_encoding", "UTF8"),
        parameter("client_encoding", "UTF8"),
        parameter("standard_conforming_strings", "on"),
        message('K', &[1; 8]),
        ready(),
    ]
    .concat()
}

/// That it is ready for a query.
pub(crate) fn ready() -> Vec<u8> {
    message('Z', b"I")
}

/// "download 1000": what is to be done, and with how many bytes.
fn order(query: &[u8]) -> Option<(&str, u64)> {
    let text = str::from_utf8(query.strip_suffix(b"\0")?).ok()?;
    let (what, bytes) = text.split_once(' ')?;
    Some((what, bytes.parse().ok()?))
}

/// Sends this many bytes.
pub(crate) fn send(stream: &mut impl Write, bytes: u64) -> io::Result<()> {
    let chunk = vec![b'x'; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let count = stream.write(&chunk[..most])?;
        left -= count as u64;
    }
    stream.flush()
}

/// Reads this many bytes, for nothing.
pub(crate) fn take(stream: &mut impl Read, bytes: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        match stream.read(&mut chunk[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count as u64,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_orders() {
        assert_eq!(order(b"download 1000\0"), Some((DOWNLOAD, 1000)));
        assert_eq!(order(b"DISCARD ALL\0"), None);
        assert_eq!(order(b"download 1000"), None);
    }

    #[test]
    fn sends_and_takes_as_many_bytes_as_it_is_told() {
        let mut sent = Vec::new();
        let bytes = CHUNK as u64 + 3;
        send(&mut sent, bytes).expect("a vector takes all");
        assert_eq!(sent.len() as u64, bytes);
        assert!(take(&mut sent.as_slice(), bytes).is_ok());
        assert!(take(&mut sent.as_slice(), bytes + 1).is_err());
    }
}
