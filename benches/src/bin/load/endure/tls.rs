//! A server's side of TLS on a connection that does not block, in steps, so that it can stop between them.
//!
//! Owns the bytes between rustls and the socket. Knows nothing of what is said inside.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A connection that speaks TLS.
pub(crate) struct Tls {
    tcp: TcpStream,
    connection: ServerConnection,
    /// What rustls wants to be sent, and is not yet.
    out: Vec<u8>,
}

/// How much is read from the socket at once.
const CHUNK: usize = 8 * 1024;

/// A TLS record's header; its last two bytes are the length of what follows.
const HEADER: usize = 5;

impl Tls {
    /// Before the first byte.
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self { tcp, connection, out: Vec::new() })
    }

    /// Reads the ClientHello, and answers with the ServerHello alone.
    pub(crate) async fn say_hello(&mut self) -> io::Result<()> {
        while !self.connection.wants_write() {
            self.read().await?;
        }
        self.gather()?;
        let hello = first_record(&self.out).ok_or(io::ErrorKind::InvalidData)?;
        self.tcp.write_all(&self.out[..hello]).await?;
        self.out.drain(..hello);
        Ok(())
    }

    /// Says and hears the rest of the handshake.
    pub(crate) async fn finish_handshake(&mut self) -> io::Result<()> {
        self.flush().await?;
        while self.connection.is_handshaking() {
            self.read().await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Reads as many bytes as there is room for.
    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut read = 0;
        while read < bytes.len() {
            match self.connection.reader().read(&mut bytes[read..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.read().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends all of `bytes`.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(bytes)?;
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.gather()?;
        let out = std::mem::take(&mut self.out);
        self.tcp.write_all(&out).await
    }

    fn gather(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.out)?;
        }
        Ok(())
    }

    /// Waits for more from the socket, and gives it to rustls.
    async fn read(&mut self) -> io::Result<()> {
        loop {
            self.tcp.readable().await?;
            match self.take() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    fn take(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        let count = self.tcp.try_read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut taken = &chunk[..count];
        while !taken.is_empty() {
            self.connection.read_tls(&mut taken)?;
            self.connection.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// How long the first record in `bytes` is; `None` if it is not all there.
fn first_record(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, length @ ..] = bytes.first_chunk::<HEADER>()?;
    let record = HEADER + usize::from(u16::from_be_bytes(*length));
    (bytes.len() >= record).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_the_first_record() {
        let hello = b"\x16\x03\x03\x00\x02ab\x16\x03\x03\x00\x01c";
        assert_eq!(first_record(hello), Some(7));
        assert_eq!(first_record(&hello[..6]), None);
        assert_eq!(first_record(&hello[..3]), None);
    }
}
