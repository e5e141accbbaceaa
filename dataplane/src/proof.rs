//! What a session may do with its credential, and what the target says to it.
//!
//! Owns the questions to the control plane and the obeying of its verdicts. Decides nothing: whether a credential may be
//! proven is an atomic of the service, or the control plane's to say.

use std::sync::Arc;
use std::time::Instant;

use protocol::work::Product;
use protocol::{BrokerFailed, Bug, ClientMisbehaved, Credential, Error, Event, Generation, Next, Side};

use crate::context::Context;
use crate::handshake::Waiting;
use crate::input::Input;
use crate::io::Io;
use crate::jobs::JobId;
use crate::mailbox::{Refusal, Report, Verdict};
use crate::session::Session;
use crate::snapshot::{CredentialState, Service};

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

/// One attempt to log in.
pub(crate) struct Attempt {
    /// The credential that the machine was given.
    credential: Option<Arc<Credential>>,
    /// The credential that it is to be given next, instead of the snapshot's.
    assigned: Option<Arc<Credential>>,
    standing: Standing,
    /// Whether the session was let go on with the credential that it has, and nobody else since.
    has_leave: bool,
    /// Whether the target was shown a proof of the credential.
    has_proven: bool,
    /// When it was.
    began: Instant,
    /// Until when others wait for this session's client.
    pub(crate) patience: Option<Instant>,
}

impl Attempt {
    /// None yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            credential: None,
            assigned: None,
            standing: Standing::Free,
            has_leave: false,
            has_proven: false,
            began: now,
            patience: None,
        }
    }

    /// The credential that the machine is given: the one that the control plane has chosen, else the snapshot's.
    pub(crate) fn take_credential(&mut self, service: Option<&Arc<Service>>) -> CredentialState {
        let found = match (self.assigned.take(), service) {
            (Some(assigned), _) => CredentialState::Here(assigned),
            (None, Some(service)) => service.credential.clone(),
            (None, None) => CredentialState::Awaited,
        };
        if let CredentialState::Here(credential) = &found {
            self.credential = Some(Arc::clone(credential));
            self.has_proven = false;
            self.has_leave = false;
        }
        found
    }

    /// The credential that the machine was given.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_deref()
    }

    /// Nothing of it counts for what comes.
    pub(crate) fn forget(&mut self) {
        self.standing = Standing::Free;
        self.has_leave = false;
        self.has_proven = false;
        self.patience = None;
    }

    fn has_leave(&self) -> bool {
        self.has_leave
    }

    /// Whether others may wait for what the target says.
    pub(crate) fn is_awaited(&self) -> bool {
        self.standing == Standing::Tries
    }

    /// Which that is.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.credential().map(Credential::generation)
    }
}

impl<I: Io> Session<I> {
    /// The machine is about to prove a credential. Whether somebody has to be asked about that first.
    pub(crate) fn asks_permission(&mut self, cx: &mut Context<I>) -> bool {
        let session = self.reference(cx);
        let service = self.service.id;
        let runtime = Arc::clone(&self.service.runtime);
        let Some(handshaking) = self.handshaking() else { return false };
        let Some(generation) = handshaking.attempt.generation() else { return false };
        // Who has been let go on may be asked again by a machine that has waited for its client meanwhile.
        if runtime.is_open(generation) || handshaking.attempt.has_leave() {
            return false;
        }
        handshaking.waiting = Waiting::Permission;
        if cx.report(Report::PermissionWanted { service, generation, session }) {
            handshaking.attempt.standing = Standing::Asks;
        } else {
            self.fail(&BrokerFailed::Resources.into(), cx);
        }
        true
    }

    /// The client takes its time, and others wait for what the target says to this session: they are let go on. Before it
    /// proves anything, the session asks anew.
    pub(crate) fn let_others_try(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.attempt.standing = Standing::Free;
        handshaking.attempt.has_leave = false;
        handshaking.attempt.patience = None;
        cx.report_surely(Report::Abandoned { service, session });
        self.set_deadline(Some(self.handshake_deadline()), cx);
    }

    pub(crate) fn tell_permitted(&mut self, now: Instant) -> Result<Next, Error> {
        let Some(handshaking) = self.handshaking() else { return Err(Bug::UnexpectedEvent.into()) };
        handshaking.attempt.has_proven = true;
        handshaking.attempt.has_leave = handshaking.attempt.standing == Standing::Tries;
        handshaking.attempt.began = now;
        handshaking.tell(Side::Target, Event::Permitted)
    }

    /// The target refused the credential: the control plane may know a better one.
    pub(crate) fn on_refused(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.waiting = Waiting::Verdict;
        let Some(generation) = handshaking.attempt.generation() else {
            return self.on_verdict(Verdict::GiveUp(None), cx);
        };
        handshaking.attempt.standing = Standing::Asks;
        let certain = handshaking.machine.refusal_is_certain();
        let words = handshaking.machine.refusal();
        cx.proofs.on_refused(service);
        self.detach_target(cx);
        cx.report_surely(Report::Refused(Refusal { service, generation, session, certain, words }));
    }

    /// What is to be done with the credential that was asked about, or that was refused.
    pub(crate) fn on_verdict(&mut self, verdict: Verdict, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        if !matches!(handshaking.waiting, Waiting::Permission | Waiting::Verdict) {
            return;
        }
        if let Some(lonely) = self.lonely() {
            return self.on_verdict_alone(lonely, verdict, cx);
        }
        // Nobody tries for a client that has gone: the next one's turn comes at once.
        if !matches!(verdict, Verdict::GiveUp(_)) && self.has_lost_client() {
            return self.fail(&ClientMisbehaved::Closed.into(), cx);
        }
        let Some(handshaking) = self.handshaking() else { return };
        match verdict {
            Verdict::Proceed => self.proceed(cx),
            Verdict::Retry(credential)
                if handshaking.waiting == Waiting::Permission && handshaking.machine.renew(&credential) =>
            {
                handshaking.attempt.credential = Some(credential);
                self.proceed(cx);
            }
            Verdict::Retry(credential) => {
                handshaking.attempt.assigned = Some(credential);
                handshaking.attempt.standing = Standing::Tries;
                self.count_abandoned(cx);
                self.detach_target(cx);
                self.restart_target(cx);
            }
            Verdict::GiveUp(words) => self.give_up(words, cx),
        }
    }

    /// The session may prove the credential that it has.
    pub(crate) fn proceed(&mut self, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.attempt.standing = Standing::Tries;
        let next = self.tell_permitted(cx.now);
        self.obey(next, cx);
    }

    /// Nobody has a better credential: the client is told what the target said.
    pub(crate) fn give_up(&mut self, words: Option<Arc<[u8]>>, cx: &mut Context<I>) {
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.attempt.standing = Standing::Free;
        let error = handshaking.machine.give_up(words, &mut handshaking.out);
        self.send_output(cx);
        self.fail(&error, cx);
    }

    /// Whether the handshake is for nobody.
    pub(crate) fn has_lost_client(&mut self) -> bool {
        let has_gone = self.client.has_ended() || self.client.is_broken();
        has_gone
            && self.handshaking().is_some_and(|handshaking| {
                handshaking.ends_with_client() && handshaking.has_no_client_input()
            })
    }

    /// Repeats the target's half alone.
    pub(crate) fn restart_target(&mut self, cx: &mut Context<I>) {
        let Some(entropy) = cx.entropy.draw() else {
            return self.fail(&BrokerFailed::Resources.into(), cx);
        };
        let Some(handshaking) = self.handshaking() else { return };
        handshaking.target_in = Input::default();
        handshaking.shown_in_vain = None;
        let next = handshaking.machine.retry(entropy, &mut handshaking.out);
        self.obey(next, cx);
    }

    /// The target has let the session in.
    pub(crate) fn on_accepted(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        let Some(handshaking) = self.handshaking() else { return };
        let attempt = &mut handshaking.attempt;
        let tried = std::mem::replace(&mut attempt.standing, Standing::Free) == Standing::Tries;
        // A target that lets us in without a proof, for this database perhaps, says nothing about the password.
        if let Some(generation) = attempt.generation().filter(|_| attempt.has_proven)
            && (cx.proofs.admit(service, generation, cx.now) || tried)
        {
            let attempt_began = attempt.began;
            cx.report_surely(Report::Proven { service, generation, session, attempt_began });
        } else if tried {
            cx.report_surely(Report::Abandoned { service, session });
        }
    }

    /// The handshake has ended, and not by the target's word on its credential.
    pub(crate) fn on_abandoned(&mut self, cx: &mut Context<I>) {
        let session = self.reference(cx);
        let service = self.service.id;
        if let Some(handshaking) = self.handshaking()
            && std::mem::replace(&mut handshaking.attempt.standing, Standing::Free) != Standing::Free
        {
            cx.report_surely(Report::Abandoned { service, session });
        }
    }

    /// Work has been done that this session may wait for.
    pub(crate) fn on_computed(&mut self, job: JobId, product: Arc<Product>, cx: &mut Context<I>) {
        if self.handshaking().is_some_and(|handshaking| handshaking.waiting == Waiting::Work(job)) {
            self.answer(Side::Target, Event::Computed(product), cx);
        }
    }
}
