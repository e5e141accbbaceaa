//! What a completion of the driver means to a session.
//!
//! Owns the way from a token to the leg that it is about, and from there to the stage that knows what to do. Changes no
//! stage.

use protocol::{ClientMisbehaved, Side};
use rustix::io::Errno;

use crate::context::Context;
use crate::io::{Chunks, Io, Received, Token};
use crate::leg::Leg;
use crate::session::{Session, Stage};

impl<I: Io> Session<I> {
    /// Something was received on the leg of `side` and `epoch`.
    pub(crate) fn on_received(
        &mut self,
        token: Token,
        side: Side,
        received: Received,
        armed: bool,
        cx: &mut Context<I>,
    ) {
        if !armed {
            match self.leg_of(token, side) {
                Some(leg) => leg.on_receive_over(),
                None => return,
            }
        }
        if !self.is_current(token, side) {
            self.dying.retain(|leg| !leg.is_joined());
            return;
        }
        match received {
            Received::NoBuffer => return cx.starved.push((self.slot, side)),
            Received::End => return self.on_end(side, None, cx),
            Received::Failed(error) => return self.on_end(side, Some(error), cx),
            Received::Cancelled => {}
            Received::Data(lease) => match &mut self.stage {
                Stage::Handshake(_) => {
                    self.on_handshake_data(side, &lease, cx);
                    lease.wipe();
                }
                Stage::Relay(_) => self.on_relay_data(side, lease, cx),
                Stage::Closing(_) => self.on_closing_data(side, lease.len(), cx),
            },
        }
        // It was paused, or the kernel ended it by itself.
        if !armed {
            self.receive_again(side, cx);
        }
    }

    /// A receive is over, and its peer is not: begins anew unless there is a reason not to.
    pub(crate) fn receive_again(&mut self, side: Side, cx: &mut Context<I>) {
        match &self.stage {
            Stage::Handshake(_) => self.receive_more_handshake(side, cx),
            Stage::Relay(_) => self.resume(side, cx),
            Stage::Closing(_) => self.receive_rest(side, cx),
        }
    }

    /// `side` sends nothing more, or its socket has failed.
    pub(crate) fn on_end(&mut self, side: Side, error: Option<Errno>, cx: &mut Context<I>) {
        if matches!(self.stage, Stage::Relay(_)) && self.is_behind(side, cx) {
            if let Some(tls) = self.tls(side) {
                tls.backlog.on_end(error);
            }
            return;
        }
        if let Some(leg) = self.leg(side) {
            leg.on_end();
        }
        match &self.stage {
            Stage::Handshake(_) => self.on_handshake_end(side, cx),
            Stage::Relay(_) if self.is_cut_off(side) => self.on_cut_off(cx),
            Stage::Relay(_) => self.on_relay_end(side, error, cx),
            Stage::Closing(_) => self.on_closing_end(side, error.is_some(), cx),
        }
    }

    /// A send to the leg of `side` was not whole.
    pub(crate) fn on_short(
        &mut self,
        token: Token,
        side: Side,
        sent: usize,
        error: Option<Errno>,
        chunks: Chunks,
        cx: &mut Context<I>,
    ) {
        if !self.is_current(token, side) {
            return;
        }
        if error.is_some() {
            return self.on_broken(side, cx);
        }
        if let Some(leg) = self.leg(side) {
            leg.on_short(sent, chunks, &mut cx.io);
        }
        if sent > 0 {
            self.on_lingering_progress(false, cx);
        }
        self.shift_up(side.other(), cx);
    }

    /// Nothing can be sent to the leg of `side` any more.
    pub(crate) fn on_broken(&mut self, side: Side, cx: &mut Context<I>) {
        if let Some(leg) = self.leg(side) {
            leg.on_broken();
        }
        match &self.stage {
            Stage::Handshake(handshaking) if side == Side::Client => {
                if handshaking.ends_with_client() && !self.is_for_nobody() {
                    self.fail(&ClientMisbehaved::Closed.into(), cx);
                }
            }
            // The target may have said why before it closed: its words are still to be received.
            Stage::Handshake(_) => {}
            Stage::Relay(_) => self.on_relay_broken(side, cx),
            Stage::Closing(_) => self.on_closing_end(side, true, cx),
        }
    }

    /// The socket of `side` has room, or its connect has been decided.
    pub(crate) fn on_writable(&mut self, token: Token, side: Side, cx: &mut Context<I>) {
        match self.leg_of(token, side) {
            Some(leg) => leg.on_writable(),
            None => return,
        }
        if !self.is_current(token, side) {
            self.dying.retain(|leg| !leg.is_joined());
            return;
        }
        if matches!(self.stage, Stage::Handshake(_)) && side == Side::Target && self.is_dialing() {
            return self.on_connect_decided(cx);
        }
        if self.leg(side).is_some_and(|leg| leg.is_clear()) && matches!(self.stage, Stage::Relay(_)) {
            return self.resume(side.other(), cx);
        }
        cx.dirty.push((self.slot, side));
        cx.settling.push((self.slot, side));
    }

    /// The socket of `side` has data.
    pub(crate) fn on_data_awaited(&mut self, token: Token, side: Side, cx: &mut Context<I>) {
        match self.leg_of(token, side) {
            Some(leg) => leg.on_readable(),
            None => return,
        }
        if self.is_current(token, side) {
            match &self.stage {
                Stage::Relay(_) => self.on_readable(side, cx),
                Stage::Handshake(_) | Stage::Closing(_) => self.receive_again(side, cx),
            }
        } else {
            self.dying.retain(|leg| !leg.is_joined());
        }
    }

    /// Hands what is queued for `side` to the kernel.
    pub(crate) fn flush(&mut self, side: Side, cx: &mut Context<I>) {
        let slot = self.slot;
        if let Some(leg) = self.leg(side) {
            leg.seal();
            if leg.wants_finish() {
                cx.settling.push((slot, side));
            }
            leg.flush(&mut cx.io, cx.round);
        }
    }

    /// A turn is over in which `side` had something to settle.
    pub(crate) fn on_settled(&mut self, side: Side, cx: &mut Context<I>) {
        let Some(leg) = self.leg(side) else { return };
        let has_retried = leg.has_retried();
        let drained = leg.on_retried(&mut cx.io);
        leg.finish_if_sent(cx.round);
        match &self.stage {
            Stage::Relay(_) => {
                if drained {
                    self.resume(side.other(), cx);
                }
                self.shift(side.other(), cx);
                self.end_if_finished(cx);
            }
            Stage::Closing(_) => {
                if has_retried {
                    self.on_lingering_progress(drained, cx);
                }
                self.end_lingering(cx);
            }
            Stage::Handshake(_) => {}
        }
    }

    /// The leg that a completion is about, current or dying.
    fn leg_of(&mut self, token: Token, side: Side) -> Option<&mut Leg<I>> {
        match side {
            Side::Client => Some(&mut self.client),
            Side::Target => self
                .target
                .as_mut()
                .into_iter()
                .chain(&mut self.dying)
                .find(|leg| leg.side() == side && leg.epoch() == token.epoch),
        }
    }

    /// Whether a completion is about a leg that is still in use.
    fn is_current(&self, token: Token, side: Side) -> bool {
        match side {
            Side::Client => true,
            Side::Target => self.target.as_ref().is_some_and(|leg| leg.epoch() == token.epoch),
        }
    }
}
