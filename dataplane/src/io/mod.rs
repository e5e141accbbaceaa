//! The seam between the workers and the kernel: what a worker may ask for, and how answers look.
//!
//! Owns the trait [`Io`], its values, and all `unsafe` code of the project. Knows no session. Requests are made
//! at any time; [`Io::turn`] hands them to the kernel and brings back what was completed.

#![expect(
    unsafe_code,
    reason = "the kernel reads and writes memory by address: this folder proves that it may"
)]

mod buffer_ring;
mod pool;
mod probe;
pub(crate) mod socket;
mod token;
mod uring;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use bytes::Bytes;
use rustix::io::Errno;
use zeroize::Zeroizing;

pub(crate) use pool::Lease;
pub(crate) use probe::UringError;
pub(crate) use token::{Kind, Token};
pub(crate) use uring::Uring;

/// A driver. One worker owns it; nobody else touches it.
pub(crate) trait Io {
    /// Takes one connection from `listener`: one [`Completion::Accepted`].
    fn accept(&mut self, token: Token, listener: BorrowedFd<'_>);

    /// Receives until told otherwise: a [`Completion::Received`] for each piece, the last one with `armed` false.
    fn receive(&mut self, token: Token, socket: BorrowedFd<'_>);

    /// Sends `chunks` in order, as much as the socket takes at once, during the next turn. A send that was not
    /// whole comes back as [`Completion::SendShort`] of that turn; of any other send nothing is heard, and its
    /// chunks are free again when the turn is over. At most one send a socket and turn.
    fn send(&mut self, token: Token, socket: BorrowedFd<'_>, chunks: Chunks);

    /// Waits once until the descriptor is readable or writable: one [`Completion::Ready`].
    fn poll(&mut self, token: Token, descriptor: BorrowedFd<'_>, interest: Interest);

    /// Ends the accept, receive or poll that was asked for with `token`. Its last completion still comes, and
    /// may still carry a connection or data: that one, not this call, is the barrier.
    fn cancel(&mut self, token: Token);

    /// Hands everything asked for to the kernel, waits at most until `until` (or not at all) for something to
    /// complete, and appends what has completed, which may be nothing. Short sends come first.
    fn turn(&mut self, until: Option<Instant>, completions: &mut Vec<Completion>);
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
pub(crate) enum Completion {
    /// A connection, non-blocking and close-on-exec, or why there is none.
    Accepted(Token, Result<OwnedFd, Errno>),
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
