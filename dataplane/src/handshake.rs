//! The first stage of a session: a machine of the protocol crate and what it needs.
//!
//! Owns the driving of the machine: it shows input, sends output, and answers wants, at once where the answer is
//! there, else when it comes. Does not know what any byte means.

use std::time::Instant;

use bytes::Bytes;
use protocol::{
    BrokerFailed, ClientMisbehaved, Dial, Error, Event, Failure, Handshake, Next, Output, RequestId,
    ServerMisbehaved, Side, Want, Watch,
};
use zeroize::Zeroizing;

use crate::alone::Lonely;
use crate::context::Context;
use crate::input::Input;
use crate::io::{Chunk, Io};
use crate::jobs::JobId;
use crate::mailbox::Report;
use crate::products::Lookup;
use crate::proof::Attempt;
use crate::session::{Session, Stage};
use crate::snapshot::{CredentialState, ServiceOptions};
use crate::target::Dialing;

/// Input of one side that may wait for its turn. Whoever sends more before its handshake is over is not received
/// from until then.
const INPUT_MAX: usize = 64 * 1024;

/// A handshake under way.
pub(crate) struct Handshaking {
    pub(crate) machine: Box<dyn Handshake>,
    pub(crate) out: Output,
    /// Unused input of the client, decrypted where there is TLS.
    client_in: Input,
    /// Unused input of the target, decrypted where there is TLS.
    pub(crate) target_in: Input,
    /// The side whose input the machine was shown last, and used nothing of: it must be shown more.
    pub(crate) shown_in_vain: Option<Side>,
    pub(crate) waiting: Waiting,
    pub(crate) dialing: Option<Dialing>,
    /// The client asked for something that has no answer, and may be gone before it is done.
    pub(crate) is_errand: bool,
    /// For whom the target's half goes on without the client's, if it does.
    pub(crate) lonely: Option<Lonely>,
    pub(crate) attempt: Attempt,
    /// If a session has begun before, what was moved in it: bytes of the client, bytes of the target.
    pub(crate) moved_before: Option<[u64; 2]>,
}

/// What the machine waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// More input.
    Input(Side),
    Credential,
    Connection(Dial),
    /// The end of the TLS handshake with this side.
    Tls(Side),
    /// Leave to prove the credential.
    Permission,
    Work(JobId),
    /// What becomes of a credential that the target refused.
    Verdict,
    /// Nothing: the target closes when it is done.
    TargetEnd,
}

impl Handshaking {
    /// A handshake that has not begun.
    pub(crate) fn new(machine: Box<dyn Handshake>, now: Instant) -> Self {
        Self {
            machine,
            out: Output::default(),
            client_in: Input::default(),
            target_in: Input::default(),
            shown_in_vain: None,
            waiting: Waiting::Input(Side::Client),
            dialing: None,
            is_errand: false,
            lonely: None,
            attempt: Attempt::new(now),
            moved_before: None,
        }
    }

    /// A handshake in the middle of a session.
    pub(crate) fn again(machine: Box<dyn Handshake>, moved: [u64; 2], now: Instant) -> Self {
        Self { moved_before: Some(moved), ..Self::new(machine, now) }
    }

    /// Whether the client has said nothing that is still worth an answer.
    pub(crate) fn has_no_client_input(&self) -> bool {
        self.client_in.bytes().is_empty()
    }

    /// Whether nobody needs the handshake once the client has gone. One whose proof others wait for goes on until the
    /// target has said what it thinks of it: else a client that goes early could have a wrong password tried over and over.
    pub(crate) fn ends_with_client(&self) -> bool {
        !self.is_errand && !self.attempt.is_awaited()
    }

    pub(crate) fn input(&mut self, side: Side) -> &mut Input {
        if side == Side::Client { &mut self.client_in } else { &mut self.target_in }
    }

    /// Shows the machine all unused input of `side` and drops what it used.
    fn show(&mut self, side: Side) -> Result<Next, Error> {
        self.out.used = 0;
        let input = if side == Side::Client { &mut self.client_in } else { &mut self.target_in };
        let next = self.machine.handle(side, Event::Bytes(input.bytes()), &mut self.out);
        input.use_up(self.out.used);
        self.shown_in_vain = (self.out.used == 0).then_some(side);
        next
    }

    /// Gives the machine an answer of `side` other than input.
    pub(crate) fn tell(&mut self, side: Side, event: Event<'_>) -> Result<Next, Error> {
        self.shown_in_vain = None;
        self.machine.handle(side, event, &mut self.out)
    }

    /// What the client is told about `error`.
    pub(crate) fn farewell(
        &mut self,
        service: &ServiceOptions,
        request_id: RequestId,
        error: &Error,
    ) -> Vec<u8> {
        let failure = Failure { service: &service.route.service, error, request_id };
        self.machine.farewell(&failure, &mut self.out);
        std::mem::take(&mut self.out.client)
    }

    /// What each side has sent beyond its handshake.
    pub(crate) fn into_residues(mut self) -> (Vec<u8>, Vec<u8>) {
        (self.client_in.take(), self.target_in.take())
    }
}

impl<I: Io> Session<I> {
    pub(crate) fn handshaking(&mut self) -> Option<&mut Handshaking> {
        let Stage::Handshake(handshaking) = &mut self.stage else { return None };
        Some(handshaking)
    }

    /// Starts the machine.
    pub(crate) fn begin_handshake(&mut self, cx: &mut Context<I>) {
        let Some(entropy) = cx.entropy.draw_pair() else {
            return self.fail(&BrokerFailed::Resources.into(), cx);
        };
        let Some(handshaking) = self.handshaking() else { return };
        let next = handshaking.machine.start(entropy, &mut handshaking.out);
        self.obey(next, cx);
    }

    /// Gives the machine an answer of `side` and goes on.
    pub(crate) fn answer(&mut self, side: Side, event: Event<'_>, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        let next = handshaking.tell(side, event);
        self.obey(next, cx);
    }

    /// Does what the machine says until it has to wait for somebody.
    pub(crate) fn obey(&mut self, mut next: Result<Next, Error>, cx: &mut Context<I>) {
        loop {
            self.send_output(cx);
            let (service, slot, session) = (self.service.id, self.slot, self.reference(cx));
            let Stage::Handshake(handshaking) = &mut self.stage else { return };
            let want = match next {
                Err(error) => return self.fail(&error, cx),
                Ok(Next::Relay(watch)) => return self.on_both_up(watch, cx),
                Ok(Next::Linger) => {
                    handshaking.waiting = Waiting::TargetEnd;
                    return self.await_input(Side::Target, cx);
                }
                Ok(Next::Refused) => return self.on_refused(cx),
                Ok(Next::Want(side, Want::Bytes)) => {
                    if handshaking.input(side).bytes().is_empty() || handshaking.shown_in_vain == Some(side) {
                        handshaking.waiting = Waiting::Input(side);
                        return self.await_input(side, cx);
                    }
                    next = handshaking.show(side);
                    continue;
                }
                Ok(Next::Want(_, want)) => want,
            };
            next = match want {
                Want::Bytes => return,
                Want::Credential => match handshaking.attempt.take_credential(cx.service(service)) {
                    CredentialState::Here(credential) => {
                        handshaking.tell(Side::Target, Event::Credential(credential))
                    }
                    state @ (CredentialState::Awaited | CredentialState::Denied(_)) => {
                        let is_outage = matches!(state, CredentialState::Denied(_));
                        handshaking.waiting = Waiting::Credential;
                        if is_outage {
                            self.limit_wait_for_store(cx);
                        }
                        cx.parked.insert(slot);
                        cx.report(Report::CredentialWanted(service));
                        return;
                    }
                    CredentialState::Never => {
                        return self.fail(&BrokerFailed::CredentialUnobtainable.into(), cx);
                    }
                },
                Want::Permission => {
                    if self.asks_permission(cx) {
                        return;
                    }
                    self.tell_permitted(cx.now)
                }
                Want::Compute(work) => match cx.products.find(service, work, session, &cx.mailbox) {
                    Lookup::Here(product) => handshaking.tell(Side::Target, Event::Computed(product)),
                    Lookup::Waiting(job) => return handshaking.waiting = Waiting::Work(job),
                    Lookup::Busy => return self.fail(&BrokerFailed::Resources.into(), cx),
                },
                Want::Connection(dial) => {
                    handshaking.waiting = Waiting::Connection(dial);
                    return self.begin_dial(dial, cx);
                }
                Want::AcceptTls => {
                    handshaking.waiting = Waiting::Tls(Side::Client);
                    return self.accept_tls(cx);
                }
                Want::Tls(policy) => {
                    handshaking.waiting = Waiting::Tls(Side::Target);
                    return self.begin_tls(&policy, cx);
                }
            };
        }
    }

    /// Sends what the machine has put out for either side.
    pub(crate) fn send_output(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        let to_client = std::mem::take(&mut handshaking.out.client);
        let to_target = std::mem::take(&mut handshaking.out.target);
        self.send_client(to_client, cx);
        if !to_target.is_empty() {
            self.send_target(to_target, cx);
        }
    }

    /// Sends bytes of our own to the client, encrypted where there is TLS.
    pub(crate) fn send_client(&mut self, bytes: Vec<u8>, cx: &mut Context<I>) {
        if !bytes.is_empty() {
            let chunk = match &mut self.client.tls {
                None => Bytes::from(bytes),
                Some(tls) => tls.encrypt(&bytes),
            };
            self.client.enqueue(Chunk::Bytes(chunk));
            cx.dirty.push((self.slot, Side::Client));
        }
    }

    /// Sends bytes of our own to the target, encrypted where there is TLS.
    fn send_target(&mut self, bytes: Zeroizing<Vec<u8>>, cx: &mut Context<I>) {
        let Some(leg) = &mut self.target else { return };
        let chunk = match &mut leg.tls {
            None => Chunk::Wiped { bytes, sent: 0 },
            Some(tls) => Chunk::Bytes(tls.encrypt(&bytes)),
        };
        leg.enqueue(chunk);
        cx.dirty.push((self.slot, Side::Target));
    }

    /// The machine waits for input of `side`. If that side has ended, it waits in vain.
    pub(crate) fn await_input(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(leg) = self.leg(side) else { return };
        if leg.has_ended() {
            return self.on_handshake_end(side, cx);
        }
        // It may have been paused while nobody used its input.
        leg.receive(&mut cx.io);
        if side == Side::Client {
            self.limit_patience(cx);
        }
    }

    /// Data of either side.
    pub(crate) fn on_handshake_data(&mut self, side: Side, data: &[u8], cx: &mut Context<I>) {
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        // What a target says to a request that has no answer, nobody reads, nor what a client says that has gone.
        let is_unheard = match side {
            Side::Target => handshaking.waiting == Waiting::TargetEnd,
            Side::Client => matches!(handshaking.lonely, Some(Lonely::ForNobody)),
        };
        if is_unheard {
            return;
        }
        if let Err(error) = self.take_in(side, data, cx) {
            // What the TLS session has to say to that goes out when the side is let go of.
            return self.fail(&error, cx);
        }
        let has_said_end = side == Side::Client && self.has_said_end(side);
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let full = handshaking.input(side).bytes().len() > INPUT_MAX;
        let has_input = !handshaking.input(side).bytes().is_empty();
        match handshaking.waiting {
            Waiting::Input(wanted) if wanted == side && has_input => {
                let next = handshaking.show(side);
                self.obey(next, cx);
            }
            Waiting::Tls(wanted) if wanted == side => self.go_on_with_tls(side, cx),
            _ if full => {
                if let Some(leg) = self.leg(side) {
                    leg.pause(&mut cx.io);
                }
            }
            _ => {}
        }
        if has_said_end {
            self.on_end(side, None, cx);
        }
    }

    /// Receives from `side` again, unless more of its input waits than may.
    pub(crate) fn receive_more_handshake(&mut self, side: Side, cx: &mut Context<I>) {
        if side == Side::Client && self.is_for_nobody() {
            return;
        }
        let Some(handshaking) = self.handshaking() else { return };
        if handshaking.input(side).bytes().len() <= INPUT_MAX
            && let Some(leg) = self.leg(side)
        {
            leg.receive(&mut cx.io);
        }
    }

    /// Either side will send nothing more.
    pub(crate) fn on_handshake_end(&mut self, side: Side, cx: &mut Context<I>) {
        if side == Side::Client && self.is_for_nobody() {
            return;
        }
        let Some(handshaking) = self.handshaking() else { return };
        match (side, handshaking.waiting) {
            (Side::Target, Waiting::TargetEnd) => self.on_target_done(cx),
            // What it has said already is looked at first.
            (Side::Target, Waiting::Permission | Waiting::Work(_) | Waiting::Input(Side::Client))
                if !handshaking.target_in.bytes().is_empty() => {}
            (Side::Target, _) => self.fail(&ServerMisbehaved::Closed.into(), cx),
            // What the client has sent already is still worth an answer.
            (Side::Client, waiting) => {
                let expected = matches!(waiting, Waiting::Input(Side::Client) | Waiting::Tls(Side::Client));
                if expected || handshaking.client_in.bytes().is_empty() && handshaking.ends_with_client() {
                    self.fail(&ClientMisbehaved::Closed.into(), cx);
                }
            }
        }
    }

    /// A newer snapshot is in force.
    pub(crate) fn on_snapshot(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        match handshaking.waiting {
            Waiting::Credential => self.obey(Ok(Next::Want(Side::Target, Want::Credential)), cx),
            Waiting::Connection(dial) if handshaking.dialing.is_none() => self.begin_dial(dial, cx),
            _ => {}
        }
    }

    /// The target has closed after a request that has no answer: on to the next address, if there is one.
    fn on_target_done(&mut self, cx: &mut Context<I>) {
        if let Some(lonely) = self.lonely() {
            return self.after_alone(lonely, cx);
        }
        self.detach_target(cx);
        let Some(handshaking) = self.handshaking() else { return };
        if handshaking.dialing.as_ref().is_some_and(Dialing::has_more) {
            self.restart_target(cx);
        } else {
            self.begin_closing(Some(Side::Client), cx);
        }
    }

    /// The handshake succeeded.
    fn on_both_up(&mut self, watch: Option<Box<dyn Watch>>, cx: &mut Context<I>) {
        if self.lonely().is_some() {
            return self.on_let_in_alone(cx);
        }
        self.on_accepted(cx);
        let Some(handshaking) = self.handshaking() else { return };
        let endpoint = handshaking.dialing.as_mut().and_then(Dialing::take_connected);
        self.begin_relay(endpoint, watch, cx);
    }

    /// Whether a connect is with the kernel.
    pub(crate) fn is_dialing(&self) -> bool {
        matches!(&self.stage, Stage::Handshake(handshaking) if matches!(handshaking.waiting, Waiting::Connection(_)))
    }
}
