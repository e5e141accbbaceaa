//! Pauses that grow.
//!
//! Owns their lengths. Knows nothing of what is paused.

use std::time::{Duration, Instant};

/// A pause that doubles each time it begins again.
#[derive(Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
    pub(super) until: Option<Instant>,
}

impl Backoff {
    pub(super) const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    pub(super) fn start(&mut self, now: Instant) {
        let pause = self.last.map_or(Self::FIRST, |last| (last * 2).min(Self::LONGEST));
        self.last = Some(pause);
        self.until = Some(now + pause);
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Ends the pause if its time is over. The next one will be longer all the same.
    pub(super) fn settle(&mut self, now: Instant) {
        if !self.holds(now) {
            self.until = None;
        }
    }
}
