//! The last stage: what is on its way is sent, the peer is told, and input is drained for a while.
//!
//! Owns the bounds of that. A socket that is closed with unread input resets the connection, and the peer loses
//! what it was told last: so its input is read and thrown away, for a bounded time and amount.

use std::time::Duration;

use protocol::Side;

use crate::context::Context;
use crate::io::Io;
use crate::session::{Session, Stage};

/// How long a peer may take to close once it has been sent everything.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long a peer may take to read what its session has brought, while it reads: a person may be looking at it.
const READ_MAX: Duration = Duration::from_secs(60);

/// How much a peer may send meanwhile.
const DRAIN_MAX: usize = 1024 * 1024;

/// A session that closes.
pub(crate) struct Closing {
    /// The side that is waited for, or `None` once nobody is.
    lingering: Option<Side>,
    drained: usize,
}

impl Closing {
    pub(crate) fn new(lingering: Option<Side>) -> Self {
        Self { lingering, drained: 0 }
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
            self.close_tls(cx);
            self.client.abandon(&mut cx.io);
        }
        let Some(leg) = self.leg(side) else { return self.bury_all(cx) };
        leg.finish();
        leg.receive(&mut cx.io);
        let patience = if leg.is_congested() && !leg.is_broken() { READ_MAX } else { LINGER };
        cx.dirty.push((self.slot, side));
        self.set_deadline(Some(cx.now + patience), cx);
    }

    /// The lingering side has taken something that it would not take before.
    pub(crate) fn on_lingering_progress(&mut self, all_sent: bool, cx: &mut Context<I>) {
        if self.lingering().is_some() {
            let patience = if all_sent { LINGER } else { READ_MAX };
            self.set_deadline(Some(cx.now + patience), cx);
        }
    }

    /// Input that nobody wants any more.
    pub(crate) fn on_closing_data(&mut self, side: Side, len: usize, cx: &mut Context<I>) {
        let Stage::Closing(closing) = &mut self.stage else { return };
        if closing.lingering == Some(side) {
            closing.drained += len;
            if closing.drained > DRAIN_MAX {
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
