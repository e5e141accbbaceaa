//! TLS on either leg, as a session needs it.
//!
//! Owns when a TLS session begins, when its machine is told that it is up, and how plaintext gets onto a leg that has
//! one. What TLS says is `tls`'s; what the relay does with ciphertext is `ciphertext.rs`'s.
//!
//! What one side sends is held for the other until the end of the round, so that the leases of one turn become as few
//! and as large records as they fit into, and one send.

use std::io::IoSlice;

use protocol::tls::TlsPolicy;
use protocol::{BrokerFailed, Error, Event, ServerMisbehaved, Side, Unsupported};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::io::{Chunk, Io, Socket};
use crate::leg::Leg;
use crate::session::{Session, Stage};
use crate::tls::TlsSession;

impl<I: Io> Session<I> {
    /// The TLS session with `side`, if there is one.
    pub(crate) fn tls(&mut self, side: Side) -> Option<&mut TlsSession> {
        self.leg(side)?.tls.as_deref_mut()
    }

    /// The machine wants TLS towards the target.
    pub(crate) fn begin_tls(&mut self, policy: &TlsPolicy, cx: &mut Context<I>) {
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        if !handshaking.target_in.bytes().is_empty() {
            // Nothing in clear may reach the TLS session (CVE-2021-23222).
            return self.fail(&ServerMisbehaved::BytesBehindTlsAnswer.into(), cx);
        }
        let session = match handshaking.attempt.credential() {
            Some(credential) => cx.tls.session(service, credential, policy, cx.now),
            None => Err(BrokerFailed::CredentialMissing.into()),
        };
        match (session, &mut self.target) {
            (Ok(session), Some(leg)) => leg.tls = Some(session),
            (Ok(_), None) => {}
            (Err(error), _) => return self.fail(&error, cx),
        }
        self.flush_tls(Side::Target, cx);
    }

    /// The machine wants TLS towards the client. What the client has sent and nobody has used is the beginning of that.
    pub(crate) fn accept_tls(&mut self, cx: &mut Context<I>) {
        let session = match &self.service.client_tls {
            Some(server) => server.session(),
            None => Err(Unsupported::ClientTls.into()),
        };
        match session {
            Ok(session) => self.client.tls = Some(session),
            Err(error) => return self.fail(&error, cx),
        }
        let Some(handshaking) = self.handshaking() else { return };
        let begun = handshaking.input(Side::Client).take();
        if begun.is_empty() || self.client.has_ended() {
            self.await_input(Side::Client, cx);
        } else {
            // It may have been paused while nobody used its input.
            self.client.receive(&mut cx.io);
            self.on_handshake_data(Side::Client, &begun, cx);
        }
    }

    /// What has come of `side` in the handshake becomes its machine's input, decrypted where there is TLS.
    pub(crate) fn take_in(&mut self, side: Side, data: &[u8], cx: &mut Context<I>) -> Result<(), Error> {
        let Stage::Handshake(handshaking) = &mut self.stage else { return Ok(()) };
        let input = handshaking.input(side);
        let leg = match side {
            Side::Client => Some(&mut self.client),
            Side::Target => self.target.as_mut(),
        };
        match leg.and_then(|leg| leg.tls.as_mut()) {
            None => input.append(data),
            Some(tls) => {
                let mut plaintext = Zeroizing::default();
                let decrypted = tls.decrypt(data, &mut plaintext);
                input.append(&plaintext);
                decrypted?;
                self.flush_tls(side, cx);
            }
        }
        Ok(())
    }

    /// The TLS session with `side` may be up.
    pub(crate) fn go_on_with_tls(&mut self, side: Side, cx: &mut Context<I>) {
        if let Some(peer) = self.tls(side).and_then(|tls| tls.peer()) {
            self.answer(side, Event::Encrypted(peer), cx);
        }
    }

    /// Whether `side` has said inside TLS that it sends nothing more, and has not been heeded.
    pub(crate) fn has_said_end(&mut self, side: Side) -> bool {
        self.leg(side)
            .is_some_and(|leg| !leg.has_ended() && leg.tls.as_ref().is_some_and(|tls| tls.is_closed()))
    }

    /// Sees to it that what the TLS session with `side` has to say by itself is sent.
    pub(crate) fn flush_tls(&mut self, side: Side, cx: &mut Context<I>) {
        if self.leg(side).is_some_and(Leg::seal) {
            cx.dirty.push((self.slot, side));
        }
    }

    /// Says to `side`, if there is TLS with it, that we will send nothing more.
    pub(crate) fn close_tls(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(leg) = self.leg(side) else { return };
        let Some(tls) = &mut leg.tls else { return };
        let ciphertext = tls.close();
        if !ciphertext.is_empty() {
            leg.enqueue(Chunk::Bytes(ciphertext));
            cx.dirty.push((self.slot, side));
        }
    }
}

impl<I: Io> Leg<I> {
    /// Puts everything that is to be encrypted on its way, and tells whether there was anything.
    pub(crate) fn seal(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        let ciphertext = tls.take_ciphertext();
        if ciphertext.is_empty() {
            return false;
        }
        self.enqueue(Chunk::Bytes(ciphertext));
        true
    }

    /// The leg is let go of: an alert that says what is wrong with the peer's side, or that this is the end.
    pub(crate) fn say_last_of_tls(&mut self) {
        if let Some(mut tls) = self.tls.take() {
            self.say_last(&tls.close());
        }
    }

    /// Gives `plaintext` to the socket at once, encrypted where there is TLS: what the socket does not take. Nothing may
    /// be on its way that it would overtake.
    pub(crate) fn give(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, Errno> {
        let (socket, tls) = self.socket_and_tls();
        match tls {
            Some(tls) => tls.encrypt_to(plaintext, |records| socket.send_at_once(records)),
            None => match socket.send_at_once(&[IoSlice::new(plaintext)]) {
                Ok(sent) => Ok(plaintext[sent..].to_vec()),
                Err(Errno::AGAIN | Errno::INTR) => Ok(plaintext.to_vec()),
                Err(error) => Err(error),
            },
        }
    }
}
