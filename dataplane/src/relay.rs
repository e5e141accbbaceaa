//! The stage in which bytes are moved.
//!
//! Owns the two directions and their ends: half-close is kept, residues go first, and a side that does not read
//! stops the other from being received. Does not look at bytes; where somebody must, that is `watching.rs`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Side, Watch};
use rustix::io::Errno;

use crate::closing::LINGER;
use crate::context::Context;
use crate::gear::Gear;
use crate::io::{Chunk, Io, Lease};
use crate::leg::Leg;
use crate::outdated::{LoggedIn, Outdated};
use crate::session::{Session, Stage};
use crate::watching::Watching;

/// How long a session whose target is gone may go without a byte before its client closes too. A client in a pool
/// does not look at its connection until it needs it; as long as the kernel keeps an orphaned one (`tcp_fin_timeout`).
const HALF_OPEN_MAX: Duration = Duration::from_secs(60);

/// A session that relays.
pub(crate) struct Relay<I: Io> {
    last_activity: Instant,
    /// The target sends nothing more, or one of the sides takes nothing more: what is left will not take long.
    half_open: bool,
    from_client: Direction<I>,
    from_target: Direction<I>,
    /// Where the protocol wants to know what the client asks for.
    pub(crate) watching: Option<Watching>,
    /// What it was logged in with.
    pub(crate) credential: Option<LoggedIn>,
    /// That has been replaced, and the session is to end.
    pub(crate) outdated: Option<Outdated>,
}

/// From one side to the other.
pub(crate) struct Direction<I: Io> {
    pub(crate) gear: Gear<I::Conduit>,
    /// Bytes that were moved.
    pub(crate) moved: u64,
    /// Of these, those since the other direction moved anything, or since this one left the bulk gear.
    pub(crate) unanswered: u64,
}

impl<I: Io> Relay<I> {
    /// A session of which so many bytes of the client and of the target have been moved before.
    pub(crate) fn new(
        now: Instant,
        moved: [u64; 2],
        watch: Option<Box<dyn Watch>>,
        credential: Option<LoggedIn>,
    ) -> Self {
        let [from_client, from_target] =
            moved.map(|moved| Direction { gear: Gear::new(), moved, unanswered: 0 });
        let watching = watch.map(Watching::new);
        Self {
            last_activity: now,
            half_open: false,
            from_client,
            from_target,
            watching,
            credential,
            outdated: None,
        }
    }

    /// Whether nothing is lost with the session but words that nobody hears.
    pub(crate) fn is_half_open(&self) -> bool {
        self.half_open
    }

    /// What comes from `side`.
    pub(crate) fn direction(&mut self, side: Side) -> &mut Direction<I> {
        match side {
            Side::Client => &mut self.from_client,
            Side::Target => &mut self.from_target,
        }
    }
}

impl<I: Io> Session<I> {
    /// Delivers what each side has sent beyond its handshake, then lets both be received from.
    pub(crate) fn relay_residues(&mut self, from_client: Vec<u8>, from_target: Vec<u8>, cx: &mut Context<I>) {
        if !from_target.is_empty() {
            self.deliver(Side::Target, Chunk::Bytes(Bytes::from(from_target)), cx);
        }
        if !from_client.is_empty() {
            self.deliver(Side::Client, Chunk::Bytes(Bytes::from(from_client)), cx);
        }
        if !matches!(self.stage, Stage::Relay(_)) {
            // The client has asked for another login at once.
            return;
        }
        for side in [Side::Client, Side::Target] {
            if self.leg(side).is_some_and(|leg| leg.has_ended()) {
                self.on_relay_end(side, None, cx);
            } else {
                self.resume(side, cx);
            }
        }
    }

    /// Data of `from`.
    pub(crate) fn on_relay_data(&mut self, from: Side, lease: Lease, cx: &mut Context<I>) {
        if self.tls(from).is_some() {
            return self.on_ciphertext(from, lease, cx);
        }
        let is_full = lease.is_full();
        self.deliver(from, Chunk::Lease(lease), cx);
        self.on_buffer(from, is_full, cx);
    }

    /// Moves a chunk of plaintext of `from` to the other side, encrypted where that side wants it.
    pub(crate) fn deliver(&mut self, from: Side, chunk: Chunk, cx: &mut Context<I>) {
        match from {
            Side::Client => self.deliver_watched(chunk, cx),
            Side::Target => self.hand_over(from, chunk, cx),
        }
    }

    /// Puts a chunk of plaintext of `from` on its way to the other side.
    pub(crate) fn hand_over(&mut self, from: Side, chunk: Chunk, cx: &mut Context<I>) {
        self.count(from, chunk.bytes().len(), cx);
        let Some(to) = self.leg(from.other()) else { return };
        match &mut to.tls {
            Some(tls) => tls.hold(chunk),
            None => to.enqueue(chunk),
        }
        let is_congested = to.is_congested();
        cx.dirty.push((self.slot, from.other()));
        if is_congested {
            self.shift_up(from, cx);
        }
    }

    /// Counts bytes that were moved.
    pub(crate) fn count(&mut self, from: Side, len: usize, cx: &Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        relay.last_activity = cx.now;
        let len = len as u64;
        relay.direction(from.other()).unanswered = 0;
        let direction = relay.direction(from);
        direction.moved += len;
        direction.unanswered += len;
        let stats = self.service.runtime.worker(cx.worker);
        match from {
            Side::Client => stats.bytes_to_target.add(len),
            Side::Target => {
                stats.bytes_to_client.add(len);
                if let Some(watching) = &mut relay.watching {
                    watching.on_answer();
                }
            }
        }
    }

    /// Goes on with what comes from `side`, if the other side takes what it is given.
    pub(crate) fn resume(&mut self, side: Side, cx: &mut Context<I>) {
        let is_congested = self.leg(side.other()).is_none_or(|leg| leg.is_congested());
        if is_congested || self.is_behind(side, cx) {
            return;
        }
        let Stage::Relay(relay) = &mut self.stage else { return };
        match &relay.direction(side).gear {
            Gear::Message { .. } => {
                if let Some(leg) = self.leg(side) {
                    leg.receive(&mut cx.io);
                }
            }
            Gear::Shifting => self.shift(side, cx),
            Gear::Bulk(_) => self.pump(side, cx),
        }
    }

    /// `side` will send nothing more, or is gone altogether.
    pub(crate) fn on_relay_end(&mut self, side: Side, error: Option<Errno>, cx: &mut Context<I>) {
        let is_broken = self.leg(side).is_none_or(|leg| leg.is_broken());
        if error.is_some() || is_broken {
            // Nothing can be sent to `side` any more: what it has sent is delivered, and that is all.
            return self.begin_closing(Some(side.other()), cx);
        }
        if side == Side::Client {
            self.pass_rest(cx);
        }
        self.close_tls(side.other(), cx);
        if let Some(other) = self.leg(side.other()) {
            other.finish();
        }
        cx.dirty.push((self.slot, side.other()));
        // A client that sends nothing more may be waiting for a long answer; a target that does is done with us.
        if side == Side::Target {
            self.on_half_open(cx);
        }
    }

    /// Nothing that is sent reaches `side` any more. What it has sent before is still to be delivered.
    pub(crate) fn on_relay_broken(&mut self, side: Side, cx: &mut Context<I>) {
        self.leave_bulk(side.other(), cx);
        if let Some(source) = self.leg(side.other()) {
            source.pause(&mut cx.io);
        }
        match self.leg(side) {
            Some(leg) if !leg.has_ended() => self.on_half_open(cx),
            _ => self.begin_closing(Some(side.other()), cx),
        }
    }

    /// What is left will not take long; when the broker drains, it is not waited for longer than a farewell is.
    pub(crate) fn on_half_open(&mut self, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        relay.half_open = true;
        relay.last_activity = cx.now;
        if cx.draining && self.target.as_ref().is_none_or(Leg::has_ended) {
            return self.begin_closing(Some(self.heard_side()), cx);
        }
        self.set_idle_deadline(cx);
    }

    /// The side that may still be told what is on its way.
    fn heard_side(&self) -> Side {
        if self.client.is_broken() { Side::Target } else { Side::Client }
    }

    /// Sets the moment at which the session will have been idle for too long.
    pub(crate) fn set_idle_deadline(&mut self, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &self.stage else { return };
        let half_open_max = if cx.draining { LINGER } else { HALF_OPEN_MAX };
        let half_open = relay.half_open.then_some(half_open_max);
        let outdated_idle = relay.outdated.and_then(|outdated| outdated.idle);
        let idle_max = [self.service.timeouts.idle, half_open, outdated_idle].into_iter().flatten().min();
        let idle_until = idle_max.map(|idle| relay.last_activity + idle);
        let deadline = idle_until.into_iter().chain(relay.outdated.map(|outdated| outdated.until)).min();
        self.set_deadline(deadline, cx);
    }

    /// Ends the session once both directions are done.
    pub(crate) fn end_if_finished(&mut self, cx: &mut Context<I>) {
        let client_done = self.client.has_ended() && self.client.is_finished();
        let target_done = self.target.as_ref().is_none_or(|leg| leg.has_ended() && leg.is_finished());
        if client_done && target_done {
            self.begin_closing(None, cx);
        }
    }

    /// The session may have been idle for too long.
    pub(crate) fn on_idle_deadline(&mut self, cx: &mut Context<I>) {
        self.set_idle_deadline(cx);
        if self.deadline().is_some_and(|deadline| deadline <= cx.now) {
            if matches!(&self.stage, Stage::Relay(relay) if relay.outdated.is_some()) {
                cx.stats(&self.service).recycled.add(1);
            }
            self.begin_closing(Some(self.heard_side()), cx);
        }
    }
}
