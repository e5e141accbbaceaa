//! PostgreSQL's protocol byte by byte, for what no driver would do.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::broker::Listen;
use crate::wait::GENEROUS;

/// The codes that stand where a StartupMessage has its version.
pub const SSL_REQUEST: u32 = 80_877_103;
/// See [`SSL_REQUEST`].
pub const GSSENC_REQUEST: u32 = 80_877_104;
/// See [`SSL_REQUEST`].
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// Protocol 3.0.
pub const VERSION_3_0: u32 = 0x0003_0000;
/// Protocol 3.2.
pub const VERSION_3_2: u32 = 0x0003_0002;

/// A connection, TCP or Unix.
pub struct Wire {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write + Send {
    fn shutdown_write(&mut self) -> io::Result<()>;
}

impl Stream for StreamOwned<ClientConnection, Box<dyn Stream>> {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

impl Stream for TcpStream {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn shutdown_write(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A message of the server: its type and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The type's letter.
    pub kind: char,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub fn connect(listen: &Listen) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match listen {
            Listen::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(GENEROUS))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Listen::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(GENEROUS))?;
                Box::new(stream)
            }
        };
        Ok(Self { stream })
    }

    /// Asks for TLS and begins it, with whom `authority`'s certificate (PEM) calls localhost.
    pub fn connect_in_tls(listen: &Listen, authority: &str) -> io::Result<Self> {
        let mut wire = Self::connect(listen)?;
        wire.send(&packet(SSL_REQUEST, b""))?;
        match wire.byte()? {
            b'S' => wire.in_tls(authority),
            answer => Err(io::Error::other(format!("the answer to SSLRequest is {:?}", char::from(answer)))),
        }
    }

    /// The same connection in TLS, which begins now.
    pub fn in_tls(self, authority: &str) -> io::Result<Self> {
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, self.stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        if stream.conn.alpn_protocol() != Some(b"postgresql") {
            return Err(io::Error::other("the broker does not say what it speaks"));
        }
        Ok(Self { stream: Box::new(stream) })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will come from us.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    /// Reads one byte, the answer to a request for encryption.
    pub fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Reads exactly this many bytes.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the next message.
    pub fn message(&mut self) -> io::Result<Message> {
        let kind = char::from(self.byte()?);
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let count = length.checked_sub(4).and_then(|count| usize::try_from(count).ok());
        let body = self.bytes(count.ok_or(io::ErrorKind::InvalidData)?)?;
        Ok(Message { kind, body })
    }

    /// Reads messages up to and including the first of `kind`.
    pub fn messages_until(&mut self, kind: char) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = self.message()?;
            let found = message.kind == kind;
            messages.push(message);
            if found {
                return Ok(messages);
            }
        }
    }

    /// Everything that still comes, until the other side closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Starts a session and reads everything up to ReadyForQuery.
    pub fn log_in(&mut self, database: &str) -> io::Result<Vec<Message>> {
        self.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", database)]))?;
        let mut messages = Vec::new();
        loop {
            let message = self.message()?;
            if message.kind == 'E' {
                return Err(io::Error::other(format!("{:?}", message.fields())));
            }
            let ready = message.kind == 'Z';
            messages.push(message);
            if ready {
                return Ok(messages);
            }
        }
    }

    /// Runs one simple query; gives the first column of its rows.
    pub fn query(&mut self, sql: &str) -> io::Result<Vec<String>> {
        self.send(&query(sql))?;
        let messages = self.messages_until('Z')?;
        if let Some(error) = messages.iter().find(|message| message.kind == 'E') {
            return Err(io::Error::other(format!("{:?}", error.fields())));
        }
        Ok(messages.iter().filter(|message| message.kind == 'D').map(Message::first_column).collect())
    }
}

impl Message {
    /// The fields of an ErrorResponse or NoticeResponse: their letters and texts.
    pub fn fields(&self) -> Vec<(char, String)> {
        let fields = self.body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
        fields
            .map(|(&letter, text)| (char::from(letter), String::from_utf8_lossy(text).into_owned()))
            .collect()
    }

    /// One field of an ErrorResponse, empty if it is not there.
    pub fn field(&self, letter: char) -> String {
        self.fields()
            .into_iter()
            .find(|(known, _)| *known == letter)
            .map(|(_, text)| text)
            .unwrap_or_default()
    }

    /// The first column of a DataRow, as text.
    fn first_column(&self) -> String {
        let length =
            self.body.get(2..6).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(i32::from_be_bytes);
        let end = length.and_then(|length| usize::try_from(length).ok()).map_or(6, |length| 6 + length);
        String::from_utf8_lossy(self.body.get(6..end).unwrap_or_default()).into_owned()
    }
}

/// A packet without a type: its length, a code, the rest.
pub fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + rest.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat()
}

/// A StartupMessage.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut rest = Vec::new();
    for (name, value) in parameters {
        rest.extend_from_slice(name.as_bytes());
        rest.push(0);
        rest.extend_from_slice(value.as_bytes());
        rest.push(0);
    }
    rest.push(0);
    packet(version, &rest)
}

/// A message with a type.
pub fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap_or(u32::MAX);
    let kind = u8::try_from(kind).unwrap_or(b'?');
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// A simple Query.
pub fn query(sql: &str) -> Vec<u8> {
    message('Q', &[sql.as_bytes(), &[0]].concat())
}
