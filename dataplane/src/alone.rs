//! A target's handshake that goes on without the client's, to its proper end.
//!
//! Owns for whom it goes on, and what comes behind it. Some targets hold a handshake that is broken off against whoever broke
//! it off, and shut them out behind so many: so one whose client has gone is finished for *nobody*. And where others wait for
//! what the target says to a session whose client takes its time, it is finished for *them*; the client finds a new
//! connection when it goes on.

use protocol::{Alone, BrokerFailed, ClientMisbehaved, Denied, Error, Next, Side};

use crate::context::Context;
use crate::handshake::Waiting;
use crate::input::Input;
use crate::io::Io;
use crate::mailbox::Verdict;
use crate::session::Session;

/// Why a target's half is on its own.
#[derive(Clone, Copy)]
pub(crate) enum Lonely {
    /// The client has gone, and has been told why.
    ForNobody,
    /// The client takes its time: this is what is waited for again afterwards.
    ForOthers(Waiting),
}

/// Whether nothing is wrong but the client.
fn is_clients_own(error: &Error) -> bool {
    matches!(error, Error::Client(_) | Error::Denied(Denied::PlaintextClient))
}

impl<I: Io> Session<I> {
    /// The session has failed and its client was told: whether its target's handshake is finished all the same.
    pub(crate) fn finishes_for_nobody(&mut self, error: &Error, cx: &mut Context<I>) -> bool {
        if !is_clients_own(error) || !self.go_on_alone(Lonely::ForNobody, cx) {
            return false;
        }
        cx.stats(&self.service).abandoned.add(1);
        self.let_go_of_client(cx);
        true
    }

    /// The client takes its time, and others wait for what the target says to this session.
    pub(crate) fn go_on_for_others(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        let waiting = handshaking.waiting;
        if !self.go_on_alone(Lonely::ForOthers(waiting), cx) {
            self.let_others_try(cx);
        }
    }

    fn go_on_alone(&mut self, lonely: Lonely, cx: &mut Context<I>) -> bool {
        if self.target.is_none() {
            return false;
        }
        let Some(entropy) = cx.entropy.draw() else { return false };
        let Some(handshaking) = self.handshaking() else { return false };
        let next = match handshaking.machine.go_on_alone(entropy, &mut handshaking.out) {
            Ok(Alone::No) => return false,
            Ok(Alone::UnderWay) => None,
            Ok(Alone::Next(next)) => Some(Ok(next)),
            Err(error) => Some(Err(error)),
        };
        handshaking.lonely = Some(lonely);
        handshaking.attempt.patience = None;
        match lonely {
            Lonely::ForNobody => self.begin_clock(cx),
            Lonely::ForOthers(_) => self.set_deadline(Some(self.handshake_deadline()), cx),
        }
        if let Some(next) = next {
            self.obey(next, cx);
        }
        true
    }

    /// Nobody listens to the client any more.
    fn let_go_of_client(&mut self, cx: &mut Context<I>) {
        self.close_tls(Side::Client, cx);
        self.client.finish();
        self.client.pause(&mut cx.io);
        cx.dirty.push((self.slot, Side::Client));
    }

    /// Whether what the client does makes no difference.
    pub(crate) fn is_for_nobody(&self) -> bool {
        matches!(self.lonely(), Some(Lonely::ForNobody))
    }

    /// The target has let us in, and been told goodbye.
    pub(crate) fn on_let_in_alone(&mut self, cx: &mut Context<I>) {
        self.on_accepted(cx);
        self.service.runtime.on_established();
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.waiting = Waiting::TargetEnd;
        self.await_input(Side::Target, cx);
    }

    /// The target's half is over, one way or the other.
    pub(crate) fn after_alone(&mut self, lonely: Lonely, cx: &mut Context<I>) {
        let Lonely::ForOthers(waiting) = lonely else {
            return self.begin_closing(Some(Side::Client), cx);
        };
        self.on_abandoned(cx);
        self.detach_target(cx);
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.lonely = None;
        handshaking.attempt.forget();
        handshaking.target_in = Input::default();
        handshaking.shown_in_vain = None;
        handshaking.waiting = waiting;
        if waiting == Waiting::Tls(Side::Client) {
            self.go_on_with_tls(Side::Client, cx);
            self.receive_more_handshake(Side::Client, cx);
        } else {
            self.obey(Ok(Next::Want(Side::Client, protocol::Want::Bytes)), cx);
        }
    }

    /// Something has gone wrong on the way.
    pub(crate) fn fail_alone(&mut self, lonely: Lonely, error: &Error, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        if matches!(lonely, Lonely::ForOthers(_)) {
            if is_clients_own(error) {
                // The client is not waited for any more: the rest is for nobody.
                handshaking.lonely = Some(Lonely::ForNobody);
                self.begin_clock(cx);
                cx.on_failed(&self.service, self.request_id, error);
                cx.stats(&self.service).abandoned.add(1);
                self.say_farewell(error, cx);
                return self.let_go_of_client(cx);
            }
            if *error == BrokerFailed::Shutdown.into() {
                handshaking.lonely = None;
                return self.fail(error, cx);
            }
        }
        if handshaking.machine.leaves_target_waiting() && !matches!(error, Error::Server(_)) {
            self.service.runtime.on_abandoned();
        }
        self.after_alone(lonely, cx);
    }

    /// What is to be done with the credential that was asked about, or that was refused.
    pub(crate) fn on_verdict_alone(&mut self, lonely: Lonely, verdict: Verdict, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        match (verdict, lonely) {
            (Verdict::Proceed, _) if handshaking.waiting == Waiting::Permission => self.proceed(cx),
            (Verdict::GiveUp(words), Lonely::ForOthers(_)) => {
                handshaking.lonely = None;
                self.give_up(words, cx);
            }
            // A client that goes on asks anew.
            _ => self.fail_alone(lonely, &Denied::CredentialRefused.into(), cx),
        }
    }

    /// The handshake's time is over.
    pub(crate) fn on_alone_deadline(&mut self, lonely: Lonely, cx: &mut Context<I>) {
        self.fail_alone(lonely, &ClientMisbehaved::HandshakeTimeout.into(), cx);
    }
}
