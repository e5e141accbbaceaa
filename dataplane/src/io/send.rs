//! A send of the ring driver, and everything that the kernel reads of it.
//!
//! Owns the chunks and their description from the submission to the end of the turn. Knows no ring.

use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Fd;
use rustix::io::Errno;

use super::token::Token;
use super::{Chunk, Chunks};

/// A send of this turn.
pub(super) struct Send {
    pub(super) token: Token,
    pub(super) chunks: Chunks,
    /// Set by a completion: how far it got, and why no further.
    pub(super) short: Option<(usize, Option<Errno>)>,
    /// What `SENDMSG` reads besides the chunks: on the heap, so that the send may move.
    _message: Option<Box<Message>>,
}

struct Message {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

impl Send {
    /// A send of `chunks` and its entry, which is good for as long as the send lives; `None` if there is nothing to send.
    pub(super) fn new(token: Token, socket: &OwnedFd, chunks: Chunks) -> Option<(Self, Entry)> {
        // MSG_DONTWAIT: whatever the socket does not take at once is ours again when the submission returns.
        // MSG_WAITALL: a partial send is finished or counted, never silently short. With both, a completion
        // comes only when something is left (CQE_SKIP_SUCCESS).
        const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let fd = Fd(socket.as_raw_fd());
        let mut message = None;
        // The chunks' bytes do not move with them: a lease, `Bytes` and a vector all keep theirs elsewhere.
        let entry = match chunks.as_slice() {
            [] => return None,
            [chunk] => {
                let bytes = chunk.bytes();
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, bytes.as_ptr(), len).flags(FLAGS).build()
            }
            several => {
                let message = message.insert(Message::new(several));
                opcode::SendMsg::new(fd, &raw const message.header).flags(FLAGS.cast_unsigned()).build()
            }
        };
        Some((Self { token, chunks, short: None, _message: message }, entry))
    }
}

impl Message {
    fn new(chunks: &[Chunk]) -> Box<Self> {
        let pieces = chunks
            .iter()
            .map(|chunk| {
                let bytes = chunk.bytes();
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
            })
            .collect();
        // SAFETY: `msghdr` is integers and pointers, for which all zeros is "none".
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let mut message = Box::new(Self { header, pieces });
        message.header.msg_iov = message.pieces.as_mut_ptr();
        message.header.msg_iovlen = message.pieces.len();
        message
    }
}
