//! What is shown of a service: how its credential is.
//!
//! Owns what each question means. What the answers are called, `admin` says.

use std::time::{Duration, Instant};

use protocol::Generation;

use super::ServiceState;
use crate::leases;

impl ServiceState {
    /// The generation of the credential that is in force, and when it came.
    pub(crate) fn credential(&self) -> Option<(Generation, Instant)> {
        let in_force = self.in_force?;
        self.came.iter().find(|(generation, _)| *generation == in_force).copied()
    }

    /// Whether the target refuses the newest credential.
    pub(crate) fn is_refused(&self) -> bool {
        self.rotation.is_refused()
    }

    /// Whether its values serve though their store has not given them again when it should have.
    pub(crate) fn is_stale(&self) -> bool {
        self.credential.is_some() && self.rotation.is_stale()
    }

    /// Whether an address of the target does not answer, and is dialled every few seconds only.
    pub(crate) fn is_target_silent(&self) -> bool {
        self.endpoints.present().iter().any(|endpoint| endpoint.is_left_alone())
    }

    /// How long the leases of the newest credential have until they are over.
    pub(crate) fn lease_left(&self, now: Instant) -> Option<Duration> {
        leases::over_at(&self.holds).map(|(at, _)| at.saturating_duration_since(now))
    }

    /// Whether no connection is open on it any more. Services of one name share their counters.
    pub(crate) fn is_idle(&self) -> bool {
        let totals = self.runtime.totals();
        totals.opened == totals.closed
    }
}
