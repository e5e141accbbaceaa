//! The seam between the workers and the kernel: what a worker may ask for, and how answers look.
//!
//! Owns the trait [`Io`], its values, and all `unsafe` code of the project: so the memory of secrets is in here, too. Knows no session. Requests are made
//! at any time; [`Io::turn`] hands them to the kernel and brings back what was completed.

#![expect(
    unsafe_code,
    reason = "the kernel reads and writes memory by address: this folder proves that it may"
)]

mod blocks;
mod buffer_ring;
mod conduit;
#[cfg(test)]
mod driver_tests;
pub(crate) mod environment;
mod epoll;
pub(crate) mod pool;
mod probe;
pub(crate) mod region;
mod room;
pub(crate) mod secret_arena;
mod send;
pub(crate) mod socket;
mod token;
mod uring;
pub(crate) mod wiping;

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use bytes::Bytes;
use protocol::Transport;
use rustix::io::Errno;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use conduit::{Conduit, Way};
pub(crate) use epoll::Epoll;
pub(crate) use pool::Lease;
pub(crate) use token::{Kind, Token};
pub(crate) use uring::Uring;

use crate::snapshot::Address;

/// A driver. One worker owns it; nobody else touches it.
pub(crate) trait Io {
    /// A connection, or one that is about to be. Dropping it closes it.
    type Socket: Socket;

    /// What bulk data goes through from one socket to another.
    type Conduit;

    /// What time it is.
    fn now(&self) -> Instant;

    /// Begins to connect to `address`.
    fn connect(&mut self, address: &Address) -> Result<Connect<Self::Socket>, Errno>;

    /// Takes a connection that is already in the queue of `listener`, if there is one.
    fn accept_queued(&mut self, listener: BorrowedFd<'_>) -> Result<Self::Socket, Errno>;

    /// Whether the process and the system have room for one more connection.
    fn has_room(&mut self) -> bool;

    /// Takes one connection from `listener`: one [`Completion::Accepted`].
    fn accept(&mut self, token: Token, listener: BorrowedFd<'_>);

    /// Ends an accept. Its completion still comes, and may still carry a connection.
    fn cancel_accept(&mut self, token: Token, listener: BorrowedFd<'_>);

    /// Receives until told otherwise: a [`Completion::Received`] for each piece, the last one with `armed` false.
    fn receive(&mut self, token: Token, socket: &Self::Socket);

    /// Sends `chunks` in order, as much as the socket takes at once, during the next turn. A send that was not
    /// whole comes back as [`Completion::SendShort`] of that turn; of any other send nothing is heard, and its
    /// chunks are free again when the turn is over. At most one send a socket and turn.
    fn send(&mut self, token: Token, socket: &Self::Socket, chunks: Chunks);

    /// Waits once until the socket is readable or writable: one [`Completion::Ready`]. At most one of each kind a
    /// socket, and none for reading beside a receive.
    fn poll(&mut self, token: Token, socket: &Self::Socket, interest: Interest);

    /// Waits once until the worker's mailbox is told of mail: one [`Completion::Ready`].
    fn poll_wake(&mut self, token: Token, wake: BorrowedFd<'_>);

    /// Ends the receive or poll of `socket` that was asked for with `token`. Its last completion still comes, and
    /// may still carry data: that one, not this call, is the barrier.
    fn cancel(&mut self, token: Token, socket: &Self::Socket);

    /// An empty conduit, or `None` if all are in use or there are none to be had.
    fn lend(&mut self, way: Way) -> Option<Self::Conduit>;

    /// Whether nearly all conduits are in use: what does not move should give its own back.
    fn is_scarce(&self) -> bool;

    /// Takes at once what `socket` has, at most `max`, into an empty conduit: "would block" means that it has nothing, and 0 that its
    /// peer will send nothing more, or that what comes next cannot be taken this way.
    fn fill(
        &mut self,
        socket: &Self::Socket,
        conduit: &mut Self::Conduit,
        max: usize,
    ) -> Result<usize, Errno>;

    /// Gives `socket` at once what it takes of the `held` bytes in the conduit.
    fn drain(
        &mut self,
        conduit: &mut Self::Conduit,
        held: usize,
        socket: &Self::Socket,
    ) -> Result<usize, Errno>;

    /// Takes a conduit back, and gives the `held` bytes that are in it.
    fn take_back(&mut self, conduit: Self::Conduit, held: usize) -> Vec<u8>;

    /// Hands everything asked for to the kernel, waits at most until `until` (or not at all) for something to
    /// complete, and appends what has completed, which may be nothing. Short sends come first.
    fn turn(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<Self::Socket>>);
}

/// What is done to a connection at once, without a request.
pub(crate) trait Socket {
    /// Makes a TCP connection answer at once and notice a dead peer. A refusal is no reason to lose a connection.
    ///
    /// Tells what kind of connection it is.
    fn tune(&self) -> Transport;

    /// What became of a connect that has been decided.
    fn connect_result(&self) -> Result<(), Errno>;

    /// Says that we will send nothing more. A peer that has gone already has nothing to be told.
    fn finish_writing(&self);

    /// How many bytes a TCP connection was given to send that the peer's system has not taken yet.
    fn left(&self) -> usize;

    /// Makes a TCP connection end in a reset when it is closed: nobody can take that for the end of what was sent.
    fn reset_on_close(&self);

    /// Takes what has come, as much as `into` holds: 0 is the peer's end, "would block" that nothing has come. Never beside
    /// an [`Io::receive`].
    fn receive_at_once(&self, into: &mut [u8]) -> Result<usize, Errno>;

    /// Sends as much of `pieces`, one behind the other, as the socket takes without waiting: "would block" is none of it.
    fn send_at_once(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno>;
}

/// How a connect began.
pub(crate) enum Connect<S> {
    /// The connection is there.
    Done(S),
    /// The kernel is at it: the socket becomes writable when it is decided.
    InProgress(S),
    /// A Unix socket's queue is full: try again in a moment.
    Busy,
}

/// What to wait for in [`Io::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// There is something to read.
    Readable,
    /// There is room to write, or a connect has been decided.
    Writable,
}

/// Something that has completed.
pub(crate) enum Completion<S> {
    /// A connection, or why there is none.
    Accepted(Token, Result<S, Errno>),
    /// Something was received; `armed` tells whether more will come without asking.
    Received { token: Token, received: Received, armed: bool },
    /// Only the first `sent` bytes went out; here are the chunks. An `error` other than "would block" is the
    /// socket's end.
    SendShort { token: Token, sent: usize, error: Option<Errno>, chunks: Chunks },
    /// The descriptor is ready, or the poll was cancelled: whoever asked looks at the descriptor.
    Ready(Token),
}

/// What a receive brought.
pub(crate) enum Received {
    /// Data, at least one byte.
    Data(Lease),
    /// The peer will send nothing more.
    End,
    /// No buffer was free; the data is still in the socket.
    NoBuffer,
    /// The receive was cancelled.
    Cancelled,
    /// The socket failed.
    Failed(Errno),
}

/// A piece of memory to be sent.
pub(crate) enum Chunk {
    /// A buffer that something was received into.
    Lease(Lease),
    /// Bytes of our own.
    Bytes(Bytes),
    /// Bytes that may hold a secret, without the first `sent` of them: wiped afterwards.
    Wiped { bytes: Zeroizing<Vec<u8>>, sent: usize },
}

impl Chunk {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lease(lease) => lease,
            Self::Bytes(bytes) => bytes,
            Self::Wiped { bytes, sent } => &bytes[*sent..],
        }
    }

    /// Overwrites the bytes, as far as nobody else has them.
    pub(crate) fn wipe(self) {
        match self {
            Self::Lease(lease) => lease.wipe(),
            Self::Bytes(bytes) => {
                if let Ok(mut bytes) = bytes.try_into_mut() {
                    bytes.zeroize();
                }
            }
            Self::Wiped { .. } => {}
        }
    }

    /// What is left behind the first `n` bytes, in memory of our own: a receive buffer is not kept waiting.
    pub(crate) fn after(self, n: usize) -> Self {
        match self {
            Self::Lease(lease) => Self::Bytes(Bytes::copy_from_slice(&lease[n..])),
            Self::Bytes(bytes) => Self::Bytes(bytes.slice(n..)),
            Self::Wiped { bytes, sent } => Self::Wiped { bytes, sent: sent + n },
        }
    }
}

/// Chunks to be sent one behind the other. One is the common case and costs no allocation.
#[derive(Default)]
pub(crate) enum Chunks {
    #[default]
    None,
    One(Chunk),
    Many(Vec<Chunk>),
}

impl Chunks {
    /// Appends a chunk.
    pub(crate) fn push(&mut self, chunk: Chunk) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(chunk),
            Self::One(first) => Self::Many(vec![first, chunk]),
            Self::Many(mut chunks) => {
                chunks.push(chunk);
                Self::Many(chunks)
            }
        };
    }

    /// The chunks, one by one.
    pub(crate) fn into_vec(self) -> Vec<Chunk> {
        match self {
            Self::None => Vec::new(),
            Self::One(chunk) => vec![chunk],
            Self::Many(chunks) => chunks,
        }
    }

    /// The chunks.
    pub(crate) fn as_slice(&self) -> &[Chunk] {
        match self {
            Self::None => &[],
            Self::One(chunk) => std::slice::from_ref(chunk),
            Self::Many(chunks) => chunks,
        }
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}
