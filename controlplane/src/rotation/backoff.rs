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
        self.start_within(now, Self::LONGEST);
    }

    /// The same, but never longer than that.
    pub(super) fn start_within(&mut self, now: Instant, longest: Duration) {
        let pause = self.last.map_or(Self::FIRST, |last| last * 2).min(longest);
        self.last = Some(pause);
        self.until = Some(now + pause);
    }

    /// How long the last one was; the first, if there has been none.
    pub(super) fn last(&self) -> Duration {
        self.last.unwrap_or(Self::FIRST)
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

/// What a generation rests for.
#[derive(Default)]
pub(super) struct Pauses {
    /// After a refusal that nothing better came for.
    pub(super) refusals: Backoff,
    /// Between two trials of the current generation while another one stands in.
    pub(super) retries: Backoff,
    /// After fetches for refusals that may have meant the session: a client can provoke those, so they hold up nobody.
    pub(super) doubts: Backoff,
    /// How many generations in a row the target has refused that nobody had tried before.
    fresh_refused: u32,
}

/// A store and its target may be so many changes apart. Whoever gives another wrong value each time is not believed for ever.
const FRESH_REFUSED_MAX: u32 = 3;

impl Pauses {
    /// The target has refused a generation at its first trial.
    pub(super) fn on_fresh_refused(&mut self) {
        self.fresh_refused = self.fresh_refused.saturating_add(1);
    }

    /// What comes from now on is from elsewhere, or for elsewhere.
    pub(super) fn on_new_sources(&mut self) {
        self.fresh_refused = 0;
    }

    /// Whether so many were wrong that the next one has no turn beside the one that is being tried.
    pub(super) fn doubt_fresh(&self) -> bool {
        self.fresh_refused >= FRESH_REFUSED_MAX
    }

    /// Whether also a generation that nobody has tried rests as long as those before it.
    pub(super) fn hold_fresh(&self, now: Instant) -> bool {
        self.doubt_fresh() && self.refusals.holds(now)
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        [self.refusals.until, self.retries.until, self.doubts.until].into_iter().flatten().min()
    }

    /// Ends those whose time is over.
    pub(super) fn settle(&mut self, now: Instant) {
        self.refusals.settle(now);
        self.retries.settle(now);
        self.doubts.settle(now);
    }
}
