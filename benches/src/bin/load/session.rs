//! A client of the stub: it logs in through whatever stands between, then moves bytes, or holds its session.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use tests::broker::Listen;
use tests::wait::GENEROUS;
use tests::wire::{VERSION_3_0, query, startup};

use crate::scenarios::Direction;
use crate::stub::{self, DOWNLOAD, UPLOAD};

/// An open session. Dropping it closes the connection.
pub(crate) struct Session {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write + Send {}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

impl Session {
    /// Connects to `listen` and logs in, which takes no password.
    pub(crate) fn open(listen: &Listen, user: &str, database: &str) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match listen {
            Listen::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(GENEROUS))?;
                Box::new(stream)
            }
            Listen::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(GENEROUS))?;
                Box::new(stream)
            }
        };
        let mut session = Self { stream };
        session.stream.write_all(&startup(VERSION_3_0, &[("user", user), ("database", database)]))?;
        session.wait_until_ready()?;
        Ok(session)
    }

    /// Moves this many bytes, and waits until they have arrived.
    pub(crate) fn stream(&mut self, direction: Direction, bytes: u64) -> io::Result<()> {
        match direction {
            Direction::Download => {
                self.stream.write_all(&query(&format!("{DOWNLOAD} {bytes}")))?;
                stub::take(&mut self.stream, bytes)
            }
            Direction::Upload => {
                self.stream.write_all(&query(&format!("{UPLOAD} {bytes}")))?;
                stub::send(&mut self.stream, bytes)?;
                self.wait_until_ready()
            }
        }
    }

    /// Has a query answered. A pooler gives a session its connection to the server only then.
    pub(crate) fn say_something(&mut self) -> io::Result<()> {
        self.stream.write_all(&query("SELECT"))?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head)?;
            let [kind, length @ ..] = head;
            let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
            let mut body = vec![0; length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?];
            self.stream.read_exact(&mut body)?;
            match kind {
                b'Z' => return Ok(()),
                b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).replace('\0', " "))),
                _ => {}
            }
        }
    }
}
