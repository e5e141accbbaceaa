//! Deadlines of a worker's sessions.
//!
//! Owns their order. A session has at most one; an idle session without a limit has none.

use std::collections::BTreeSet;
use std::time::Instant;

/// Deadlines in the order in which they come.
#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Instant, u32)>);

impl Timers {
    /// Sets, moves or ends the deadline of `slot`, which was `old`.
    pub(crate) fn replace(&mut self, slot: u32, old: Option<Instant>, new: Option<Instant>) {
        if let Some(old) = old {
            self.0.remove(&(old, slot));
        }
        if let Some(new) = new {
            self.0.insert((new, slot));
        }
    }

    /// When the next deadline is.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes a deadline that has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(slot)
    }
}
