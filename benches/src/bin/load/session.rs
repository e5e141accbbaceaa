//! A client of the stub: it logs in through whatever stands between, then moves bytes, or holds its session.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tests::broker::Listen;
use tests::wait::GENEROUS;
use tests::wire::{VERSION_3_0, message, query, startup};

use crate::scenarios::Direction;
use crate::stub::{self, DOWNLOAD, UPLOAD};

/// An open session. Dropping it closes the connection.
pub(crate) struct Session {
    stream: Box<dyn Stream>,
}

trait Stream: Read + Write + Send + AsFd {}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

impl Session {
    /// Connects to `listen` and logs in, which takes no password.
    pub(crate) fn open(listen: &Listen, user: &str, database: &str) -> io::Result<Self> {
        let mut session = Self::begin(listen, user, database)?;
        session.wait_until_ready()?;
        Ok(session)
    }

    /// Connects to `listen` and says who it is, and does not wait for an answer.
    pub(crate) fn begin(listen: &Listen, user: &str, database: &str) -> io::Result<Self> {
        let mut stream = connect(listen)?;
        stream.write_all(&startup(VERSION_3_0, &[("user", user), ("database", database)]))?;
        Ok(Self { stream })
    }

    /// Ends the session as the protocol has it, and waits until the other side has closed the connection. So it is the
    /// servers' ports that are in TIME_WAIT, and those are not used up.
    pub(crate) fn farewell(mut self) -> io::Result<()> {
        self.stream.write_all(&message('X', b""))?;
        match self.stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
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

/// A connection that does not come to the end of its handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaking<'a> {
    /// What is sent.
    pub(crate) send: &'a [u8],
    /// How many bytes of the answer are waited for.
    pub(crate) see: usize,
    /// Whether it ends by a reset, where there is such a thing.
    pub(crate) resets: bool,
}

impl Breaking<'_> {
    /// Connects, and vanishes.
    pub(crate) fn carry_out(self, listen: &Listen) -> io::Result<()> {
        let mut stream = connect(listen)?;
        stream.write_all(self.send)?;
        stream.read_exact(&mut vec![0; self.see])?;
        if self.resets {
            set_socket_linger(stream.as_fd(), Some(Duration::ZERO))?;
        }
        Ok(())
    }
}

fn connect(listen: &Listen) -> io::Result<Box<dyn Stream>> {
    Ok(match listen {
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
    })
}
