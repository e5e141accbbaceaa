//! The last stage: what is on its way is sent, the peer is told, and input is drained for a while.
//!
//! Owns the bounds of that. A socket that is closed with unread input resets the connection, and the peer loses
//! what it was told last: so its input is read and thrown away, for a bounded time and amount.

use std::time::{Duration, Instant};

use protocol::{Side, Transport};

use crate::context::Context;
use crate::io::{Io, Socket};
use crate::session::{Session, Stage};

/// How long a peer may take to close once it has been sent everything.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long a peer may take to read what its session has brought, while it reads: a person may be looking at it.
const READ_MAX: Duration = Duration::from_secs(60);

/// How much a peer may send meanwhile.
const DRAIN_MAX: usize = 1024 * 1024;

/// How long until a client that is to be reset is looked at again, if it has taken something, and if it has not.
const TAKING_PAUSE: Duration = Duration::from_millis(5);
const STALLED_PAUSE: Duration = Duration::from_millis(250);

/// A session that closes.
pub(crate) struct Closing {
    /// The side that is waited for, or `None` once nobody is.
    lingering: Option<Side>,
    drained: usize,
    /// What the client was sent is not the whole: its connection ends in a reset, not in an end that it could take for
    /// the target's. A reset overtakes what is on its way, so its system must have everything first.
    cut_off: bool,
    reset: Option<Reset>,
}

/// A client that is to be reset.
#[derive(Clone, Copy)]
struct Reset {
    /// When it has had time enough.
    at: Instant,
    /// How much its system had not taken yet.
    left: usize,
}

impl Closing {
    pub(crate) fn new(lingering: Option<Side>) -> Self {
        Self { lingering, drained: 0, cut_off: false, reset: None }
    }

    /// The client is waited for, and what it is sent has been cut off.
    pub(crate) fn cut_off() -> Self {
        Self { cut_off: true, ..Self::new(Some(Side::Client)) }
    }

    pub(crate) fn lingering(&self) -> Option<Side> {
        self.lingering
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Nobody is waited for.
    pub(crate) fn over() -> Self {
        Self::new(None)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lingering.is_none()
    }
}

impl<I: Io> Session<I> {
    fn lingering(&self) -> Option<Side> {
        match &self.stage {
            Stage::Closing(closing) => closing.lingering,
            Stage::Handshake(_) | Stage::Relay(_) => None,
        }
    }

    /// Begins to wait for the lingering side; lets go of the other.
    pub(crate) fn linger(&mut self, cx: &mut Context<I>) {
        let Some(side) = self.lingering() else { return self.bury_all(cx) };
        if side == Side::Target {
            self.client.say_last_of_tls();
            self.client.abandon(&mut cx.io);
        }
        let is_cut_off = matches!(&self.stage, Stage::Closing(closing) if closing.cut_off);
        if !is_cut_off {
            self.close_tls(side, cx);
        }
        // A Unix socket has no reset.
        let resets = is_cut_off && self.client.transport() == Transport::Tcp;
        let Some(leg) = self.leg(side) else { return self.bury_all(cx) };
        if !resets {
            leg.finish();
        }
        leg.receive(&mut cx.io);
        let patience = if leg.is_congested() && !leg.is_broken() { READ_MAX } else { LINGER };
        cx.dirty.push((self.slot, side));
        if resets && let Stage::Closing(closing) = &mut self.stage {
            closing.reset = Some(Reset { at: cx.now + READ_MAX, left: usize::MAX });
            return self.set_deadline(Some(cx.now + TAKING_PAUSE), cx);
        }
        self.set_deadline(Some(cx.now + patience), cx);
    }

    /// The lingering side has had its time, or is to be looked at.
    pub(crate) fn on_closing_deadline(&mut self, cx: &mut Context<I>) {
        let left = self.client.left(cx.round);
        let Stage::Closing(Closing { reset: Some(reset), .. }) = &mut self.stage else {
            return self.bury_all(cx);
        };
        if left == 0 || cx.now >= reset.at {
            self.client.socket().reset_on_close();
            return self.bury_all(cx);
        }
        let has_taken = left < reset.left;
        if has_taken {
            *reset = Reset { at: cx.now + READ_MAX, left };
        }
        let pause = if has_taken { TAKING_PAUSE } else { STALLED_PAUSE };
        self.set_deadline(Some(cx.now + pause), cx);
    }

    /// The lingering side has taken something that it would not take before.
    pub(crate) fn on_lingering_progress(&mut self, all_sent: bool, cx: &mut Context<I>) {
        match &self.stage {
            Stage::Closing(closing) if closing.lingering.is_some() && closing.reset.is_none() => {
                let patience = if all_sent { LINGER } else { READ_MAX };
                self.set_deadline(Some(cx.now + patience), cx);
            }
            _ => {}
        }
    }

    /// Input that nobody wants any more.
    pub(crate) fn on_closing_data(&mut self, side: Side, len: usize, cx: &mut Context<I>) {
        let Stage::Closing(closing) = &mut self.stage else { return };
        if closing.lingering == Some(side) {
            closing.drained += len;
            if closing.drained > DRAIN_MAX {
                if closing.reset.is_some() {
                    self.client.socket().reset_on_close();
                }
                self.bury_all(cx);
            }
        }
    }

    /// Receives from `side` again, if it is waited for.
    pub(crate) fn receive_rest(&mut self, side: Side, cx: &mut Context<I>) {
        if self.lingering() == Some(side)
            && let Some(leg) = self.leg(side)
        {
            leg.receive(&mut cx.io);
        }
    }

    /// `side` has closed, or, if `gone`, cannot be told anything any more.
    pub(crate) fn on_closing_end(&mut self, side: Side, gone: bool, cx: &mut Context<I>) {
        match self.lingering() {
            Some(lingering) if lingering != side => {}
            Some(_) if !gone => self.end_lingering(cx),
            _ => self.bury_all(cx),
        }
    }

    /// Ends the session if the lingering side has closed and has been sent everything.
    pub(crate) fn end_lingering(&mut self, cx: &mut Context<I>) {
        let Some(side) = self.lingering() else { return };
        if self.leg(side).is_none_or(|leg| leg.has_ended() && leg.is_finished()) {
            self.bury_all(cx);
        }
    }
}
