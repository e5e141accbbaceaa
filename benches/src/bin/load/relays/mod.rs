//! The reference relays: the least that a relay of bytes can be, once for each runtime, to learn what the runtime
//! costs. TCP to TCP, one thread, one buffer for each direction. They know no protocol.

mod monoio;
mod tokio;
mod tokio_uring;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ::tests::failure::{Doing, Result};
use clap::{Args, ValueEnum};

/// What a reference relay is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Relay {
    /// What it runs on
    #[arg(value_enum)]
    runtime: Runtime,
    /// Where it listens and where it relays to: ADDRESS=ADDRESS
    #[arg(required = true)]
    routes: Vec<Route>,
}

/// What a reference relay runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// tokio, on epoll.
    Tokio,
    /// tokio-uring.
    TokioUring,
    /// monoio, on `io_uring`.
    Monoio,
}

/// Where a relay listens, and where it relays to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    from: SocketAddr,
    to: SocketAddr,
}

/// How much is moved at once: what nginx and HAProxy take, too.
const BUFFER: usize = 16 * 1024;

impl Relay {
    /// Relays until the process ends.
    pub(crate) fn run(self) -> Result<()> {
        match self.runtime {
            Runtime::Tokio => tokio::run(self.routes),
            Runtime::TokioUring => tokio_uring::run(self.routes),
            Runtime::Monoio => monoio::run(self.routes),
        }
        .doing(format_args!("relay on {}", self.runtime))
    }
}

impl Runtime {
    /// The crate and its version, as Cargo has locked it.
    pub(crate) fn version(self) -> String {
        let name = self.to_string();
        let locked = include_str!("../../../../../Cargo.lock");
        let version = locked
            .split_once(&format!("name = \"{name}\"\nversion = \""))
            .and_then(|(_, rest)| rest.split('"').next());
        format!("{name} {}", version.unwrap_or_default())
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::TokioUring => "tokio-uring",
            Self::Monoio => "monoio",
        })
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("not ADDRESS=ADDRESS")?;
        let address = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        Ok(Self { from: address(from)?, to: address(to)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes() {
        let route: Route = "127.0.0.1:1=127.0.0.1:2".parse().expect("it is a route");
        assert_eq!((route.from.port(), route.to.port()), (1, 2));
        assert!("127.0.0.1:1".parse::<Route>().is_err());
    }

    #[test]
    fn every_runtime_is_locked() {
        for runtime in Runtime::value_variants() {
            let version = runtime.version();
            assert!(version.ends_with(|c: char| c.is_ascii_digit()), "{version:?}");
        }
    }
}
