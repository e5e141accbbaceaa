//! How long a handshake waits, and for whom.
//!
//! Owns what its end is called when its time is over, which depends on who was waited for.

use std::time::Duration;

use protocol::{BrokerFailed, ClientMisbehaved, ServerMisbehaved, Side};

use crate::context::Context;
use crate::handshake::Waiting;
use crate::io::Io;
use crate::mailbox::Verdict;
use crate::session::Session;

/// How long others wait for a client whose session is the first to prove a credential: a program answers at once.
const CLIENT_PATIENCE: Duration = Duration::from_millis(250);

impl<I: Io> Session<I> {
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
        let Some(handshaking) = self.handshaking() else { return };
        if !over {
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
            Waiting::Credential | Waiting::Work(_) => BrokerFailed::CredentialMissing.into(),
            Waiting::Connection(_) => match &handshaking.dialing {
                Some(dialing) => dialing.timeout(),
                None => BrokerFailed::CredentialMissing.into(),
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
