//! What one service has counted, and how it is.
//!
//! Owns the meaning of each number. What they are called, `metrics.rs` says.

use std::time::Duration;

use dataplane::ServiceTotals;

/// What one service has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceMetrics {
    /// Its name.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) protocol: &'static str,
    /// Its counters.
    pub(crate) totals: ServiceTotals,
    /// Sessions that are open.
    pub(crate) active: u32,
    /// Whether its listener takes connections.
    pub(crate) listening: bool,
    /// The generation of the credential that is in force, and how long ago it came.
    pub(crate) credential: Option<(u64, Duration)>,
    /// Whether there is one.
    pub(crate) available: bool,
    /// Whether the target refuses the newest one.
    pub(crate) refused: bool,
    /// Whether it serves though its store has not given it again when it should have.
    pub(crate) stale: bool,
    /// How often a session was told to try another credential than the one that it had.
    pub(crate) retried: u64,
    /// How often the target has accepted a newer credential.
    pub(crate) rotations: u64,
    /// Whether an address of its target does not answer, and is dialled every few seconds only.
    pub(crate) is_target_silent: bool,
    /// How long its leases have until they are over, if it has any.
    pub(crate) lease_left: Option<Duration>,
}
