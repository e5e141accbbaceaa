//! The first stage of a session: a machine of the protocol crate and what it needs.
//!
//! Owns the driving of the machine: it shows input, sends output, and answers wants, at once where the answer is
//! there, else when it comes. Does not know what any byte means.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol::auth::scram::ScramKeys;
use protocol::tls::TlsPolicy;
use protocol::{
    BrokerFailed, Bug, ClientMisbehaved, Credential, Dial, Error, Event, Failure, Generation, Handshake,
    Next, Output, RequestId, ServerMisbehaved, Side, Want,
};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::credentials::Lookup;
use crate::io::{Chunk, Io};
use crate::keys::KeyJobId;
use crate::mailbox::{Report, Verdict};
use crate::session::{Session, Stage};
use crate::snapshot::{CredentialState, ServiceOptions};
use crate::target::Dialing;

/// Input of one side that may wait for its turn. Whoever sends more before its handshake is over is not received
/// from until then.
const INPUT_MAX: usize = 64 * 1024;

/// A handshake under way.
pub(crate) struct Handshaking {
    machine: Box<dyn Handshake>,
    out: Output,
    /// Unused input of the client.
    client_in: Vec<u8>,
    /// Unused input of the target, decrypted where there is TLS.
    target_in: Vec<u8>,
    /// The side whose input the machine was shown last, and used nothing of: it must be shown more.
    shown_in_vain: Option<Side>,
    waiting: Waiting,
    pub(crate) dialing: Option<Dialing>,
    /// The client asked for something that has no answer, and may be gone before it is done.
    pub(crate) is_errand: bool,
    /// The credential that the machine was given.
    credential: Option<Arc<Credential>>,
    /// The credential that it is to be given next, instead of the snapshot's.
    assigned: Option<Arc<Credential>>,
    /// What the control plane knows of this session.
    standing: Standing,
    /// Whether the target was shown a proof of the credential.
    has_proven: bool,
    /// When the attempt with that credential began.
    attempt_began: Instant,
}

/// What the control plane knows of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Free,
    /// It waits for a verdict.
    Asks,
    /// It was let go on, and others may wait for what the target says to it.
    Tries,
}

/// What the machine waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// More input.
    Input(Side),
    Credential,
    Connection(Dial),
    Tls,
    /// Leave to prove the credential.
    Permission,
    Keys(KeyJobId),
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
            client_in: Vec::new(),
            target_in: Vec::new(),
            shown_in_vain: None,
            waiting: Waiting::Input(Side::Client),
            dialing: None,
            is_errand: false,
            credential: None,
            assigned: None,
            standing: Standing::Free,
            has_proven: false,
            attempt_began: now,
        }
    }

    /// Whether nobody needs the handshake once the client has gone. One whose proof others wait for goes on until the
    /// target has said what it thinks of it: else a client that goes early could have a wrong password tried over and over.
    pub(crate) fn ends_with_client(&self) -> bool {
        !self.is_errand && self.standing != Standing::Tries
    }

    /// Which credential the machine was given.
    fn generation(&self) -> Option<Generation> {
        self.credential.as_ref().map(|credential| credential.generation())
    }

    fn input(&mut self, side: Side) -> &mut Vec<u8> {
        if side == Side::Client { &mut self.client_in } else { &mut self.target_in }
    }

    /// Shows the machine all unused input of `side` and drops what it used.
    fn show(&mut self, side: Side) -> Result<Next, Error> {
        self.out.used = 0;
        let input = if side == Side::Client { &mut self.client_in } else { &mut self.target_in };
        let next = self.machine.handle(side, Event::Bytes(input), &mut self.out);
        input.drain(..self.out.used.min(input.len()));
        self.shown_in_vain = (self.out.used == 0).then_some(side);
        next
    }

    /// Gives the machine an answer of `side` other than input.
    fn tell(&mut self, side: Side, event: Event<'_>) -> Result<Next, Error> {
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
    pub(crate) fn into_residues(self) -> (Vec<u8>, Vec<u8>) {
        (self.client_in, self.target_in)
    }
}

impl Session {
    fn handshaking(&mut self) -> Option<&mut Handshaking> {
        let Stage::Handshake(handshaking) = &mut self.stage else { return None };
        Some(handshaking)
    }

    /// Starts the machine.
    pub(crate) fn begin_handshake<I: Io>(&mut self, cx: &mut Context<I>) {
        let Some(entropy) = cx.entropy.draw_pair() else {
            return self.fail(&BrokerFailed::Resources.into(), cx);
        };
        let Some(handshaking) = self.handshaking() else { return };
        let next = handshaking.machine.start(entropy, &mut handshaking.out);
        self.obey(next, cx);
    }

    /// Gives the machine an answer of `side` and goes on.
    pub(crate) fn answer<I: Io>(&mut self, side: Side, event: Event<'_>, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        let next = handshaking.tell(side, event);
        self.obey(next, cx);
    }

    /// Does what the machine says until it has to wait for somebody.
    fn obey<I: Io>(&mut self, mut next: Result<Next, Error>, cx: &mut Context<I>) {
        loop {
            self.send_output(cx);
            let (service, slot, session) = (self.service.id, self.slot, self.reference(cx));
            let Stage::Handshake(handshaking) = &mut self.stage else { return };
            let want = match next {
                Err(error) => return self.fail(&error, cx),
                Ok(Next::Relay) => return self.on_both_up(cx),
                Ok(Next::Linger) => {
                    handshaking.waiting = Waiting::TargetEnd;
                    return self.await_input(Side::Target, cx);
                }
                Ok(Next::Refused) => return self.on_refused(cx),
                Ok(Next::Want(side, Want::Bytes)) => {
                    if handshaking.input(side).is_empty() || handshaking.shown_in_vain == Some(side) {
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
                Want::Credential => {
                    let published = cx.service(service).map(|service| service.credential.clone());
                    let found = match (handshaking.assigned.take(), published) {
                        (Some(assigned), _) => CredentialState::Here(assigned),
                        (None, published) => published.unwrap_or_default(),
                    };
                    match found {
                        CredentialState::Here(credential) => {
                            handshaking.credential = Some(Arc::clone(&credential));
                            handshaking.has_proven = false;
                            handshaking.tell(Side::Target, Event::Credential(credential))
                        }
                        CredentialState::Awaited => {
                            handshaking.waiting = Waiting::Credential;
                            cx.parked.insert(slot);
                            cx.report(Report::CredentialWanted(service));
                            return;
                        }
                        CredentialState::Never => {
                            return self.fail(&BrokerFailed::CredentialUnsupported.into(), cx);
                        }
                    }
                }
                Want::Permission => {
                    if self.asks_permission(cx) {
                        return;
                    }
                    self.tell_permitted(cx.now)
                }
                Want::Derive(derivation) => match cx.keys.find(service, derivation, session, &cx.mailbox) {
                    Lookup::Here(keys) => handshaking.tell(Side::Target, Event::Derived(keys)),
                    Lookup::Waiting(job) => return handshaking.waiting = Waiting::Keys(job),
                    Lookup::Busy => return self.fail(&BrokerFailed::Resources.into(), cx),
                },
                Want::Connection(dial) => {
                    handshaking.waiting = Waiting::Connection(dial);
                    return self.begin_dial(dial, cx);
                }
                Want::Tls(policy) => {
                    handshaking.waiting = Waiting::Tls;
                    return self.begin_tls(&policy, cx);
                }
            };
        }
    }

    /// The machine is about to prove a credential. Whether somebody has to be asked about that first.
    fn asks_permission<I: Io>(&mut self, cx: &mut Context<I>) -> bool {
        let session = self.reference(cx);
        let service = self.service.id;
        let runtime = Arc::clone(&self.service.runtime);
        let Some(handshaking) = self.handshaking() else { return false };
        let Some(generation) = handshaking.generation() else { return false };
        if runtime.is_open(generation) {
            return false;
        }
        handshaking.waiting = Waiting::Permission;
        if cx.report(Report::PermissionWanted { service, generation, session }) {
            handshaking.standing = Standing::Asks;
        } else {
            self.fail(&BrokerFailed::Resources.into(), cx);
        }
        true
    }

    fn tell_permitted(&mut self, now: Instant) -> Result<Next, Error> {
        let Some(handshaking) = self.handshaking() else { return Err(Bug::UnexpectedEvent.into()) };
        handshaking.has_proven = true;
        handshaking.attempt_began = now;
        handshaking.tell(Side::Target, Event::Permitted)
    }

    /// Sends what the machine has put out for either side.
    fn send_output<I: Io>(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        let to_client = std::mem::take(&mut handshaking.out.client);
        let to_target = std::mem::take(&mut handshaking.out.target);
        self.send_client(to_client, cx);
        if !to_target.is_empty() {
            self.send_target(to_target, cx);
        }
    }

    /// Sends bytes of our own to the client.
    pub(crate) fn send_client<I: Io>(&mut self, bytes: Vec<u8>, cx: &mut Context<I>) {
        if !bytes.is_empty() {
            self.client.enqueue(Chunk::Bytes(Bytes::from(bytes)));
            cx.dirty.push((self.slot, Side::Client));
        }
    }

    /// Sends bytes of our own to the target, encrypted where there is TLS.
    fn send_target<I: Io>(&mut self, bytes: Zeroizing<Vec<u8>>, cx: &mut Context<I>) {
        let Some(leg) = &mut self.target else { return };
        let chunk = match &mut self.tls {
            None => Chunk::Wiped { bytes, sent: 0 },
            Some(tls) => Chunk::Bytes(tls.encrypt(&bytes)),
        };
        leg.enqueue(chunk);
        cx.dirty.push((self.slot, Side::Target));
    }

    /// The machine waits for input of `side`. If that side has ended, it waits in vain.
    fn await_input<I: Io>(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(leg) = self.leg(side) else { return };
        if leg.has_ended() {
            return self.on_handshake_end(side, cx);
        }
        // It may have been paused while nobody used its input.
        leg.receive(&mut cx.io);
    }

    /// Data of either side.
    pub(crate) fn on_handshake_data<I: Io>(&mut self, side: Side, data: &[u8], cx: &mut Context<I>) {
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        match (side, &mut self.tls) {
            // What a target says to a request that has no answer, nobody reads.
            (Side::Target, _) if handshaking.waiting == Waiting::TargetEnd => return,
            (Side::Target, Some(tls)) => {
                if let Err(error) = tls.decrypt(data, &mut handshaking.target_in) {
                    // What the TLS session has to say to that goes out when the target is let go of.
                    return self.fail(&error, cx);
                }
                self.flush_tls(cx);
            }
            _ => handshaking.input(side).extend_from_slice(data),
        }
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let full = handshaking.input(side).len() > INPUT_MAX;
        let has_input = !handshaking.input(side).is_empty();
        match handshaking.waiting {
            Waiting::Input(wanted) if wanted == side && has_input => {
                let next = handshaking.show(side);
                self.obey(next, cx);
            }
            Waiting::Tls if side == Side::Target => self.go_on_with_tls(cx),
            _ if full => {
                if let Some(leg) = self.leg(side) {
                    leg.pause(&mut cx.io);
                }
            }
            _ => {}
        }
    }

    /// Receives from `side` again, unless more of its input waits than may.
    pub(crate) fn receive_more_handshake<I: Io>(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        if handshaking.input(side).len() <= INPUT_MAX
            && let Some(leg) = self.leg(side)
        {
            leg.receive(&mut cx.io);
        }
    }

    /// Either side will send nothing more.
    pub(crate) fn on_handshake_end<I: Io>(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        match (side, handshaking.waiting) {
            (Side::Target, Waiting::TargetEnd) => self.on_target_done(cx),
            // What it has said already is looked at first.
            (Side::Target, Waiting::Permission | Waiting::Keys(_)) if !handshaking.target_in.is_empty() => {}
            (Side::Target, _) => self.fail(&ServerMisbehaved::Closed.into(), cx),
            // What the client has sent already is still worth an answer.
            (Side::Client, waiting) => {
                let expected = waiting == Waiting::Input(Side::Client);
                if expected || handshaking.client_in.is_empty() && handshaking.ends_with_client() {
                    self.fail(&ClientMisbehaved::Closed.into(), cx);
                }
            }
        }
    }

    /// The machine wants TLS towards the target.
    fn begin_tls<I: Io>(&mut self, policy: &TlsPolicy, cx: &mut Context<I>) {
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        // The machine has refused bytes behind the answer to its TLS request, so nothing in clear is left.
        debug_assert!(handshaking.target_in.is_empty(), "nothing in clear may reach the TLS session");
        handshaking.target_in.clear();
        let session = match &handshaking.credential {
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
    pub(crate) fn flush_tls<I: Io>(&mut self, cx: &mut Context<I>) {
        let (Some(tls), Some(leg)) = (&mut self.tls, &mut self.target) else { return };
        let ciphertext = tls.take_ciphertext();
        if !ciphertext.is_empty() {
            leg.enqueue(Chunk::Bytes(ciphertext));
            cx.dirty.push((self.slot, Side::Target));
        }
    }

    fn go_on_with_tls<I: Io>(&mut self, cx: &mut Context<I>) {
        let Some(tls) = &mut self.tls else { return };
        if let Some(peer) = tls.peer() {
            self.answer(Side::Target, Event::Encrypted(peer), cx);
        }
    }

    /// A newer snapshot is in force.
    pub(crate) fn on_snapshot<I: Io>(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        match handshaking.waiting {
            Waiting::Credential => self.obey(Ok(Next::Want(Side::Target, Want::Credential)), cx),
            Waiting::Connection(dial) if handshaking.dialing.is_none() => self.begin_dial(dial, cx),
            _ => {}
        }
    }

    /// Keys have been derived that this session may wait for.
    pub(crate) fn on_keys<I: Io>(&mut self, job: KeyJobId, keys: Arc<ScramKeys>, cx: &mut Context<I>) {
        if self.handshaking().is_some_and(|handshaking| handshaking.waiting == Waiting::Keys(job)) {
            self.answer(Side::Target, Event::Derived(keys), cx);
        }
    }

    /// The target refused the credential: the control plane may know a better one.
    fn on_refused<I: Io>(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.waiting = Waiting::Verdict;
        let Some(generation) = handshaking.generation() else {
            return self.on_verdict(Verdict::GiveUp(None), cx);
        };
        handshaking.standing = Standing::Asks;
        let certain = handshaking.machine.refusal_is_certain();
        let words = handshaking.machine.refusal();
        cx.proofs.on_refused(service);
        self.detach_target(cx);
        cx.report_surely(Report::Refused { service, generation, session, certain, words });
    }

    /// What is to be done with the credential that was asked about, or that was refused.
    pub(crate) fn on_verdict<I: Io>(&mut self, verdict: Verdict, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        if !matches!(handshaking.waiting, Waiting::Permission | Waiting::Verdict) {
            return;
        }
        match verdict {
            Verdict::Proceed => {
                handshaking.standing = Standing::Tries;
                let next = self.tell_permitted(cx.now);
                self.obey(next, cx);
            }
            Verdict::Retry(credential) => {
                handshaking.assigned = Some(credential);
                handshaking.standing = Standing::Tries;
                self.detach_target(cx);
                self.restart_target(cx);
            }
            Verdict::GiveUp(words) => {
                handshaking.standing = Standing::Free;
                let error = handshaking.machine.give_up(words, &mut handshaking.out);
                self.send_output(cx);
                self.fail(&error, cx);
            }
        }
    }

    /// Repeats the target's half alone.
    fn restart_target<I: Io>(&mut self, cx: &mut Context<I>) {
        let Some(entropy) = cx.entropy.draw() else {
            return self.fail(&BrokerFailed::Resources.into(), cx);
        };
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.target_in.clear();
        handshaking.shown_in_vain = None;
        let next = handshaking.machine.retry(entropy, &mut handshaking.out);
        self.obey(next, cx);
    }

    /// The handshake has ended, and not by the target's word on its credential.
    pub(crate) fn on_abandoned<I: Io>(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        if let Some(handshaking) = self.handshaking()
            && handshaking.standing != Standing::Free
        {
            cx.report_surely(Report::Abandoned { service, session });
        }
    }

    /// The target has closed after a request that has no answer: on to the next address, if there is one.
    fn on_target_done<I: Io>(&mut self, cx: &mut Context<I>) {
        self.detach_target(cx);
        let Some(handshaking) = self.handshaking() else { return };
        if handshaking.dialing.as_ref().is_some_and(Dialing::has_more) {
            self.restart_target(cx);
        } else {
            self.begin_closing(Some(Side::Client), cx);
        }
    }

    /// The handshake succeeded.
    fn on_both_up<I: Io>(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        let endpoint = handshaking.dialing.as_mut().and_then(Dialing::take_connected);
        let attempt_began = handshaking.attempt_began;
        let tried = std::mem::replace(&mut handshaking.standing, Standing::Free) == Standing::Tries;
        // A target that lets us in without a proof, for this database perhaps, says nothing about the password.
        if let Some(generation) = handshaking.generation().filter(|_| handshaking.has_proven)
            && (cx.proofs.admit(service, generation, cx.now) || tried)
        {
            cx.report_surely(Report::Proven { service, generation, session, attempt_began });
        } else if tried {
            cx.report_surely(Report::Abandoned { service, session });
        }
        self.begin_relay(endpoint, cx);
    }

    /// The handshake's deadline, or one of the dial's, has passed.
    pub(crate) fn on_handshake_deadline<I: Io>(&mut self, cx: &mut Context<I>) {
        let over = cx.now >= self.handshake_deadline();
        let Some(handshaking) = self.handshaking() else { return };
        if !over {
            return self.on_dial_deadline(cx);
        }
        let error = match handshaking.waiting {
            Waiting::Input(Side::Client) => ClientMisbehaved::HandshakeTimeout.into(),
            Waiting::Credential | Waiting::Keys(_) | Waiting::Permission => {
                BrokerFailed::CredentialMissing.into()
            }
            Waiting::Connection(_) => match &handshaking.dialing {
                Some(dialing) => dialing.timeout(),
                None => BrokerFailed::CredentialMissing.into(),
            },
            // Nobody could say whether there is a better credential: the target's own words are the best answer.
            Waiting::Verdict => return self.on_verdict(Verdict::GiveUp(None), cx),
            Waiting::TargetEnd => return self.begin_closing(Some(Side::Client), cx),
            Waiting::Input(Side::Target) | Waiting::Tls => ServerMisbehaved::HandshakeTimeout.into(),
        };
        self.fail(&error, cx);
    }

    /// Whether a connect is with the kernel.
    pub(crate) fn is_dialing(&self) -> bool {
        matches!(&self.stage, Stage::Handshake(handshaking) if matches!(handshaking.waiting, Waiting::Connection(_)))
    }
}
