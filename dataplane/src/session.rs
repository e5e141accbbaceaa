//! One connection of a client and everything that belongs to it.
//!
//! Owns the slot and its stage; the only file that changes a stage. What happens inside a stage stands in
//! `handshake.rs`, `relay.rs` and `closing.rs`.
//!
//! ```text
//!   accept ──► Handshake ──► Relay ──┐
//!                  │                 ├──► Closing ──► gone, once the kernel holds nothing of it
//!                  └── failure ──────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use protocol::{ClientMisbehaved, Error, RequestId, ServerMisbehaved, Side, Watch};

use crate::alone::Lonely;
use crate::closing::Closing;
use crate::context::Context;
use crate::handshake::Handshaking;
use crate::io::{Io, Kind, Token};
use crate::leg::Leg;
use crate::mailbox::{Report, SessionRef};
use crate::outdated::LoggedIn;
use crate::relay::Relay;
use crate::snapshot::{Endpoint, ServiceOptions};

/// One connection of a client.
pub(crate) struct Session<I: Io> {
    pub(crate) slot: u32,
    generation: u16,
    pub(crate) request_id: RequestId,
    /// The service's options as of accept. Its credential and addresses are read from the newest snapshot when they
    /// are needed, and not kept: a session may live for months.
    pub(crate) service: Arc<ServiceOptions>,
    pub(crate) client: Leg<I>,
    pub(crate) target: Option<Leg<I>>,
    /// Legs that are closed as soon as the kernel holds nothing of them.
    pub(crate) dying: Vec<Leg<I>>,
    /// Connections to targets so far.
    epoch: u8,
    pub(crate) stage: Stage<I>,
    pub(crate) accepted: Instant,
    /// When the handshake has begun, the first or one in the middle of the session.
    began: Instant,
    deadline: Option<Instant>,
    /// Whether the session counts towards the limits.
    admitted: bool,
    /// The address on which the session is open.
    endpoint: Option<Arc<Endpoint>>,
}

/// Where in its life a session is.
pub(crate) enum Stage<I: Io> {
    Handshake(Box<Handshaking>),
    Relay(Relay<I>),
    Closing(Closing),
}

impl<I: Io> Session<I> {
    /// A session for a connection that has just been accepted.
    pub(crate) fn open(
        slot: u32,
        generation: u16,
        socket: I::Socket,
        service: Arc<ServiceOptions>,
        cx: &mut Context<I>,
    ) -> Self {
        cx.stats(&service).opened.add(1);
        cx.shared.connections.fetch_add(1, Ordering::Relaxed);
        let name = Token { kind: Kind::ClientReceive, epoch: 0, generation, slot };
        let client = Leg::new(socket, Side::Client, name);
        let machine = service.protocol.handshake(Arc::clone(&service.route), client.transport());
        let handshaking = Handshaking::new(machine, cx.now);
        let mut session = Self {
            slot,
            generation,
            request_id: cx.shared.request_id(),
            client,
            target: None,
            dying: Vec::new(),
            epoch: 0,
            stage: Stage::Handshake(Box::new(handshaking)),
            accepted: cx.now,
            began: cx.now,
            deadline: None,
            admitted: false,
            endpoint: None,
            service,
        };
        session.set_deadline(Some(session.handshake_deadline()), cx);
        session.client.receive(&mut cx.io);
        session.begin_handshake(cx);
        session
    }

    /// Whether a token is of this session, not of an earlier tenant of the slot.
    pub(crate) fn is_named_by(&self, token: Token) -> bool {
        token.generation == self.generation
    }

    /// How the control plane names this session.
    pub(crate) fn reference(&self, cx: &Context<I>) -> SessionRef {
        SessionRef { worker: cx.worker, slot: self.slot, request_id: self.request_id }
    }

    /// When the handshake must be over.
    pub(crate) fn handshake_deadline(&self) -> Instant {
        self.began + self.service.timeouts.handshake
    }

    /// The handshake has all its time from now on.
    pub(crate) fn begin_clock(&mut self, cx: &mut Context<I>) {
        self.began = cx.now;
        self.set_deadline(Some(self.handshake_deadline()), cx);
    }

    pub(crate) fn set_deadline(&mut self, deadline: Option<Instant>, cx: &mut Context<I>) {
        cx.timers.replace(self.slot, self.deadline, deadline);
        self.deadline = deadline;
    }

    /// When [`Session::on_deadline`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The leg of `side`, if there is one.
    pub(crate) fn leg(&mut self, side: Side) -> Option<&mut Leg<I>> {
        match side {
            Side::Client => Some(&mut self.client),
            Side::Target => self.target.as_mut(),
        }
    }

    /// Makes `socket` the session's connection to its target.
    pub(crate) fn attach_target(&mut self, socket: I::Socket) -> &mut Leg<I> {
        self.epoch = self.epoch.wrapping_add(1);
        let name = Token {
            kind: Kind::TargetReceive,
            epoch: self.epoch,
            generation: self.generation,
            slot: self.slot,
        };
        self.target.insert(Leg::new(socket, Side::Target, name))
    }

    /// Lets go of the connection to the target: it is closed when the kernel holds nothing of it any more.
    pub(crate) fn detach_target(&mut self, cx: &mut Context<I>) {
        if let Some(mut leg) = self.target.take() {
            leg.say_last_of_tls();
            leg.abandon(&mut cx.io);
            self.bury(leg);
        }
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.on_close();
        }
    }

    fn bury(&mut self, leg: Leg<I>) {
        if !leg.is_joined() {
            self.dying.push(leg);
        }
    }

    /// Counts the session towards the limits of its service and of the process, once.
    pub(crate) fn admit(&mut self, cx: &Context<I>) -> Result<(), Error> {
        use protocol::OverLimit;
        if self.admitted {
            return Ok(());
        }
        if !self.service.runtime.admit(self.service.sessions_max) {
            return Err(OverLimit::ServiceSessions.into());
        }
        if !cx.shared.admit() {
            self.service.runtime.leave();
            return Err(OverLimit::Sessions.into());
        }
        self.admitted = true;
        Ok(())
    }

    /// Both legs are up: from now on bytes are moved.
    pub(crate) fn begin_relay(
        &mut self,
        endpoint: Option<Arc<Endpoint>>,
        watch: Option<Box<dyn Watch>>,
        cx: &mut Context<I>,
    ) {
        let Stage::Handshake(handshaking) = &self.stage else { return };
        let moved_before = handshaking.moved_before;
        if moved_before.is_none() {
            if let Some(endpoint) = &endpoint {
                endpoint.on_open();
            }
            self.endpoint = endpoint;
            let stats = cx.stats(&self.service);
            stats.established.add(1);
            stats.handshake.record(cx.now.duration_since(self.accepted));
            self.service.runtime.on_established();
            if let Some(remark) = handshaking.machine.remark() {
                let (service, request_id) = (self.service.id, self.request_id);
                cx.report(Report::Remark { service, request_id, remark });
            }
        }
        let credential = handshaking.attempt.credential().map(LoggedIn::with);
        let relay = Relay::new(cx.now, moved_before.unwrap_or_default(), watch, credential);
        let Stage::Handshake(handshaking) = std::mem::replace(&mut self.stage, Stage::Relay(relay)) else {
            return;
        };
        self.set_idle_deadline(cx);
        // That may have been said while it was logging in.
        if let Some((newer, then)) = cx.outdated.get(&self.service.id).copied() {
            self.on_outdated(self.service.id, newer, then, cx);
        }
        let (client_residue, target_residue) = handshaking.into_residues();
        self.relay_residues(client_residue, target_residue, cx);
    }

    /// Another login begins in the middle of the session.
    pub(crate) fn enter_handshake_again(&mut self, handshaking: Handshaking, cx: &mut Context<I>) {
        self.stage = Stage::Handshake(Box::new(handshaking));
        self.begin_clock(cx);
        for side in [Side::Client, Side::Target] {
            // Ciphertext that waits for its turn is the handshake's now.
            while let Some(piece) = self.tls(side).and_then(|tls| tls.backlog.pop()) {
                if let Err(error) = self.take_in(side, &piece, cx) {
                    return self.fail(&error, cx);
                }
            }
            if let Some(leg) = self.leg(side) {
                leg.stop_awaiting(&mut cx.io);
                leg.receive(&mut cx.io);
            }
        }
        self.begin_handshake(cx);
    }

    /// Ends the session: tells the client why, where it can be told, and closes.
    pub(crate) fn fail(&mut self, error: &Error, cx: &mut Context<I>) {
        if let Some(lonely) = self.lonely() {
            return self.fail_alone(lonely, error, cx);
        }
        cx.on_failed(&self.service, self.request_id, error);
        self.say_farewell(error, cx);
        if self.finishes_for_nobody(error, cx) {
            return;
        }
        // One that broke off by itself, or talks nonsense, was not left by us.
        let is_targets_own = matches!(
            error,
            Error::Server(kind) if !matches!(kind, ServerMisbehaved::HandshakeTimeout | ServerMisbehaved::OtherKind)
        );
        if !is_targets_own {
            self.count_abandoned(cx);
        }
        self.begin_closing(Some(Side::Client), cx);
    }

    /// For whom the target's half of the handshake goes on without the client's.
    pub(crate) fn lonely(&self) -> Option<Lonely> {
        let Stage::Handshake(handshaking) = &self.stage else { return None };
        handshaking.lonely
    }

    /// Tells the client why its session does not begin, where it can be told.
    pub(crate) fn say_farewell(&mut self, error: &Error, cx: &mut Context<I>) {
        if let Stage::Handshake(handshaking) = &mut self.stage {
            // Unless it was the client's own fault: else any client could make all others do without tickets.
            if let Some(tls) = self.target.as_ref().and_then(|leg| leg.tls.as_ref())
                && !matches!(error, Error::Client(_))
            {
                tls.distrust();
            }
            let farewell = handshaking.farewell(&self.service, self.request_id, error);
            self.send_client(farewell, cx);
        }
    }

    /// The target is let go of. If that is in the middle of its handshake, it may hold that against us.
    pub(crate) fn count_abandoned(&self, cx: &Context<I>) {
        if let Stage::Handshake(handshaking) = &self.stage
            && handshaking.machine.leaves_target_waiting()
        {
            cx.stats(&self.service).abandoned.add(1);
            self.service.runtime.on_abandoned();
        }
    }

    /// Ends the session. `lingering` is the side that is sent what is on its way and waited for, for a while.
    pub(crate) fn begin_closing(&mut self, lingering: Option<Side>, cx: &mut Context<I>) {
        self.close(Closing::new(lingering), cx);
    }

    /// Ends the session in this way.
    pub(crate) fn close(&mut self, closing: Closing, cx: &mut Context<I>) {
        let (lingering, cut_off) = (closing.lingering(), closing.is_cut_off());
        self.on_abandoned(cx);
        self.unload(lingering, cx);
        let was = std::mem::replace(&mut self.stage, Stage::Closing(closing));
        let moved = match was {
            Stage::Relay(mut relay) => {
                Some([Side::Client, Side::Target].map(|side| relay.direction(side).moved))
            }
            Stage::Handshake(handshaking) => handshaking.moved_before,
            Stage::Closing(_) => None,
        };
        if let Some([to_target, to_client]) = moved
            && cx.shared.report_sessions
        {
            cx.report(Report::Ended {
                service: self.service.id,
                request_id: self.request_id,
                lasted: cx.now.duration_since(self.accepted),
                to_target,
                to_client,
                cut_off,
            });
        }
        if lingering != Some(Side::Target) {
            self.detach_target(cx);
        }
        self.linger(cx);
    }

    /// Closes what is left: the session is over as soon as the kernel holds nothing of it.
    pub(crate) fn bury_all(&mut self, cx: &mut Context<I>) {
        self.detach_target(cx);
        self.client.abandon(&mut cx.io);
        self.set_deadline(None, cx);
        self.stage = Stage::Closing(Closing::over());
    }

    /// Whether nothing is left: the slot may be used again.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&self.stage, Stage::Closing(closing) if closing.is_over())
            && self.dying.is_empty()
            && self.client.is_joined()
    }

    /// The slot is given up.
    pub(crate) fn on_gone(&mut self, cx: &mut Context<I>) {
        self.set_deadline(None, cx);
        if self.admitted {
            self.service.runtime.leave();
            cx.shared.leave();
        }
        cx.stats(&self.service).closed.add(1);
        cx.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The deadline has passed.
    pub(crate) fn on_deadline(&mut self, cx: &mut Context<I>) {
        self.deadline = None;
        match &self.stage {
            Stage::Handshake(_) => self.on_handshake_deadline(cx),
            Stage::Relay(_) => self.on_idle_deadline(cx),
            Stage::Closing(_) => self.on_closing_deadline(cx),
        }
    }

    /// The broker waits for its sessions to end: one that has lost its target has nothing to wait for.
    pub(crate) fn on_drain(&mut self, cx: &mut Context<I>) {
        if matches!(&self.stage, Stage::Relay(relay) if relay.is_half_open()) {
            self.on_half_open(cx);
        } else if self.has_lost_client() {
            self.fail(&ClientMisbehaved::Closed.into(), cx);
        }
    }

    /// The broker ends all sessions.
    pub(crate) fn on_shutdown(&mut self, cx: &mut Context<I>) {
        match &self.stage {
            Stage::Handshake(_) => self.fail(&protocol::BrokerFailed::Shutdown.into(), cx),
            Stage::Relay(_) => {
                self.begin_closing(Some(Side::Client), cx);
            }
            Stage::Closing(_) => {}
        }
    }
}
