//! The two gears in which a direction of a session moves bytes.
//!
//! Owns the shift from one to the other and the moving of bulk data. Does not look at bytes, and knows nothing of ends and
//! half-closes but that they happen: what they mean is `relay.rs`'s.
//!
//! ```text
//!        fills buffer after buffer, goes on and on,  the receive is over,
//!        or its sink takes no more                   everything is sent
//!   Message ───────────────────────────► Shifting ──────────────────────► Bulk
//!      ▲                                    │                              │
//!      └────────────────────────────────────┴──────────────────────────────┘
//!                   no conduit is to be had, or it went quiet
//! ```
//!
//! In the *message gear* data is received into the worker's buffers and sent from there. In the *bulk gear* it goes from
//! socket to socket through a conduit (a pipe, or a large buffer where splice loses), which is lent only while there is
//! something in it; where TLS is to be passed or heads are to be seen, through the worker's scratch memory
//! (`ciphertext.rs`). Nothing is reordered by a shift: up, it waits for the receive's own last completion and for
//! everything that was received to be sent; down, it happens only with an empty conduit.

use std::time::Duration;

use protocol::Side;
use rustix::io::Errno;

use crate::context::Context;
use crate::io::{Chunk, Io, Socket, Way};
use crate::leg::Leg;
use crate::session::{Session, Stage};

/// Buffers that a direction must fill one behind the other, without emptying its socket once, to be worth a shift: 128 KiB.
const FULL_BUFFERS: u8 = 8;

/// Bytes without a word from the other side that are worth a shift, though each wake-up brings few: a COPY, for one.
const UNANSWERED_MIN: u64 = 256 * 1024;

/// What is taken from a source at once: with more, its peer waits while we are at it.
const FILL_MAX: usize = 1024 * 1024;

/// What is taken at once while conduits are scarce: a sink that stops reading then leaves no more than this to be kept.
const FILL_SCARCE_MAX: usize = 64 * 1024;

/// What a direction may move before all others have their turn.
const PUMP_MAX: usize = 1024 * 1024;

/// A wake-up that brings less than this is not worth a conduit: the first where both sides talk, the second in a stream.
const QUIET_BYTES: usize = 32 * 1024;
const QUIET_STREAM_BYTES: usize = 4 * 1024;

/// Wake-ups of that kind in a row after which a direction is quiet.
const QUIET_MAX: u8 = 4;

/// A stream that comes in smaller pieces than this is left to gather for a moment: each wake-up costs more than moving what
/// it brings. What is at the end of a stream arrives that much later.
const GATHER_BYTES: usize = 64 * 1024;
const GATHER_TIME: Duration = Duration::from_micros(100);

/// Wake-ups that are taken as they come after a stream was left to gather in vain.
const GATHER_PAUSE: u8 = 4;

/// Times in a row that a source says to be readable and has nothing: a byte of urgent data stops splice for good, while
/// poll goes on about it (tcp(7)).
const VAIN_MAX: u8 = 2;

/// How a direction moves bytes.
pub(crate) enum Gear<C> {
    /// Received into the worker's buffers and sent. `full` counts the buffers that were filled one behind the other.
    Message {
        full: u8,
    },
    /// About to be `Bulk`.
    Shifting,
    Bulk(Bulk<C>),
}

/// What a direction in the bulk gear has under way.
pub(crate) struct Bulk<C> {
    /// Lent as long as `held > 0`, and while more may come at once.
    conduit: Option<C>,
    held: usize,
    /// Bytes that this wake-up has brought so far.
    brought: usize,
    quiet: u8,
    vain: u8,
    /// It has its turn again after all others, or when it has gathered, and not before.
    queued: bool,
    gathering: Gathering,
}

/// Whether a stream of small pieces is left to gather.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gathering {
    Worth,
    UnderWay,
    /// Nothing came meanwhile: not for so many wake-ups.
    InVain(u8),
}

/// Why a direction moves nothing more at the moment.
#[derive(Clone, Copy)]
pub(crate) enum Obstacle {
    /// The source has nothing.
    Dry,
    /// The sink takes no more.
    Stalled,
    /// This gear cannot go on: there is no conduit, or the end has come, or a byte of urgent data with the end somewhere
    /// behind it, which a receive can tell apart.
    Unfit,
    /// The source has failed.
    Failed(Errno),
    /// Nothing reaches the sink any more.
    Broken,
    /// It has been seen to.
    Over,
}

impl<C> Gear<C> {
    /// The gear of a direction that has moved nothing.
    pub(crate) fn new() -> Self {
        Self::Message { full: 0 }
    }
}

/// The legs of a direction: where its bytes come from and where they go.
fn ends<'l, I: Io>(
    from: Side,
    client: &'l mut Leg<I>,
    target: &'l mut Option<Leg<I>>,
) -> Option<(&'l mut Leg<I>, &'l mut Leg<I>)> {
    let target = target.as_mut()?;
    Some(if from == Side::Client { (client, target) } else { (target, client) })
}

impl<I: Io> Session<I> {
    /// A buffer of `from` came in, and it was full or not.
    pub(crate) fn on_buffer(&mut self, from: Side, is_full: bool, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let direction = relay.direction(from);
        let is_stream = direction.unanswered >= UNANSWERED_MIN;
        let Gear::Message { full } = &mut direction.gear else { return };
        *full = if is_full { *full + 1 } else { 0 };
        if is_stream || *full >= FULL_BUFFERS {
            self.shift_up(from, cx);
        }
    }

    /// What `from` sends is more than the message gear is for, or more than the other side takes: receives no more, and goes
    /// on in the bulk gear where there is one.
    pub(crate) fn shift_up(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let Some((source, _)) = ends(from, &mut self.client, &mut self.target) else { return };
        let gear = &mut relay.direction(from).gear;
        if matches!(gear, Gear::Bulk(_)) {
            return;
        }
        source.pause(&mut cx.io);
        *gear = if source.has_ended() { Gear::new() } else { Gear::Shifting };
        // Even if nothing is on its way any more, the end of a turn is when to look.
        cx.settling.push((self.slot, from.other()));
    }

    /// The end of a turn, or of a receive: goes on in the bulk gear if nothing is on its way any more.
    pub(crate) fn shift(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let Some((source, sink)) = ends(from, &mut self.client, &mut self.target) else { return };
        let direction = relay.direction(from);
        if !matches!(direction.gear, Gear::Shifting) || !source.is_receive_over() || sink.is_congested() {
            return;
        }
        let is_behind = source.tls.as_ref().is_some_and(|tls| !tls.backlog.is_empty());
        let is_held = sink.tls.as_ref().is_some_and(|tls| tls.is_holding());
        if is_behind || is_held || !sink.is_clear() {
            return cx.settling.push((self.slot, from.other()));
        }
        let needs_conduit = source.tls.is_none() && sink.tls.is_none();
        let conduit = if needs_conduit && !source.has_ended() { cx.io.lend(way(source, sink)) } else { None };
        direction.gear = if source.has_ended() || (needs_conduit && conduit.is_none()) {
            // Not with each buffer anew.
            direction.unanswered = 0;
            Gear::new()
        } else {
            Gear::Bulk(Bulk {
                conduit,
                held: 0,
                brought: 0,
                quiet: 0,
                vain: 0,
                queued: false,
                gathering: Gathering::Worth,
            })
        };
        self.resume(from, cx);
    }

    /// Moves what `from` has, until it has nothing, the other side takes no more, or it is others' turn.
    pub(crate) fn pump(&mut self, from: Side, cx: &mut Context<I>) {
        let mut left = PUMP_MAX;
        while left > 0 {
            let Stage::Relay(relay) = &mut self.stage else { return };
            let Gear::Bulk(bulk) = &mut relay.direction(from).gear else { return };
            let Some((source, sink)) = ends(from, &mut self.client, &mut self.target) else { return };
            if bulk.queued || source.is_awaited() || sink.is_awaited_for_room() || sink.is_congested() {
                return;
            }
            if !sink.is_clear() {
                // Words of the TLS layer, which go out in the next turn.
                break;
            }
            let is_encrypted = source.tls.is_some() || sink.tls.is_some();
            let is_seen = bulk.held == 0 && !self.may_pass_unseen(from);
            let step = if is_encrypted || is_seen { self.pass(from, cx) } else { self.transfer(from, cx) };
            match step {
                Ok(moved) => left = left.saturating_sub(moved),
                Err(obstacle) => return self.on_obstacle(from, obstacle, cx),
            }
        }
        let Stage::Relay(relay) = &mut self.stage else { return };
        let Gear::Bulk(bulk) = &mut relay.direction(from).gear else { return };
        bulk.queued = true;
        cx.hot.push((self.slot, from));
    }

    /// Fills the conduit of `from`, or empties it: how much has arrived.
    fn transfer(&mut self, from: Side, cx: &mut Context<I>) -> Result<usize, Obstacle> {
        let unseen = self.unseen(from);
        let Stage::Relay(relay) = &mut self.stage else { return Err(Obstacle::Over) };
        let Gear::Bulk(bulk) = &mut relay.direction(from).gear else { return Err(Obstacle::Over) };
        let (source, sink) = ends(from, &mut self.client, &mut self.target).ok_or(Obstacle::Over)?;
        let conduit = bulk.conduit.take().or_else(|| cx.io.lend(way(source, sink))).ok_or(Obstacle::Unfit)?;
        let conduit = bulk.conduit.insert(conduit);
        if bulk.held == 0 {
            let fill_max = if cx.io.is_scarce() { FILL_SCARCE_MAX } else { FILL_MAX };
            let filled = filled(cx.io.fill(source.socket(), conduit, fill_max.min(unseen)))?;
            bulk.held = filled;
            bulk.brought += filled;
            self.on_passed_unseen(from, filled);
            return Ok(0);
        }
        match cx.io.drain(conduit, bulk.held, sink.socket()) {
            Ok(drained) if drained > 0 => {
                bulk.held -= drained;
                self.count(from, drained, cx);
                Ok(drained)
            }
            Ok(_) | Err(Errno::AGAIN) => Err(Obstacle::Stalled),
            Err(Errno::INTR) => Ok(0),
            Err(_) => Err(Obstacle::Broken),
        }
    }

    /// Takes a piece of what `from` has into the worker's scratch memory: its length.
    pub(crate) fn scoop(&mut self, from: Side, cx: &mut Context<I>) -> Result<usize, Obstacle> {
        let Stage::Relay(relay) = &mut self.stage else { return Err(Obstacle::Over) };
        let Gear::Bulk(bulk) = &mut relay.direction(from).gear else { return Err(Obstacle::Over) };
        let (source, _) = ends(from, &mut self.client, &mut self.target).ok_or(Obstacle::Over)?;
        let scooped = filled(source.socket().receive_at_once(&mut cx.scratch))?;
        bulk.brought += scooped;
        Ok(scooped)
    }

    fn on_obstacle(&mut self, from: Side, obstacle: Obstacle, cx: &mut Context<I>) {
        match obstacle {
            Obstacle::Dry => self.on_dry(from, cx),
            Obstacle::Stalled => self.on_stalled(from, cx),
            Obstacle::Unfit => self.shift_down(from, cx),
            Obstacle::Failed(error) => {
                // Nothing is held. The kernel tells an error once, so this is what it was.
                self.leave_bulk(from, cx);
                self.on_end(from, Some(error), cx);
            }
            Obstacle::Broken => self.on_broken(from.other(), cx),
            Obstacle::Over => {}
        }
    }

    /// All others have had their turn.
    pub(crate) fn on_turn(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        if let Gear::Bulk(bulk) = &mut relay.direction(from).gear {
            bulk.queued = false;
            self.pump(from, cx);
        }
    }

    /// `from` is readable, says its poll.
    pub(crate) fn on_readable(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        if let Gear::Bulk(bulk) = &mut relay.direction(from).gear {
            bulk.brought = 0;
            self.pump(from, cx);
        }
    }

    /// `from` has nothing at the moment, and nothing is held.
    fn on_dry(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let direction = relay.direction(from);
        let is_stream = direction.unanswered >= UNANSWERED_MIN;
        let quiet_bytes = if is_stream { QUIET_STREAM_BYTES } else { QUIET_BYTES };
        let Gear::Bulk(bulk) = &mut direction.gear else { return };
        bulk.vain = if bulk.brought == 0 { bulk.vain + 1 } else { 0 };
        bulk.quiet = if bulk.brought < quiet_bytes { bulk.quiet + 1 } else { 0 };
        if bulk.vain >= VAIN_MAX || bulk.quiet >= QUIET_MAX {
            return self.shift_down(from, cx);
        }
        if let Some(conduit) = bulk.conduit.take() {
            cx.io.take_back(conduit, 0);
        }
        let is_small = is_stream && (QUIET_STREAM_BYTES..GATHER_BYTES).contains(&bulk.brought);
        bulk.gathering = match bulk.gathering {
            Gathering::UnderWay if bulk.brought == 0 => Gathering::InVain(GATHER_PAUSE),
            Gathering::Worth | Gathering::UnderWay | Gathering::InVain(0) if is_small => Gathering::UnderWay,
            Gathering::Worth | Gathering::UnderWay | Gathering::InVain(0) => Gathering::Worth,
            Gathering::InVain(pause) => Gathering::InVain(pause - 1),
        };
        bulk.brought = 0;
        if bulk.gathering == Gathering::UnderWay {
            bulk.queued = true;
            return cx.gathering.push_back((cx.now + GATHER_TIME, self.slot, from));
        }
        if let Some(source) = self.leg(from) {
            source.await_data(&mut cx.io);
        }
    }

    /// The other side of `from` takes no more of what is held.
    fn on_stalled(&mut self, from: Side, cx: &mut Context<I>) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let Gear::Bulk(bulk) = &mut relay.direction(from).gear else { return };
        let Some((_, sink)) = ends(from, &mut self.client, &mut self.target) else { return };
        // The last conduits are for what moves: a peer that has stopped reading keeps none of them.
        if cx.io.is_scarce()
            && bulk.held <= FILL_SCARCE_MAX
            && let Some(conduit) = bulk.conduit.take()
        {
            let held = std::mem::take(&mut bulk.held);
            sink.keep(cx.io.take_back(conduit, held));
        }
        sink.await_room(&mut cx.io);
    }

    fn shift_down(&mut self, from: Side, cx: &mut Context<I>) {
        self.leave_bulk(from, cx);
        self.resume(from, cx);
    }

    /// Ends the bulk gear of `from`, if it is in that: what was held.
    pub(crate) fn leave_bulk(&mut self, from: Side, cx: &mut Context<I>) -> Vec<u8> {
        let Stage::Relay(relay) = &mut self.stage else { return Vec::new() };
        let direction = relay.direction(from);
        // What was a stream and went quiet must be one again before it is worth another shift.
        direction.unanswered = 0;
        let gear = std::mem::replace(&mut direction.gear, Gear::new());
        match gear {
            Gear::Bulk(Bulk { conduit: Some(conduit), held, .. }) => cx.io.take_back(conduit, held),
            Gear::Bulk(_) | Gear::Message { .. } | Gear::Shifting => Vec::new(),
        }
    }

    /// Ends the bulk gear of both directions; what is held for `heard` is still sent to it.
    pub(crate) fn unload(&mut self, heard: Option<Side>, cx: &mut Context<I>) {
        for from in [Side::Client, Side::Target] {
            let held = self.leave_bulk(from, cx);
            if !held.is_empty()
                && heard == Some(from.other())
                && let Some(sink) = self.leg(from.other())
            {
                sink.enqueue(Chunk::Bytes(held.into()));
                cx.dirty.push((self.slot, from.other()));
            }
        }
    }
}

/// What a source gave, or why it gave nothing.
fn filled(result: Result<usize, Errno>) -> Result<usize, Obstacle> {
    match result {
        Ok(0) => Err(Obstacle::Unfit),
        Err(Errno::AGAIN) => Err(Obstacle::Dry),
        // The next try will tell.
        Err(Errno::INTR) => Ok(0),
        Ok(filled) => Ok(filled),
        Err(error) => Err(Obstacle::Failed(error)),
    }
}

/// The cheaper way from `source` to `sink`.
fn way<I: Io>(source: &Leg<I>, sink: &Leg<I>) -> Way {
    Way::between(source.transport(), sink.transport())
}
