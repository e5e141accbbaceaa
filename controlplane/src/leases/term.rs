//! How the time of a lease is spent.
//!
//! Owns when it is due and when it is over. Has no clock: the time is an argument.

use std::time::{Duration, Instant};

/// The time that a store has granted, counted from before it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    began: Instant,
    granted: Duration,
    /// What the first grant was: a renewal asks for as much.
    asked: Duration,
    is_renewable: bool,
}

/// What a lease wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Keep,
    /// More time.
    Renew,
    /// Another lease in its place.
    Replace,
}

impl Term {
    /// A new lease of `granted`.
    pub(crate) fn new(began: Instant, granted: Duration, is_renewable: bool) -> Self {
        Self { began, granted, asked: granted, is_renewable }
    }

    /// The same lease after a renewal that was asked for at `began`. A store that grants less than was asked for will not grant
    /// more: the lease comes to its end, and is not renewed again.
    pub(crate) fn renewed(self, began: Instant, granted: Duration, is_renewable: bool) -> Self {
        // Stores count whole seconds.
        let is_renewable = is_renewable && granted + Duration::from_secs(1) >= self.asked;
        Self { began, granted, asked: self.asked, is_renewable }
    }

    /// How much time a renewal asks for.
    pub(crate) fn asked(self) -> Duration {
        self.asked
    }

    /// What it wants at `now`; `is_refused` says that the target does not take its values.
    pub(crate) fn step(self, now: Instant, is_refused: bool) -> Step {
        if is_refused {
            Step::Replace
        } else if now < self.due_at() {
            Step::Keep
        } else if self.is_renewable && now < self.late_at() {
            Step::Renew
        } else {
            Step::Replace
        }
    }

    /// When it wants something. One that can be renewed is renewed while a third of its time is left, so that an outage of that
    /// length does no harm; another is replaced late, for each replacement makes an account at the target.
    pub(crate) fn due_at(self) -> Instant {
        if self.is_renewable { self.began + self.granted * 2 / 3 } else { self.late_at() }
    }

    /// From when on a renewal is not tried any more, but another lease taken.
    fn late_at(self) -> Instant {
        self.began + self.granted * 17 / 20
    }

    /// From when on nobody may log in with its values, and how much time is left then to close those who have.
    pub(crate) fn over_at(self) -> (Instant, Duration) {
        let margin = (self.granted / 20).min(MARGIN_MAX);
        (self.began + self.granted - margin, margin)
    }

    /// When the store takes it back by itself.
    pub(crate) fn ends_at(self) -> Instant {
        self.began + self.granted
    }
}

/// A store takes its time, and so do closing sessions.
const MARGIN_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn a_renewable_lease_is_renewed_for_as_long_as_its_store_grants_all_that_is_asked_for() {
        let mut now = Instant::now();
        let start = now;
        let mut term = Term::new(now, HOUR, true);
        // A store that grants a month in all.
        let last = start + HOUR * 24 * 30;
        let mut renewals = 0;
        loop {
            assert_eq!(term.step(now, false), Step::Keep);
            now = term.due_at();
            match term.step(now, false) {
                Step::Renew => {
                    renewals += 1;
                    term = term.renewed(now, HOUR.min(last - now), true);
                }
                Step::Replace => break,
                Step::Keep => panic!("it is due"),
            }
        }
        assert_eq!(renewals, 30 * 24 * 3 / 2 - 1);
        assert!(now < last && now + minutes(10) > last, "{:?} before its end", last - now);
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_in_time_is_replaced_before_its_end() {
        let now = Instant::now();
        let term = Term::new(now, HOUR, true);
        assert_eq!(term.step(now + minutes(39), false), Step::Keep);
        assert_eq!(term.step(now + minutes(40), false), Step::Renew);
        assert_eq!(term.step(now + minutes(50), false), Step::Renew);
        assert_eq!(term.step(now + minutes(51), false), Step::Replace);
        let (over_at, margin) = term.over_at();
        assert_eq!((over_at + margin, margin), (now + HOUR, Duration::from_secs(30)));
    }

    #[test]
    fn a_lease_that_is_not_renewable_is_replaced_late() {
        let now = Instant::now();
        let term = Term::new(now, HOUR, false);
        assert_eq!(term.step(now + minutes(50), false), Step::Keep);
        assert_eq!(term.step(now + minutes(51), false), Step::Replace);
        assert_eq!(term.due_at(), now + minutes(51));
    }

    #[test]
    fn one_that_the_target_does_not_take_is_replaced_whatever_its_age() {
        let now = Instant::now();
        assert_eq!(Term::new(now, HOUR, true).step(now, true), Step::Replace);
    }

    #[test]
    fn a_short_lease_has_a_short_margin() {
        let now = Instant::now();
        let (over_at, margin) = Term::new(now, Duration::from_secs(2), true).over_at();
        assert_eq!((over_at - now, margin), (Duration::from_millis(1_900), Duration::from_millis(100)));
    }
}
