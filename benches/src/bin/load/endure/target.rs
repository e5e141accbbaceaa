//! The target of the crowds: a process of its own that stands for a PostgreSQL server, with one thread for all sessions.
//!
//! It lets everybody in and answers every query with nothing; or it stops at some point of the handshake until it is told
//! to go on. Owns these points. Knows nothing of what is measured meanwhile.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::tests::certificates::Identity;
use ::tests::failure::{Doing, Result};
use ::tests::ports;
use ::tests::process::Process;
use ::tests::wire::{SSL_REQUEST, message};
use clap::{Args, ValueEnum};
use rustix::process::Signal;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::tls::Tls;
use super::{Ground, IDENTITY, crowd};
use crate::stub;

/// What a target is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Stub {
    /// The port of 127.0.0.1 on which it listens
    port: u16,
    /// Where its certificate and its key lie
    directory: PathBuf,
    /// Where it stops until SIGUSR1
    #[arg(value_enum)]
    stop: Stop,
}

/// Where a target stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stop {
    /// Nowhere.
    Never,
    /// Behind the ServerHello of TLS, which its certificate does not follow.
    Hello,
    /// Behind the startup packet, to which there is no answer.
    Startup,
}

/// A running target. Dropping it stops it.
pub(crate) struct Target {
    /// Where it listens on loopback.
    pub(crate) port: u16,
    process: Process,
}

/// What a target says when it listens.
const LISTENING: &str = "listening";

/// How many connections may wait to be taken.
const BACKLOG: u32 = 4096;

/// No message that is meant for a target is longer.
const MESSAGE_MAX: usize = 64 * 1024;

impl Target {
    /// Starts one.
    pub(crate) fn start(ground: &Ground, stop: Stop) -> Result<Self> {
        let port = ports::free();
        let word = match stop {
            Stop::Never => "never",
            Stop::Hello => "hello",
            Stop::Startup => "startup",
        };
        let directory = ground.directory.display().to_string();
        let process = crowd::again(&["target", &port.to_string(), &directory, word], "the target")?;
        process.wait_for_words("that it listens", |said| said.contains(LISTENING))?;
        Ok(Self { port, process })
    }

    /// Tells it to go on where it has stopped.
    pub(crate) fn go_on(&self) {
        self.process.signal(Signal::USR1);
    }
}

impl Stub {
    /// Serves until the process ends.
    pub(crate) fn run(self) -> Result<()> {
        let config = Arc::new(stub::tls(&identity(&self.directory)?)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.and_then(|runtime| runtime.block_on(self.listen(config))).doing("be a target")
    }

    async fn listen(self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut told = signal(SignalKind::user_defined1())?;
        let (tell, gate) = watch::channel(self.stop == Stop::Never);
        tokio::spawn(async move {
            told.recv().await;
            tell.send_replace(true);
            // A gate whose keeper has gone cannot be waited at.
            tell.closed().await;
        });
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], self.port)))?;
        let listener = socket.listen(BACKLOG)?;
        writeln!(io::stdout(), "{LISTENING}")?;
        loop {
            let (stream, _) = listener.accept().await?;
            let (config, gate, stop) = (Arc::clone(&config), gate.clone(), self.stop);
            // What ends a connection is no concern of the target's.
            tokio::spawn(async move { serve(stream, config, stop, gate).await });
        }
    }
}

fn identity(directory: &Path) -> Result<Identity> {
    let [certificate, key] = IDENTITY.map(|name| {
        let path = directory.join(name);
        std::fs::read_to_string(&path).doing(format_args!("read {}", path.display()))
    });
    Ok(Identity { certificate: certificate?, key: key? })
}

/// A connection from its first byte to its last.
async fn serve(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    stop: Stop,
    mut gate: watch::Receiver<bool>,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut head = [0; 8];
    tcp.read_exact(&mut head).await?;
    let [_, _, _, _, code @ ..] = head;
    let mut stream = if u32::from_be_bytes(code) == SSL_REQUEST {
        tcp.write_all(b"S").await?;
        let mut tls = Tls::new(tcp, config)?;
        tls.say_hello().await?;
        if stop == Stop::Hello {
            wait_at(&mut gate).await;
        }
        tls.finish_handshake().await?;
        let mut stream = Stream::Tls(Box::new(tls));
        stream.read_exact(&mut head).await?;
        stream
    } else {
        Stream::Clear(tcp)
    };
    let [length @ .., _, _, _, _] = head;
    stream.read_body(u32::from_be_bytes(length), head.len()).await?;
    if stop == Stop::Startup {
        wait_at(&mut gate).await;
    }
    stream.write_all(&stub::greeting()).await?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        let [kind, length @ ..] = head;
        stream.read_body(u32::from_be_bytes(length), length.len()).await?;
        match kind {
            b'Q' => stream.write_all(&[message('C', b"SELECT 0\0"), stub::ready()].concat()).await?,
            b'X' => return Ok(()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn wait_at(gate: &mut watch::Receiver<bool>) {
    // It is open for good once it opens, and its keeper outlives whoever waits.
    let _ = gate.wait_for(|is_open| *is_open).await;
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<Tls>),
}

impl Stream {
    async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Clear(tcp) => tcp.read_exact(bytes).await.map(drop),
            Self::Tls(tls) => tls.read_exact(bytes).await,
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(tcp) => tcp.write_all(bytes).await,
            Self::Tls(tls) => tls.write_all(bytes).await,
        }
    }

    /// Reads the rest of a packet of `length` bytes, of which `read` have been read, for nothing.
    async fn read_body(&mut self, length: u32, read: usize) -> io::Result<()> {
        let length = usize::try_from(length).ok().and_then(|length| length.checked_sub(read));
        let length = length.filter(|length| *length <= MESSAGE_MAX).ok_or(io::ErrorKind::InvalidData)?;
        self.read_exact(&mut vec![0; length]).await
    }
}
