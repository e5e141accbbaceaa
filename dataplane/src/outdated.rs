//! Open sessions whose credential another one has taken the place of.
//!
//! Owns when such a session ends. Which ones they are, and what is to become of them, the control plane says.

use std::time::{Duration, Instant};

use protocol::{Credential, Generation, Hold};

use crate::context::Context;
use crate::io::Io;
use crate::session::{Session, Stage};
use crate::snapshot::{OnRotation, ServiceId};

/// What a session was logged in with.
pub(crate) struct LoggedIn {
    generation: Generation,
    /// It lasts as long as the session.
    _hold: Option<Hold>,
}

impl LoggedIn {
    pub(crate) fn with(credential: &Credential) -> Self {
        Self { generation: credential.generation(), _hold: credential.hold().cloned() }
    }
}

/// Until when an outdated session may go on.
#[derive(Clone, Copy)]
pub(crate) struct Outdated {
    /// At the latest.
    pub(crate) until: Instant,
    /// Or until it has moved nothing for so long.
    pub(crate) idle: Option<Duration>,
}

impl<I: Io> Session<I> {
    /// An open session of the same service that began with an earlier credential than `newer` is outdated: the target has
    /// accepted that one, or the earlier one ends. The sooner of two ends counts.
    pub(crate) fn on_outdated(
        &mut self,
        service: ServiceId,
        newer: Generation,
        then: OnRotation,
        cx: &mut Context<I>,
    ) {
        let Stage::Relay(relay) = &mut self.stage else { return };
        let is_older = relay.credential.as_ref().is_some_and(|credential| credential.generation < newer);
        if self.service.id != service || !is_older {
            return;
        }
        // Not all at once: their clients come back at once.
        let share = cx.entropy.draw().map_or(0, |bytes| u32::from(bytes[0]));
        let end = match then {
            OnRotation::Keep => return,
            OnRotation::Drain { idle, within } => {
                Outdated { until: cx.now + within - within / 10 * share / 256, idle: Some(idle) }
            }
            OnRotation::Close { within } => Outdated { until: cx.now + within * share / 256, idle: None },
        };
        let before = relay.outdated;
        if before.is_some_and(|before| before.until <= end.until) {
            return;
        }
        let idle = end.idle.or(before.and_then(|before| before.idle));
        relay.outdated = Some(Outdated { idle, ..end });
        self.set_idle_deadline(cx);
    }
}
