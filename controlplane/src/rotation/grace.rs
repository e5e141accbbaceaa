//! How long sessions wait for a better credential while the target refuses the one that there is.
//!
//! Owns when their store is asked again, and when a session has waited long enough. A target and its store are never changed
//! at one moment, so a refusal is often over before a person would notice.

use std::time::{Duration, Instant};

use super::Rotation;
use super::queue::{Refused, Waiting};

/// When a store is asked again for those who wait.
#[derive(Default)]
pub(super) struct Grace {
    last: Option<Duration>,
    pub(super) ask_at: Option<Instant>,
}

impl Grace {
    const FIRST: Duration = Duration::from_millis(50);
    /// A change of the store's shortly before the patience ends is seen in time.
    const LONGEST: Duration = Duration::from_millis(400);

    /// Asks again after a while that grows.
    pub(super) fn ask_again(&mut self, now: Instant) {
        if self.ask_at.is_none() {
            let pause = self.last.map_or(Self::FIRST, |last| last * 2).min(Self::LONGEST);
            self.last = Some(pause);
            self.ask_at = Some(now + pause);
        }
    }
}

impl<S: Copy + PartialEq> Rotation<S> {
    /// How long a session waits for another answer than a refusal.
    pub(super) fn grace(&self) -> Duration {
        if self.is_fixed { Duration::ZERO } else { self.rules.grace }
    }

    /// When the first of those who wait has waited long enough.
    pub(super) fn grace_ends_at(&self) -> Option<Instant> {
        let current = self.current.as_ref().filter(|current| current.refused_at.is_some())?.generation;
        let is_answered = |since| self.answered_until.is_some_and(|until| since <= until);
        let is_watched = |waiting: &&Waiting<S>| match waiting.refused {
            Refused::Certainly if waiting.generation == current => is_answered(waiting.since),
            Refused::Perhaps if waiting.generation == current => false,
            _ => self.pauses.refusals.until.is_some(),
        };
        self.waiting.iter().filter(is_watched).map(|waiting| waiting.waits_since + self.grace()).min()
    }
}
