//! TLS towards the target, as a session needs it.
//!
//! Owns when a TLS session begins and when its machine is told that it is up, and what the relay does with ciphertext.
//! What TLS says is `tls`'s.
//!
//! What the client sends is held until the end of the round, so that the leases of one turn become as few and as large
//! records as they fit into, and one send. A direction with TLS always goes through memory of ours, piece by piece: in the
//! bulk gear through the worker's scratch memory, straight from one socket to the other.

use std::io::IoSlice;

use bytes::Bytes;
use protocol::tls::TlsPolicy;
use protocol::{BrokerFailed, Event, ServerMisbehaved, Side};
use rustix::io::Errno;

use crate::backlog::ROUND_MAX;
use crate::closing::Closing;
use crate::context::Context;
use crate::gear::Obstacle;
use crate::io::{Chunk, Io, Lease, Socket};
use crate::leg::Leg;
use crate::session::{Session, Stage};

impl<I: Io> Session<I> {
    /// The machine wants TLS towards the target.
    pub(crate) fn begin_tls(&mut self, policy: &TlsPolicy, cx: &mut Context<I>) {
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        // The machine has refused bytes behind the answer to its TLS request, so nothing in clear is left.
        debug_assert!(handshaking.target_in.is_empty(), "nothing in clear may reach the TLS session");
        handshaking.target_in.clear();
        let session = match handshaking.attempt.credential() {
            Some(credential) => cx.tls.session(service, credential, policy, cx.now),
            None => Err(BrokerFailed::CredentialMissing.into()),
        };
        match session {
            Ok(session) => self.tls = Some(session),
            Err(error) => return self.fail(&error, cx),
        }
        self.flush_tls(cx);
    }

    /// Sees to it that what the TLS session has to say by itself is sent.
    pub(crate) fn flush_tls(&mut self, cx: &mut Context<I>) {
        if self.seal() {
            cx.dirty.push((self.slot, Side::Target));
        }
    }

    /// Says to the target that we will send nothing more.
    pub(crate) fn close_tls(&mut self, cx: &mut Context<I>) {
        let (Some(tls), Some(leg)) = (&mut self.tls, &mut self.target) else { return };
        let ciphertext = tls.close();
        if !ciphertext.is_empty() {
            leg.enqueue(Chunk::Bytes(ciphertext));
            cx.dirty.push((self.slot, Side::Target));
        }
    }

    /// Puts everything that is to be encrypted on its way, and tells whether there was anything.
    pub(crate) fn seal(&mut self) -> bool {
        let (Some(tls), Some(leg)) = (&mut self.tls, &mut self.target) else { return false };
        let ciphertext = tls.take_ciphertext();
        if ciphertext.is_empty() {
            return false;
        }
        leg.enqueue(Chunk::Bytes(ciphertext));
        true
    }

    pub(crate) fn go_on_with_tls(&mut self, cx: &mut Context<I>) {
        let Some(tls) = &mut self.tls else { return };
        if let Some(peer) = tls.peer() {
            self.answer(Side::Target, Event::Encrypted(peer), cx);
        }
    }

    /// Ciphertext of the target, in the relay.
    pub(crate) fn on_ciphertext(&mut self, lease: Lease, cx: &mut Context<I>) {
        let Some(tls) = &mut self.tls else { return };
        let is_first = tls.backlog.is_first_of(cx.round);
        let waits = !tls.backlog.is_empty();
        if !waits && (is_first || !is_late(cx)) {
            self.decrypt(&lease, cx);
            let is_full = lease.is_full();
            drop(lease);
            return self.on_buffer(Side::Target, is_full, cx);
        }
        tls.backlog.push(&lease);
        if !waits {
            cx.behind.push(self.slot);
            if let Some(leg) = &mut self.target {
                leg.pause(&mut cx.io);
            }
        }
    }

    /// Goes on with ciphertext that has waited, as long as the client takes what comes of it.
    pub(crate) fn catch_up(&mut self, cx: &mut Context<I>) {
        if !matches!(self.stage, Stage::Relay(_))
            && let Some(tls) = &mut self.tls
        {
            tls.backlog.forget_pieces();
        }
        while !self.client.is_congested()
            && let Some(piece) = self.tls.as_mut().and_then(|tls| tls.backlog.pop())
        {
            self.decrypt(&piece, cx);
            if is_late(cx) {
                break;
            }
        }
        let Some(tls) = &mut self.tls else { return };
        if !tls.backlog.is_empty() {
            if !self.client.is_congested() {
                cx.behind.push(self.slot);
            }
        } else if let Some(end) = tls.backlog.take_end() {
            self.on_end(Side::Target, end, cx);
        } else {
            self.resume(Side::Target, cx);
        }
    }

    /// Whether ciphertext of `side` waits for its turn; if so, it gets one.
    pub(crate) fn is_behind(&self, side: Side, cx: &mut Context<I>) -> bool {
        let is_behind = side == Side::Target && self.tls.as_ref().is_some_and(|tls| !tls.backlog.is_empty());
        if is_behind {
            cx.behind.push(self.slot);
        }
        is_behind
    }

    /// Takes a piece of what `from` has through TLS and gives it to the other side at once: how much it was.
    pub(crate) fn pass(&mut self, from: Side, cx: &mut Context<I>) -> Result<usize, Obstacle> {
        let len = self.scoop(from, cx)?;
        let scratch = std::mem::take(&mut cx.scratch);
        let passed = match from {
            Side::Client => self.pass_encrypted(&scratch[..len], cx),
            Side::Target => self.pass_decrypted(&scratch[..len], cx),
        };
        cx.scratch = scratch;
        passed?;
        Ok(if is_late(cx) { usize::MAX } else { len })
    }

    fn pass_encrypted(&mut self, plaintext: &[u8], cx: &mut Context<I>) -> Result<(), Obstacle> {
        self.count(Side::Client, plaintext.len(), cx);
        let (Some(tls), Some(leg)) = (&mut self.tls, &mut self.target) else { return Err(Obstacle::Over) };
        let sent = tls.encrypt_to(plaintext, |records| leg.socket().send_at_once(records));
        on_sent(sent, leg, cx)
    }

    fn pass_decrypted(&mut self, ciphertext: &[u8], cx: &mut Context<I>) -> Result<(), Obstacle> {
        let Some((mut plaintext, word)) = self.decipher(ciphertext, cx) else { return Err(Obstacle::Over) };
        let mut given = Ok(());
        if !plaintext.is_empty() {
            self.count(Side::Target, plaintext.len(), cx);
            let sent = match self.client.socket().send_at_once(&[IoSlice::new(&plaintext)]) {
                Ok(sent) => {
                    plaintext.drain(..sent);
                    Ok(plaintext)
                }
                Err(Errno::AGAIN | Errno::INTR) => Ok(plaintext),
                Err(error) => Err(error),
            };
            given = on_sent(sent, &mut self.client, cx);
        }
        let goes_on = self.heed(word, cx);
        if goes_on || (matches!(given, Err(Obstacle::Broken)) && matches!(self.stage, Stage::Relay(_))) {
            given
        } else {
            Err(Obstacle::Over)
        }
    }

    fn decrypt(&mut self, ciphertext: &[u8], cx: &mut Context<I>) {
        let Some((plaintext, word)) = self.decipher(ciphertext, cx) else { return };
        if !plaintext.is_empty() {
            self.deliver(Side::Target, Chunk::Bytes(Bytes::from(plaintext)), cx);
        }
        self.heed(word, cx);
    }

    /// The plaintext of a piece of the target's stream, and what else it says.
    fn decipher(&mut self, ciphertext: &[u8], cx: &mut Context<I>) -> Option<(Vec<u8>, Word)> {
        let tls = self.tls.as_mut()?;
        let mut plaintext = Vec::new();
        let word = match tls.decrypt(ciphertext, &mut plaintext) {
            // What the TLS session has to say to that goes out when the target is let go of.
            Err(_) => return Some((plaintext, Word::Unreadable)),
            Ok(()) if tls.is_closed() => Word::Closed,
            Ok(()) => Word::More,
        };
        self.flush_tls(cx);
        Some((plaintext, word))
    }

    /// Does what the target's stream has said, behind its data: whether the stream goes on.
    fn heed(&mut self, word: Word, cx: &mut Context<I>) -> bool {
        match word {
            Word::More => return true,
            Word::Closed => {
                self.leave_bulk(Side::Target, cx);
                if let Some(leg) = &mut self.target {
                    leg.on_end();
                    leg.pause(&mut cx.io);
                }
                self.on_relay_end(Side::Target, None, cx);
            }
            Word::Unreadable => self.on_cut_off(cx),
        }
        false
    }

    /// Whether the end of `side`'s stream is not the one that its owner said: somebody else may have cut it off.
    pub(crate) fn is_cut_off(&self, side: Side) -> bool {
        side == Side::Target && self.tls.as_ref().is_some_and(|tls| !tls.is_closed())
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

/// What a piece of the target's stream says besides its data.
#[derive(Clone, Copy)]
enum Word {
    /// There will be more.
    More,
    /// This was the end.
    Closed,
    /// Nobody can read what comes now.
    Unreadable,
}

/// Bytes were given to `leg` at once, and the socket did not take this `rest`, or has failed.
fn on_sent<I: Io>(
    rest: Result<Vec<u8>, Errno>,
    leg: &mut Leg<I>,
    cx: &mut Context<I>,
) -> Result<(), Obstacle> {
    let rest = rest.map_err(|_| Obstacle::Broken)?;
    if rest.is_empty() {
        return Ok(());
    }
    leg.keep(rest);
    leg.await_room(&mut cx.io);
    Err(Obstacle::Stalled)
}

/// Whether this round has taken so long that everybody should have had a turn first.
fn is_late<I: Io>(cx: &Context<I>) -> bool {
    cx.io.now().saturating_duration_since(cx.now) >= ROUND_MAX
}
