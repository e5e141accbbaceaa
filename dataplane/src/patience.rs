//! How long a handshake waits, and for whom.
//!
//! Owns what its end is called when its time is over, which depends on who was waited for.

use std::time::Duration;

use protocol::{BrokerFailed, ClientMisbehaved, Error, ServerMisbehaved, Side};

use crate::context::Context;
use crate::handshake::Waiting;
use crate::io::Io;
use crate::mailbox::Verdict;
use crate::session::Session;
use crate::snapshot::{CredentialState, Outage};

/// How long others wait for a client whose session is the first to prove a credential: a program answers at once.
const CLIENT_PATIENCE: Duration = Duration::from_millis(250);

/// How long a session waits for a store that is known not to give its credential: it may in a moment, and a client that gives up
/// first is not told why.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

impl<I: Io> Session<I> {
    /// The store does not give the credential: it is waited for, but not for the whole handshake.
    pub(crate) fn limit_wait_for_store(&mut self, cx: &mut Context<I>) {
        let until = (cx.now + STORE_PATIENCE).min(self.handshake_deadline());
        self.set_deadline(Some(until), cx);
    }

    /// Why there is no credential.
    fn missing(&self, cx: &Context<I>) -> Error {
        match cx.service(self.service.id).map(|service| &service.credential) {
            Some(CredentialState::Denied(outage)) => match (**outage).clone() {
                Outage { store, since, is_silent: true } => {
                    BrokerFailed::StoreUnreachable { store, since }.into()
                }
                Outage { store, since, is_silent: false } => BrokerFailed::NotGiven { store, since }.into(),
            },
            _ => BrokerFailed::CredentialMissing.into(),
        }
    }

    /// The client is waited for, and perhaps others wait for it, too: so long in all, however often it says a little.
    pub(crate) fn limit_patience(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        if handshaking.attempt.is_awaited() {
            let until = *handshaking.attempt.patience.get_or_insert(cx.now + CLIENT_PATIENCE);
            self.set_deadline(Some(until.min(self.handshake_deadline())), cx);
        }
    }

    /// The handshake's deadline, or one of the dial's, has passed.
    pub(crate) fn on_handshake_deadline(&mut self, cx: &mut Context<I>) {
        let over = cx.now >= self.handshake_deadline();
        let missing = self.missing(cx);
        let Some(handshaking) = self.handshaking() else { return };
        if !over {
            let lacks_store = matches!(
                missing,
                Error::Broker(BrokerFailed::StoreUnreachable { .. } | BrokerFailed::NotGiven { .. })
            );
            if lacks_store && matches!(handshaking.waiting, Waiting::Credential) {
                return self.fail(&missing, cx);
            }
            let waits =
                matches!(handshaking.waiting, Waiting::Input(Side::Client) | Waiting::Tls(Side::Client));
            if waits && handshaking.attempt.is_awaited() {
                return self.go_on_for_others(cx);
            }
            return self.on_dial_deadline(cx);
        }
        if let Some(lonely) = handshaking.lonely {
            return self.on_alone_deadline(lonely, cx);
        }
        let error = match handshaking.waiting {
            Waiting::Input(Side::Client) | Waiting::Tls(Side::Client) => {
                ClientMisbehaved::HandshakeTimeout.into()
            }
            Waiting::Credential | Waiting::Work(_) => missing,
            Waiting::Connection(_) => match &handshaking.dialing {
                Some(dialing) => dialing.timeout(),
                None => missing,
            },
            // Nobody could say whether there is a better credential: the target's own words are the best answer.
            Waiting::Verdict => {
                self.on_abandoned(cx);
                return self.on_verdict(Verdict::GiveUp(None), cx);
            }
            Waiting::TargetEnd => return self.begin_closing(Some(Side::Client), cx),
            // Who waits for permission waits for what the target says to somebody else.
            Waiting::Input(Side::Target) | Waiting::Tls(Side::Target) | Waiting::Permission => {
                ServerMisbehaved::HandshakeTimeout.into()
            }
        };
        self.fail(&error, cx);
    }
}
