//! A relayed session whose client is watched: what it sends passes, until it asks for another login.
//!
//! Owns what is kept between two looks, which is less than a message's head, and the way back into a handshake. What a head
//! means is the protocol's.

use bytes::Bytes;
use protocol::{Look, Side, Watch};
use zeroize::{Zeroize, Zeroizing};

use crate::context::Context;
use crate::handshake::Handshaking;
use crate::io::{Chunk, Io};
use crate::session::{Session, Stage};

/// Less than this is not worth a conduit: then the next head is near.
const UNSEEN_MIN: usize = 64 * 1024;

/// A client that is watched.
pub(crate) struct Watching {
    watch: Box<dyn Watch>,
    /// The beginning of a head.
    head: Vec<u8>,
}

/// What of a client's bytes goes where.
pub(crate) struct Sifted {
    /// These pass; without a word, all of it.
    pub(crate) passes: Option<Vec<u8>>,
    /// The client asks for another login, beginning with these, among which may be a password of its own.
    pub(crate) held: Option<Zeroizing<Vec<u8>>>,
}

impl Watching {
    pub(crate) fn new(watch: Box<dyn Watch>) -> Self {
        Self { watch, head: Vec::new() }
    }

    /// The target has sent something.
    pub(crate) fn on_answer(&mut self) {
        self.watch.on_answer();
    }

    /// Whether the client has said that it ends the session.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.watch.has_said_goodbye()
    }

    /// How many bytes may pass without a look.
    fn unseen(&self) -> usize {
        if self.head.is_empty() { self.watch.unseen() } else { 0 }
    }

    fn look(&mut self, bytes: &[u8]) -> Sifted {
        if self.unseen() >= bytes.len() {
            self.watch.pass(bytes.len());
            return Sifted { passes: None, held: None };
        }
        let (look, mut whole) = if self.head.is_empty() {
            match self.watch.look(bytes) {
                Look::Pass(len) if len == bytes.len() => return Sifted { passes: None, held: None },
                look => (look, bytes.to_vec()),
            }
        } else {
            let mut whole = std::mem::take(&mut self.head);
            whole.extend_from_slice(bytes);
            (self.watch.look(&whole), whole)
        };
        match look {
            Look::Pass(len) => {
                self.head = whole.split_off(len);
                Sifted { passes: Some(whole), held: None }
            }
            Look::Hold(len) => {
                let held = Some(Zeroizing::new(whole[len..].to_vec()));
                whole[len..].zeroize();
                whole.truncate(len);
                Sifted { passes: Some(whole), held }
            }
        }
    }
}

impl<I: Io> Session<I> {
    fn watching(&mut self) -> Option<&mut Watching> {
        let Stage::Relay(relay) = &mut self.stage else { return None };
        relay.watching.as_mut()
    }

    /// How many bytes of `from` may pass without a look.
    pub(crate) fn unseen(&mut self, from: Side) -> usize {
        match self.watching() {
            Some(watching) if from == Side::Client => watching.unseen(),
            _ => usize::MAX,
        }
    }

    /// Whether so much of `from` may pass without a look that it is worth a conduit.
    pub(crate) fn may_pass_unseen(&mut self, from: Side) -> bool {
        self.unseen(from) >= UNSEEN_MIN
    }

    /// So much of `from` has passed without a look.
    pub(crate) fn on_passed_unseen(&mut self, from: Side, len: usize) {
        if from == Side::Client
            && let Some(watching) = self.watching()
        {
            watching.watch.pass(len);
        }
    }

    /// Moves a chunk of plaintext of the client to the target, as far as it may pass.
    pub(crate) fn deliver_watched(&mut self, chunk: Chunk, cx: &mut Context<I>) {
        let Sifted { passes, held } = self.sift(chunk.bytes());
        match passes {
            None => return self.hand_over(Side::Client, chunk, cx),
            Some(passes) if passes.is_empty() => {}
            Some(passes) => self.hand_over(Side::Client, Chunk::Bytes(Bytes::from(passes)), cx),
        }
        if let Some(held) = held {
            chunk.wipe();
            self.begin_again(&held, cx);
        }
    }

    /// What of the client's plaintext passes, and whether it asks for another login with the rest.
    pub(crate) fn sift(&mut self, plaintext: &[u8]) -> Sifted {
        match self.watching() {
            None => Sifted { passes: None, held: None },
            Some(watching) => watching.look(plaintext),
        }
    }

    /// The beginning of a head with which the client's stream has ended: it passes as it is.
    pub(crate) fn pass_rest(&mut self, cx: &mut Context<I>) {
        let Some(watching) = self.watching() else { return };
        let head = std::mem::take(&mut watching.head);
        if !head.is_empty() {
            self.hand_over(Side::Client, Chunk::Bytes(Bytes::from(head)), cx);
        }
    }

    /// The client asks for another login, beginning with `held`: a machine of the protocol's goes on with both connections.
    pub(crate) fn begin_again(&mut self, held: &[u8], cx: &mut Context<I>) {
        // What was under way in the bulk gear comes first.
        for from in [Side::Client, Side::Target] {
            let rest = self.leave_bulk(from, cx);
            if !rest.is_empty() {
                self.hand_over(from, Chunk::Bytes(Bytes::from(rest)), cx);
            }
        }
        let Stage::Relay(relay) = &mut self.stage else { return };
        let moved = [Side::Client, Side::Target].map(|side| relay.direction(side).moved);
        let Some(watching) = &relay.watching else { return };
        let machine = watching.watch.begin();
        let mut handshaking = Handshaking::again(machine, moved, cx.now);
        handshaking.input(Side::Client).append(held);
        self.enter_handshake_again(handshaking, cx);
    }
}
