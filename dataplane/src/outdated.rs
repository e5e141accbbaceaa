//! Open sessions whose credential another one has taken the place of.
//!
//! Owns when such a session ends. Which ones they are, and what is to become of them, the control plane says.

use std::time::{Duration, Instant};

use protocol::Generation;

use crate::context::Context;
use crate::io::Io;
use crate::session::{Session, Stage};
use crate::snapshot::{OnRotation, ServiceId};

/// Until when an outdated session may go on.
#[derive(Clone, Copy)]
pub(crate) struct Outdated {
    /// At the latest.
    pub(crate) until: Instant,
    /// Or until it has moved nothing for so long.
    pub(crate) idle: Option<Duration>,
}

impl<I: Io> Session<I> {
    /// The target has accepted `newer`: an open session of the same service that began with an earlier one is outdated.
    pub(crate) fn on_outdated(
        &mut self,
        service: ServiceId,
        newer: Generation,
        then: OnRotation,
        cx: &mut Context<I>,
    ) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let is_older = relay.credential.is_some_and(|credential| credential < newer);
        if self.service.id != service || !is_older || relay.outdated.is_some() {
            return;
        }
        // Not all at once: their clients come back at once.
        let share = cx.entropy.draw().map_or(0, |bytes| u32::from(bytes[0]));
        relay.outdated = match then {
            OnRotation::Keep => return,
            OnRotation::Drain { idle, within } => {
                Some(Outdated { until: cx.now + within - within / 10 * share / 256, idle: Some(idle) })
            }
            OnRotation::Close { within } => {
                Some(Outdated { until: cx.now + within * share / 256, idle: None })
            }
        };
        self.set_idle_deadline(cx);
    }
}
