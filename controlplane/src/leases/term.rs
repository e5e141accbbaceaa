//! How the time of a lease is spent.
//!
//! Owns when it is due and when it is over. Has no clock: the time is an argument.

use std::time::{Duration, Instant};

use crate::providers::Granted;

/// The time that a store has granted, counted from before it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    began: Instant,
    granted: Duration,
    /// What the first grant was: a renewal asks for as much.
    asked: Duration,
    is_renewable: bool,
    /// Whether another lease would live longer than this one does.
    is_last: bool,
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
        Self { began, granted, asked: granted, is_renewable, is_last: false }
    }

    /// The same lease after a renewal that was asked for at `began`.
    pub(crate) fn renewed(self, began: Instant, granted: Granted) -> Self {
        let Granted { duration, renewable, is_last } = granted;
        Self { began, granted: duration, asked: self.asked, is_renewable: renewable, is_last }
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
    /// length does no harm; one that was renewed for the last time is replaced at once, so that its sessions have the rest of its life
    /// to end; another is replaced late, for each replacement makes an account at the target.
    pub(crate) fn due_at(self) -> Instant {
        match (self.is_renewable, self.is_last) {
            (true, _) => self.began + self.granted * 2 / 3,
            (false, true) => self.began,
            (false, false) => self.late_at(),
        }
    }

    /// From when on a store that gives nothing else has failed.
    pub(crate) fn stale_at(self) -> Instant {
        if self.is_renewable { self.due_at() } else { self.late_at() }
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
            assert!(term.is_last || term.step(now, false) == Step::Keep);
            now = term.due_at();
            match term.step(now, false) {
                Step::Renew => {
                    renewals += 1;
                    let duration = HOUR.min(last - now);
                    let is_last = duration < HOUR;
                    term = term.renewed(now, Granted { duration, renewable: !is_last, is_last });
                }
                Step::Replace => break,
                Step::Keep => panic!("it is due"),
            }
        }
        assert_eq!(renewals, 30 * 24 * 3 / 2 - 1);
        let left = last - now;
        assert!(left > minutes(15) && left < HOUR, "{left:?} before its end: its sessions have that time");
    }

    #[test]
    fn one_that_was_prolonged_for_the_last_time_is_replaced_at_once_and_serves_on_until_then() {
        let now = Instant::now();
        let granted = Granted { duration: minutes(30), renewable: false, is_last: true };
        let last = Term::new(now, HOUR, true).renewed(now + minutes(40), granted);
        assert_eq!((last.due_at(), last.step(now + minutes(40), false)), (now + minutes(40), Step::Replace));
        // A store that fails then has until it would have been replaced otherwise.
        assert_eq!(last.stale_at(), now + minutes(40) + minutes(30) * 17 / 20);
        // Where the token's end is what cuts it, another lease would end with it, too.
        let cut =
            Term::new(now, HOUR, true).renewed(now + minutes(40), Granted { is_last: false, ..granted });
        assert_eq!(cut.due_at(), now + minutes(40) + minutes(30) * 17 / 20);
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
