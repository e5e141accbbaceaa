//! How long values may be used, and when they are to be asked for again.
//!
//! Owns what a store that does not answer means for the values that it gave before. Decides nothing else.

use std::time::{Duration, Instant};

use super::decision::Schedule;

/// What a service wants of its stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long values serve beyond the moment when they should have been fetched again, while the store fails.
    pub stale_max: Duration,
    /// The longest pause after a failure.
    pub failure_pause_max: Duration,
    /// How long a session waits for a better credential when the target has refused the one that there is.
    pub grace: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            stale_max: Duration::from_secs(60 * 60),
            failure_pause_max: Duration::from_secs(60),
            grace: Duration::from_secs(2),
        }
    }
}

/// The life of the present values.
#[derive(Default)]
pub(super) struct Lifetime {
    schedule: Schedule,
    /// When they were due, if the store has failed since.
    stale_since: Option<Instant>,
    /// Whether the store has failed since, and says itself when its values change, so that they are never due.
    has_failed_unasked: bool,
}

impl Lifetime {
    /// The store has given values, or the same ones again.
    pub(super) fn begin(&mut self, schedule: Schedule) {
        *self = Self { schedule, ..Self::default() };
    }

    /// The store has failed.
    pub(super) fn on_failure(&mut self, now: Instant) {
        if let Some(due) = self.schedule.due_at.filter(|at| *at <= now) {
            self.stale_since.get_or_insert(due);
        }
        self.has_failed_unasked |= self.schedule.due_at.is_none();
    }

    /// When a store that was asked at `began` has failed as far as the present values are concerned, though it may still answer.
    pub(super) fn overdue_at(&self, began: Instant) -> Option<Instant> {
        let due = self.schedule.due_at.filter(|_| self.stale_since.is_none())?;
        Some(due.max(began + SLOW_AFTER))
    }

    /// The store has withdrawn them.
    pub(super) fn end(&mut self, now: Instant) {
        self.schedule.usable_until = Some(now);
    }

    /// When to fetch again.
    pub(super) fn refetch_at(&self) -> Option<Instant> {
        self.schedule.refetch_at
    }

    /// From when on the values must not be used.
    pub(super) fn usable_until(&self, rules: Rules) -> Option<Instant> {
        let stale_until = self.stale_since.map(|since| since + rules.stale_max);
        self.schedule.usable_until.into_iter().chain(stale_until).min()
    }

    /// Whether the values serve though their store has not given them again when it should have.
    pub(super) fn is_stale(&self) -> bool {
        self.stale_since.is_some() || self.has_failed_unasked
    }
}

/// As long as stores are waited for that have not been told otherwise.
const SLOW_AFTER: Duration = Duration::from_secs(15);
