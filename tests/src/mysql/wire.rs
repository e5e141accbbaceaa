//! The protocol's packets, one by one, for what no client does.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::broker::Listen;
use crate::failure::{Doing, Failure, Result};
use crate::wait;

/// A connection that has read nothing yet.
pub struct Wire {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Counts the packets of one exchange.
    pub number: u8,
    /// What is inside.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The code of an ERR packet; `None` if it is none.
    pub fn error_code(&self) -> Option<u16> {
        match self.payload[..] {
            [0xFF, low, high, ..] => Some(u16::from_le_bytes([low, high])),
            _ => None,
        }
    }

    /// What it holds, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let [a, b, c, ..] = u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_le_bytes();
        [&[a, b, c, self.number][..], &self.payload].concat()
    }
}

/// What a client of this file says of itself: protocol 4.1, transactions, plugins, a database, local files, multiple results,
/// changes of the session's state, and no EOF packets.
const FLAGS: u32 = 1 | 1 << 3 | 1 << 7 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 17 | 1 << 19 | 1 << 23 | 1 << 24;

/// The payload of a client's answer to the greeting.
pub fn response(user: &str, database: &str, plugin: &str, proof: &[u8]) -> Vec<u8> {
    let length = u8::try_from(proof.len()).unwrap_or(u8::MAX);
    [
        &FLAGS.to_le_bytes()[..],
        &(1u32 << 24).to_le_bytes(),
        &[45],
        &[0; 23],
        user.as_bytes(),
        &[0, length],
        proof,
        database.as_bytes(),
        b"\0",
        plugin.as_bytes(),
        b"\0",
    ]
    .concat()
}

/// The payload of `COM_CHANGE_USER`.
pub fn change_user(user: &str, database: &str, plugin: &str, proof: &[u8]) -> Vec<u8> {
    let length = u8::try_from(proof.len()).unwrap_or(u8::MAX);
    [
        b"\x11",
        user.as_bytes(),
        &[0, length],
        proof,
        database.as_bytes(),
        b"\0\x2D\0",
        plugin.as_bytes(),
        b"\0",
    ]
    .concat()
}

impl Wire {
    /// Connects.
    pub fn connect(listen: &Listen) -> Result<Self> {
        let stream: Box<dyn Stream> = match listen {
            Listen::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).doing("connect")?;
                stream.set_read_timeout(Some(wait::GENEROUS)).doing("set a deadline")?;
                Box::new(stream)
            }
            Listen::Unix(path) => {
                let stream = UnixStream::connect(path).doing("connect")?;
                stream.set_read_timeout(Some(wait::GENEROUS)).doing("set a deadline")?;
                Box::new(stream)
            }
        };
        Ok(Self { stream })
    }

    /// Connects, and logs in as somebody without a password.
    pub fn session(listen: &Listen, database: &str) -> Result<Self> {
        let mut wire = Self::connect(listen)?;
        wire.packet()?;
        wire.send(1, &response("nobody", database, "mysql_native_password", b""))?;
        let ok = wire.packet()?;
        if ok.payload.first() == Some(&0) {
            Ok(wire)
        } else {
            Err(Failure::new(format!("not let in: {}", ok.text())))
        }
    }

    /// The next packet.
    pub fn packet(&mut self) -> Result<Packet> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).doing("read a packet's header")?;
        let [a, b, c, number] = header;
        let mut payload = vec![0; usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16];
        self.stream.read_exact(&mut payload).doing("read a packet")?;
        Ok(Packet { number, payload })
    }

    /// Sends a packet.
    pub fn send(&mut self, number: u8, payload: &[u8]) -> Result<()> {
        self.send_bytes(&Packet { number, payload: payload.to_vec() }.bytes())
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).doing("send")
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error).doing("read to the end"),
            _ => Ok(rest),
        }
    }

    /// Runs a statement whose answer is one packet.
    pub fn run(&mut self, statement: &str) -> Result<Packet> {
        self.send(0, &[b"\x03", statement.as_bytes()].concat())?;
        self.packet()
    }

    /// The one value that a statement gives.
    pub fn value(&mut self, statement: &str) -> Result<String> {
        let first = self.run(statement)?;
        if first.payload != [1] {
            return Err(Failure::new(format!("{statement:?} gives {}", first.text())));
        }
        // Its column, its row, its end.
        self.packet()?;
        let row = self.packet()?;
        self.packet()?;
        // A short text stands behind its length.
        Ok(String::from_utf8_lossy(row.payload.get(1..).unwrap_or_default()).into_owned())
    }
}
