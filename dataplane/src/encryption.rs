//! TLS towards the target, as the handshake needs it.
//!
//! Owns when a TLS session begins and when its machine is told that it is up. What TLS says is `tls`'s.

use protocol::tls::TlsPolicy;
use protocol::{BrokerFailed, Event, Side};

use crate::context::Context;
use crate::io::{Chunk, Io};
use crate::session::Session;

impl<I: Io> Session<I> {
    /// The machine wants TLS towards the target.
    pub(crate) fn begin_tls(&mut self, policy: &TlsPolicy, cx: &mut Context<I>) {
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        // The machine has refused bytes behind the answer to its TLS request, so nothing in clear is left.
        debug_assert!(handshaking.target_in.is_empty(), "nothing in clear may reach the TLS session");
        handshaking.target_in.clear();
        let session = match handshaking.attempt.credential() {
            Some(credential) => cx.tls.session(service, credential, policy),
            None => Err(BrokerFailed::CredentialMissing.into()),
        };
        match session {
            Ok(session) => self.tls = Some(session),
            Err(error) => return self.fail(&error, cx),
        }
        self.flush_tls(cx);
    }

    /// Sends what the TLS session has to say by itself.
    pub(crate) fn flush_tls(&mut self, cx: &mut Context<I>) {
        let (Some(tls), Some(leg)) = (&mut self.tls, &mut self.target) else { return };
        let ciphertext = tls.take_ciphertext();
        if !ciphertext.is_empty() {
            leg.enqueue(Chunk::Bytes(ciphertext));
            cx.dirty.push((self.slot, Side::Target));
        }
    }

    pub(crate) fn go_on_with_tls(&mut self, cx: &mut Context<I>) {
        let Some(tls) = &mut self.tls else { return };
        if let Some(peer) = tls.peer() {
            self.answer(Side::Target, Event::Encrypted(peer), cx);
        }
    }
}
