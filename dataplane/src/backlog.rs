//! Ciphertext of one session that waits for its turn.
//!
//! Owns the order of it, and of the end that came behind it. Decrypting takes time that a peer chooses: a full
//! receive buffer may hold one large record or hundreds of tiny ones. A session that has had its share of a round goes
//! on in the next one, and is not received from meanwhile, so this is never more than what one turn of the driver
//! still delivers: at most all receive buffers of the worker.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

/// How long a round may have lasted if a session is to decrypt a second piece in it. Everybody's first is decrypted.
pub(crate) const ROUND_MAX: Duration = Duration::from_millis(4);

/// What waits.
#[derive(Default)]
pub(crate) struct Backlog {
    pieces: VecDeque<Bytes>,
    /// Behind all of it the stream has ended, or failed.
    end: Option<Option<Errno>>,
    /// The round in which a piece was admitted last.
    admitted_in: Option<u64>,
}

impl Backlog {
    /// Whether a piece that has just come is the first of `round`.
    pub(crate) fn is_first_of(&mut self, round: u64) -> bool {
        self.admitted_in.replace(round) != Some(round)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Keeps a copy: a receive buffer is not kept waiting.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.pieces.push_back(Bytes::copy_from_slice(piece));
    }

    /// What has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front();
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        piece
    }

    /// Nobody is there to be given any of it; its end still counts.
    pub(crate) fn forget_pieces(&mut self) {
        self.pieces = VecDeque::new();
    }

    /// The stream has ended behind what waits. The first word on that counts.
    pub(crate) fn on_end(&mut self, error: Option<Errno>) {
        self.end.get_or_insert(error);
    }

    /// The end, once nothing waits before it.
    pub(crate) fn take_end(&mut self) -> Option<Option<Errno>> {
        self.end.take()
    }
}
