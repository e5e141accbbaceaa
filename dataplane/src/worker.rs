//! A worker: one thread, one driver, and the sessions of the connections that it accepted.
//!
//! Owns the loop and the slots. Each round: deadlines, mail, what is to be sent, one turn of the driver, and what that
//! brought. Nothing in it waits for anything but the turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::Side;
use slab::Slab;

use crate::context::Context;
use crate::io::{Completion, Io, Kind, Token};
use crate::listener::Listeners;
use crate::mailbox::{Mail, SessionRef};
use crate::session::Session;
use crate::snapshot::{ServiceId, Snapshot};

/// An idle worker goes round at least this often: its heartbeat.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// A worker.
pub(crate) struct Worker<I: Io> {
    cx: Context<I>,
    /// Each in a place of its own: in one block they would have to be moved, and twice their memory be there, whenever it grew.
    sessions: Slab<Box<Session<I>>>,
    listeners: Listeners,
    /// Tenants that slots have had so far, wrapping.
    generation: u16,
    completions: Vec<Completion<I::Socket>>,
    /// When the last round began, in milliseconds since the data plane started.
    heartbeat: Arc<AtomicU64>,
    started: Instant,
    stopping: bool,
}

impl<I: Io> Worker<I> {
    /// A worker that knows nothing yet.
    pub(crate) fn new(cx: Context<I>, heartbeat: Arc<AtomicU64>, started: Instant) -> Self {
        Self {
            cx,
            sessions: Slab::new(),
            listeners: Listeners::default(),
            generation: 0,
            completions: Vec::new(),
            heartbeat,
            started,
            stopping: false,
        }
    }

    /// Goes round until told to stop.
    pub(crate) fn run(&mut self) {
        self.await_wake();
        while !self.stopping {
            self.round();
        }
    }

    /// Goes round once.
    pub(crate) fn round(&mut self) {
        self.cx.now = self.cx.io.now();
        let since_start = self.cx.now.duration_since(self.started).as_millis();
        self.heartbeat.store(u64::try_from(since_start).unwrap_or(u64::MAX), Ordering::Relaxed);
        while let Some(slot) = self.cx.timers.pop(self.cx.now) {
            self.with(slot, Session::on_deadline);
        }
        self.listeners.on_time(self.sessions.len(), &mut self.cx);
        self.drain_listeners();
        self.cx.report_unsent();
        while let Some(mail) = self.cx.mailbox.pop() {
            self.on_mail(mail);
        }
        if self.stopping {
            return;
        }
        self.flush();
        let until = self.wait_until();
        let mut completions = std::mem::take(&mut self.completions);
        self.cx.io.turn(until, &mut completions);
        self.cx.round += 1;
        self.cx.mailbox.on_awake();
        self.cx.now = self.cx.io.now();
        let shorts = completions
            .iter()
            .take_while(|completion| matches!(completion, Completion::SendShort { .. }))
            .count();
        let mut completed = completions.drain(..);
        for completion in completed.by_ref().take(shorts) {
            self.on_completion(completion);
        }
        self.settle();
        for completion in completed {
            self.on_completion(completion);
        }
        self.completions = completions;
        self.pump();
        self.catch_up();
    }

    /// Whether it was told to stop.
    #[cfg(test)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether it has no session.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Its driver.
    #[cfg(test)]
    pub(crate) fn io(&mut self) -> &mut I {
        &mut self.cx.io
    }

    /// How long the turn may wait, if it may.
    fn wait_until(&self) -> Option<Instant> {
        // A send that succeeds says nothing, so whoever waits for the end of this turn must not wait in it.
        let has_more = !self.cx.settling.is_empty()
            || !self.cx.starved.is_empty()
            || !self.cx.hot.is_empty()
            || !self.cx.behind.is_empty();
        if has_more || !self.cx.mailbox.prepare_to_sleep() {
            return None;
        }
        let gathered = self.cx.gathering.front().map(|&(at, ..)| at);
        let next = [self.cx.timers.next(), self.listeners.next_deadline(), gathered].into_iter().flatten();
        Some(next.fold(self.cx.now + ROUND_MAX, Instant::min))
    }

    fn await_wake(&mut self) {
        let token = Token { kind: Kind::Wake, epoch: 0, generation: 0, slot: 0 };
        let mailbox = Arc::clone(&self.cx.mailbox);
        self.cx.io.poll_wake(token, mailbox.wake_fd());
    }

    /// Hands everything that is queued to the driver.
    fn flush(&mut self) {
        // By index: a flush may end a session, and that may queue something for another leg.
        let mut next = 0;
        while let Some(&(slot, side)) = self.cx.dirty.get(next) {
            next += 1;
            self.with(slot, |session, cx| session.flush(side, cx));
        }
        self.cx.dirty.clear();
    }

    /// Looks after legs for which the end of the turn means something.
    fn settle(&mut self) {
        // What these ask for themselves is for the end of a later turn.
        for (slot, side) in std::mem::take(&mut self.cx.settling) {
            self.with(slot, |session, cx| session.on_settled(side, cx));
        }
        for (slot, side) in std::mem::take(&mut self.cx.starved) {
            self.with(slot, |session, cx| session.receive_again(side, cx));
        }
    }

    /// Goes on with directions whose last turn was not long enough, and with those that have gathered.
    fn pump(&mut self) {
        while let Some((_, slot, side)) = self.cx.gathering.pop_front_if(|&mut (at, ..)| at <= self.cx.now) {
            self.with(slot, |session, cx| session.on_turn(side, cx));
        }
        // What these ask for themselves is for a later round, in which another one comes first: who comes late in a long
        // round gets less.
        let mut hot = std::mem::take(&mut self.cx.hot);
        let first = usize::from(hot.len() > 1);
        hot.rotate_left(first);
        for (slot, side) in hot {
            self.with(slot, |session, cx| session.on_turn(side, cx));
        }
    }

    /// Goes on with ciphertext that had to wait until everybody had a turn.
    fn catch_up(&mut self) {
        // What is still not done asks for the next round.
        for (slot, side) in std::mem::take(&mut self.cx.behind) {
            self.with(slot, |session, cx| session.catch_up(side, cx));
        }
    }

    /// Runs `act` on the session in `slot`, and gives the slot up if that was its end.
    fn with(&mut self, slot: u32, act: impl FnOnce(&mut Session<I>, &mut Context<I>)) {
        let key = slot as usize;
        let Some(session) = self.sessions.get_mut(key) else { return };
        act(session, &mut self.cx);
        if session.is_over() {
            let mut session = self.sessions.remove(key);
            session.on_gone(&mut self.cx);
            self.listeners.on_slot_free(self.sessions.len(), &mut self.cx);
        }
    }

    fn with_token(&mut self, token: Token, act: impl FnOnce(&mut Session<I>, &mut Context<I>)) {
        if self.sessions.get(token.slot as usize).is_some_and(|session| session.is_named_by(token)) {
            self.with(token.slot, act);
        }
    }

    fn with_reference(&mut self, reference: SessionRef, act: impl FnOnce(&mut Session<I>, &mut Context<I>)) {
        let slot = reference.slot as usize;
        if self.sessions.get(slot).is_some_and(|session| session.request_id == reference.request_id) {
            self.with(reference.slot, act);
        }
    }

    fn on_completion(&mut self, completion: Completion<I::Socket>) {
        match completion {
            Completion::Ready(token) if token.kind == Kind::Wake => {
                self.cx.mailbox.clear_wake();
                self.await_wake();
            }
            Completion::Ready(token) => {
                let side = side_of(token.kind);
                self.with_token(token, |session, cx| match token.kind {
                    Kind::ClientReadable | Kind::TargetReadable => session.on_data_awaited(token, side, cx),
                    _ => session.on_writable(token, side, cx),
                });
            }
            Completion::Received { token, received, armed } => {
                let side = side_of(token.kind);
                self.with_token(token, |session, cx| session.on_received(token, side, received, armed, cx));
            }
            Completion::SendShort { token, sent, error, chunks } => {
                let side = side_of(token.kind);
                self.with_token(token, |session, cx| session.on_short(token, side, sent, error, chunks, cx));
            }
            Completion::Accepted(token, accepted) => {
                if let Some((service, socket)) =
                    self.listeners.on_accepted(token, accepted, self.sessions.len(), &mut self.cx)
                {
                    self.open(service, socket);
                }
                self.drain_listeners();
            }
        }
    }

    /// Opens a session for a new connection.
    fn open(&mut self, service: ServiceId, socket: I::Socket) {
        let Some(service) = self.cx.service(service).map(|service| Arc::clone(&service.options)) else {
            return;
        };
        self.generation = self.generation.wrapping_add(1);
        let entry = self.sessions.vacant_entry();
        let Ok(slot) = u32::try_from(entry.key()) else { return };
        entry.insert(Box::new(Session::open(slot, self.generation, socket, service, &mut self.cx)));
        // The very first step may have been the last.
        self.with(slot, |_, _| {});
    }

    /// Serves what is still queued on listeners that are to be let go of.
    fn drain_listeners(&mut self) {
        while let Some((service, socket)) = self.listeners.take_queued(&mut self.cx) {
            self.open(service, socket);
        }
    }

    fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Snapshot(snapshot) => self.on_snapshot(snapshot),
            Mail::Listen(listener) => self.listeners.open(listener, self.sessions.len(), &mut self.cx),
            Mail::Retire(id) => {
                self.listeners.retire(id, &mut self.cx);
                self.drain_listeners();
            }
            Mail::Verdict { session, verdict } => {
                self.with_reference(session, |session, cx| session.on_verdict(verdict, cx));
            }
            Mail::Computed { job, product } => {
                for session in self.cx.products.on_computed(job, &product) {
                    let product = Arc::clone(&product);
                    self.with_reference(session, |session, cx| session.on_computed(job, product, cx));
                }
            }
            Mail::Outdated { service, newer, then } => {
                self.cx.outdated.insert(service, (newer, then));
                self.for_each(|session, cx| session.on_outdated(service, newer, then, cx));
            }
            Mail::Drain => {
                self.cx.draining = true;
                self.for_each(Session::on_drain);
            }
            Mail::CloseSessions => self.for_each(Session::on_shutdown),
            Mail::Stop => self.stopping = true,
        }
    }

    fn for_each(&mut self, act: impl Fn(&mut Session<I>, &mut Context<I>)) {
        let slots: Vec<usize> = self.sessions.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Ok(slot) = u32::try_from(slot) {
                self.with(slot, &act);
            }
        }
    }

    fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let services = &snapshot.services;
        let generation = |service| services.get(&service)?.credential.generation();
        self.cx.products.retain(|service, key| generation(service).is_some_and(|current| current == key));
        self.cx.tls.retain(|service, made_of| generation(service).is_some_and(|current| current == made_of));
        self.cx.proofs.retain(|service| services.contains_key(&service));
        self.cx.cancels.retain(|service| services.contains_key(&service));
        self.cx.pace.retain(|service| services.contains_key(&service));
        self.cx.outdated.retain(|service, _| services.contains_key(service));
        self.cx.snapshot = snapshot;
        for slot in std::mem::take(&mut self.cx.parked) {
            self.with(slot, Session::on_snapshot);
        }
    }
}

/// Whose leg a request of this kind is about. Wake-ups and accepts are nobody's.
fn side_of(kind: Kind) -> Side {
    match kind {
        Kind::TargetReceive | Kind::TargetSend | Kind::TargetWritable | Kind::TargetReadable => Side::Target,
        Kind::Wake
        | Kind::Accept
        | Kind::ClientReceive
        | Kind::ClientSend
        | Kind::ClientWritable
        | Kind::ClientReadable => Side::Client,
    }
}
