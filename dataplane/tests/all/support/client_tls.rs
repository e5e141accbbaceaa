//! A data plane whose clients speak TLS, before either kind of target.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use dataplane::IoChoice;
use protocol::Error;
use rustls::SupportedProtocolVersion;

use super::tls::{self, TlsClient, TlsTarget};
use super::{Bed, Options, accept, await_that};

/// A data plane whose clients speak TLS.
pub(crate) struct Stage {
    pub(crate) bed: Bed,
    pub(crate) listener: TcpListener,
    is_encrypted: bool,
}

/// Either kind of target.
pub(crate) enum Target {
    Plain(TcpStream),
    Encrypted(Box<TlsTarget>),
}

impl Stage {
    pub(crate) fn new(io: IoChoice, is_encrypted: bool) -> Self {
        Self::with(Options { is_encrypted, ..Options::on(io) })
    }

    pub(crate) fn with(mut options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        options.takes_tls = true;
        let is_encrypted = options.is_encrypted;
        let bed = Bed::new(listener.local_addr().unwrap(), options);
        Self { bed, listener, is_encrypted }
    }

    pub(crate) fn session(&self, version: &'static SupportedProtocolVersion) -> (TlsClient, Target) {
        let mut client = tls::connect(self.bed.address, version);
        client.write_all(b"x").unwrap();
        let target = if self.is_encrypted {
            Target::Encrypted(Box::new(tls::accept(&self.listener, &tls::server(version))))
        } else {
            Target::Plain(accept(&self.listener))
        };
        (client, target)
    }

    pub(crate) fn failed(&self, label: &str) -> u64 {
        let index = Error::LABELS.iter().position(|known| *known == label).unwrap();
        self.bed.runtime.totals().failed[index]
    }

    pub(crate) fn await_end(&self) {
        await_that("the session to end", || self.bed.plane.connections() == 0);
    }
}

impl Target {
    /// Says that nothing more comes.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Plain(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Encrypted(tls) => tls::close(tls),
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Encrypted(tls) => &tls.sock,
        }
    }
}

impl Read for Target {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Encrypted(tls) => tls.read(buf),
        }
    }
}

impl Write for Target {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Encrypted(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Encrypted(tls) => tls.flush(),
        }
    }
}
