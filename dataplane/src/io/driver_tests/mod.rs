//! The promises of every driver, kept by the kernel: over socket pairs, once for each driver.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{Chunk, Completion, Epoll, Io, Kind, Received, Token, Uring};

/// Long enough that only a hang meets it.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A driver under test.
pub(super) trait Driver: Io + Sized {
    fn open() -> Self;

    /// A socket that did not come from the driver.
    fn adopt(&self, descriptor: OwnedFd) -> Self::Socket;
}

impl Driver for Uring {
    fn open() -> Self {
        Self::new(1 << 20).expect("the kernel lets us have a ring")
    }

    fn adopt(&self, descriptor: OwnedFd) -> OwnedFd {
        descriptor
    }
}

impl Driver for Epoll {
    fn open() -> Self {
        Self::new(1 << 20).expect("descriptors are left")
    }

    fn adopt(&self, descriptor: OwnedFd) -> Self::Socket {
        Self::adopt(self, descriptor)
    }
}

/// Makes a test of each function for each driver.
macro_rules! on_both_drivers {
    ($($name:ident,)*) => {
        mod on_uring {
            $(#[test] fn $name() { super::$name::<crate::io::Uring>(); })*
        }
        mod on_epoll {
            $(#[test] fn $name() { super::$name::<crate::io::Epoll>(); })*
        }
    };
}

mod data;
mod waits;

pub(super) fn token(kind: Kind) -> Token {
    Token { kind, epoch: 0, generation: 1, slot: 7 }
}

pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("descriptors are left")
}

/// A socket of the driver's and its peer.
fn pair_of<D: Driver>(driver: &D) -> (D::Socket, OwnedFd) {
    let (ours, theirs) = pair();
    (driver.adopt(ours), theirs)
}

pub(super) fn turn<I: Io>(driver: &mut I, wait: Duration) -> Vec<Completion<I::Socket>> {
    let mut completions = Vec::new();
    let until = (!wait.is_zero()).then(|| Instant::now() + wait);
    driver.turn(until, &mut completions);
    completions
}

/// Turns until something has completed.
fn next<I: Io>(driver: &mut I) -> Vec<Completion<I::Socket>> {
    let deadline = Instant::now() + DEADLINE;
    let mut completions = Vec::new();
    while completions.is_empty() {
        assert!(Instant::now() < deadline, "nothing completes");
        driver.turn(Some(deadline), &mut completions);
    }
    completions
}

/// Whether nothing completes for a moment.
fn is_quiet<I: Io>(driver: &mut I) -> bool {
    let until = Instant::now() + Duration::from_millis(5);
    let mut completions = Vec::new();
    while completions.is_empty() && Instant::now() < until {
        driver.turn(Some(until), &mut completions);
    }
    completions.is_empty()
}

pub(super) fn bytes(content: &'static [u8]) -> Chunk {
    Chunk::Bytes(Bytes::from_static(content))
}

/// What came of a receive: its data, and the last completion if that was among them.
fn received<S>(completions: Vec<Completion<S>>) -> (Vec<u8>, Option<Received>) {
    let mut data = Vec::new();
    let mut last = None;
    for completion in completions {
        let Completion::Received { received, armed, .. } = completion else {
            panic!("only a receive is under way")
        };
        assert!(last.is_none(), "nothing comes behind the last completion");
        match received {
            Received::Data(lease) => {
                assert!(!lease.is_empty(), "data is at least a byte");
                data.extend_from_slice(&lease);
                assert!(armed, "no kernel that we know ends a receive with its data");
            }
            other => {
                assert!(!armed, "without data it is over");
                last = Some(other);
            }
        }
    }
    (data, last)
}

/// A listener, and what connects to it.
fn listener() -> (TcpListener, impl Fn() -> TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("it is a socket");
    let address = listener.local_addr().expect("it is bound");
    (listener, move || TcpStream::connect(address).expect("it listens"))
}

fn tcp_pair<D: Driver>(driver: &D) -> (D::Socket, TcpStream) {
    let (listener, connect) = listener();
    let theirs = connect();
    let (ours, _) = listener.accept().expect("it has connected");
    ours.set_nonblocking(true).expect("it is a socket");
    (driver.adopt(ours.into()), theirs)
}
