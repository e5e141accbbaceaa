//! What the relay does with ciphertext, whichever side it comes from.
//!
//! Owns whose turn it is to be decrypted, and what the end of a TLS stream means: said by its owner it is an end like any
//! other. A target's that nobody has said is a cut: its client must not take what came for the whole. A client's is not:
//! many close without a word.
//!
//! A direction with TLS on either leg always goes through memory of ours, piece by piece: in the bulk gear through the
//! worker's scratch memory, straight from one socket to the other.

use bytes::Bytes;
use protocol::{Error, ServerMisbehaved, Side};
use zeroize::Zeroize;

use crate::backlog::ROUND_MAX;
use crate::closing::Closing;
use crate::context::Context;
use crate::gear::Obstacle;
use crate::io::{Chunk, Io, Lease};
use crate::session::{Session, Stage};
use crate::watching::{Sifted, Watching};

impl<I: Io> Session<I> {
    /// Ciphertext of `from`, in the relay.
    pub(crate) fn on_ciphertext(&mut self, from: Side, lease: Lease, cx: &mut Context<I>) {
        let Some(tls) = self.tls(from) else { return };
        let is_first = tls.backlog.is_first_of(cx.round);
        let waits = !tls.backlog.is_empty();
        if !waits && (is_first || !is_late(cx)) {
            self.decrypt(from, &lease, cx);
            let is_full = lease.is_full();
            drop(lease);
            return self.on_buffer(from, is_full, cx);
        }
        tls.backlog.push(&lease);
        if !waits {
            cx.behind.push((self.slot, from));
            if let Some(leg) = self.leg(from) {
                leg.pause(&mut cx.io);
            }
        }
    }

    /// Goes on with ciphertext of `from` that has waited, as long as the other side takes what comes of it.
    pub(crate) fn catch_up(&mut self, from: Side, cx: &mut Context<I>) {
        if !matches!(self.stage, Stage::Relay(_))
            && let Some(tls) = self.tls(from)
        {
            tls.backlog.forget_pieces();
        }
        while !self.is_congested_for(from)
            && let Some(piece) = self.tls(from).and_then(|tls| tls.backlog.pop())
        {
            self.decrypt(from, &piece, cx);
            if is_late(cx) {
                break;
            }
        }
        let is_congested = self.is_congested_for(from);
        let Some(tls) = self.tls(from) else { return };
        if !tls.backlog.is_empty() {
            if !is_congested {
                cx.behind.push((self.slot, from));
            }
        } else if let Some(end) = tls.backlog.take_end() {
            self.on_end(from, end, cx);
        } else {
            self.resume(from, cx);
        }
    }

    /// Whether the other side of `from` takes no more at the moment.
    fn is_congested_for(&mut self, from: Side) -> bool {
        self.leg(from.other()).is_none_or(|leg| leg.is_congested())
    }

    /// Whether ciphertext of `side` waits for its turn; if so, it gets one.
    pub(crate) fn is_behind(&mut self, side: Side, cx: &mut Context<I>) -> bool {
        let is_behind = self.tls(side).is_some_and(|tls| !tls.backlog.is_empty());
        if is_behind {
            cx.behind.push((self.slot, side));
        }
        is_behind
    }

    /// Takes a piece of what `from` has through TLS and gives it to the other side at once: how much it was.
    pub(crate) fn pass(&mut self, from: Side, cx: &mut Context<I>) -> Result<usize, Obstacle> {
        let len = self.scoop(from, cx)?;
        let mut scratch = std::mem::take(&mut cx.scratch);
        let passed = if self.tls(from).is_some() {
            self.pass_decrypted(from, &scratch[..len], cx)
        } else {
            self.give(from, &scratch[..len], cx)
        };
        if !matches!(self.stage, Stage::Relay(_)) {
            // There may have been a password of the client's.
            scratch[..len].zeroize();
        }
        cx.scratch = scratch;
        passed?;
        Ok(if is_late(cx) { usize::MAX } else { len })
    }

    fn pass_decrypted(&mut self, from: Side, ciphertext: &[u8], cx: &mut Context<I>) -> Result<(), Obstacle> {
        let Some((mut plaintext, word)) = self.decipher(from, ciphertext, cx) else {
            return Err(Obstacle::Over);
        };
        let given = if plaintext.is_empty() { Ok(()) } else { self.give(from, &plaintext, cx) };
        if !matches!(self.stage, Stage::Relay(_)) {
            plaintext.zeroize();
        }
        let goes_on = self.heed(from, word, cx);
        if goes_on || (matches!(given, Err(Obstacle::Broken)) && matches!(self.stage, Stage::Relay(_))) {
            given
        } else {
            Err(Obstacle::Over)
        }
    }

    /// Gives plaintext of `from` to the other side at once. What its socket does not take is kept.
    fn give(&mut self, from: Side, plaintext: &[u8], cx: &mut Context<I>) -> Result<(), Obstacle> {
        if from == Side::Target {
            return self.give_all(from, plaintext, cx);
        }
        let Sifted { passes, held } = self.sift(plaintext);
        let given = self.give_all(from, passes.as_deref().unwrap_or(plaintext), cx);
        match held {
            Some(held) if !matches!(given, Err(Obstacle::Broken)) => {
                self.begin_again(&held, cx);
                Err(Obstacle::Over)
            }
            _ => given,
        }
    }

    fn give_all(&mut self, from: Side, plaintext: &[u8], cx: &mut Context<I>) -> Result<(), Obstacle> {
        if plaintext.is_empty() {
            return Ok(());
        }
        self.count(from, plaintext.len(), cx);
        let leg = self.leg(from.other()).ok_or(Obstacle::Over)?;
        let rest = leg.give(plaintext).map_err(|_| Obstacle::Broken)?;
        if rest.is_empty() {
            return Ok(());
        }
        leg.keep(rest);
        leg.await_room(&mut cx.io);
        Err(Obstacle::Stalled)
    }

    fn decrypt(&mut self, from: Side, ciphertext: &[u8], cx: &mut Context<I>) {
        let Some((plaintext, word)) = self.decipher(from, ciphertext, cx) else { return };
        if !plaintext.is_empty() {
            self.deliver(from, Chunk::Bytes(Bytes::from(plaintext)), cx);
        }
        self.heed(from, word, cx);
    }

    /// The plaintext of a piece of `from`'s stream, and what else it says.
    fn decipher(&mut self, from: Side, ciphertext: &[u8], cx: &mut Context<I>) -> Option<(Vec<u8>, Word)> {
        let tls = self.tls(from)?;
        let mut plaintext = Vec::new();
        let word = match tls.decrypt(ciphertext, &mut plaintext) {
            // What the TLS session has to say to that goes out when the side is let go of.
            Err(error) => return Some((plaintext, Word::Unreadable(error))),
            Ok(()) if tls.is_closed() => Word::Closed,
            Ok(()) => Word::More,
        };
        self.flush_tls(from, cx);
        Some((plaintext, word))
    }

    /// Does what `from`'s stream has said, behind its data: whether the stream goes on.
    fn heed(&mut self, from: Side, word: Word, cx: &mut Context<I>) -> bool {
        match word {
            Word::More => return true,
            // It has begun another login, and ends the connection behind that.
            Word::Closed if matches!(self.stage, Stage::Handshake(_)) => self.on_end(from, None, cx),
            Word::Closed => {
                self.leave_bulk(from, cx);
                if let Some(leg) = self.leg(from) {
                    leg.on_end();
                    leg.pause(&mut cx.io);
                }
                self.on_relay_end(from, None, cx);
            }
            Word::Unreadable(_) if from == Side::Target => self.on_cut_off(cx),
            Word::Unreadable(error) => {
                cx.on_failed(&self.service, self.request_id, &error);
                // As with a client whose connection breaks: what it has sent is delivered, and that is all.
                self.begin_closing(Some(Side::Target), cx);
            }
        }
        false
    }

    /// Whether the end of `side`'s stream is not the one that its owner said: somebody else may have cut it off.
    pub(crate) fn is_cut_off(&self, side: Side) -> bool {
        let tls = self.target.as_ref().and_then(|leg| leg.tls.as_ref());
        let is_expected = match &self.stage {
            Stage::Relay(relay) => relay.watching.as_ref().is_some_and(Watching::has_said_goodbye),
            Stage::Handshake(_) | Stage::Closing(_) => false,
        };
        side == Side::Target && tls.is_some_and(|tls| !tls.is_closed()) && !is_expected
    }

    /// The target's stream has ended without its word that this is the end, or cannot be read any further. The client
    /// gets what came, and must not take it for the whole.
    pub(crate) fn on_cut_off(&mut self, cx: &mut Context<I>) {
        // A client that had nothing more to ask has not been kept from anything that it was waiting for, most likely.
        if !self.client.has_ended() {
            cx.stats(&self.service).on_failed(&ServerMisbehaved::CutOff.into());
        }
        self.close(Closing::cut_off(), cx);
    }
}

/// What a piece of a TLS stream says besides its data.
enum Word {
    /// There will be more.
    More,
    /// This was the end.
    Closed,
    /// Nobody can read what comes now, for this reason.
    Unreadable(Error),
}

/// Whether this round has taken so long that everybody should have had a turn first.
fn is_late<I: Io>(cx: &Context<I>) -> bool {
    cx.io.now().saturating_duration_since(cx.now) >= ROUND_MAX
}
