//! How often a lease is replaced because the target does not take it.
//!
//! Owns the pauses. Each new lease is a new account at the target, whatever becomes of it, so they grow also where the target takes
//! every other one.

use std::time::{Duration, Instant};

/// The last such replacement of one service.
#[derive(Default)]
pub(crate) struct Replacing(Option<(Instant, Duration)>);

impl Replacing {
    /// Whether a lease may be replaced now; then the next one waits.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        let pause = match self.0 {
            None => FIRST,
            Some((at, pause)) if now < at + pause => return false,
            Some((at, pause)) if now < at + pause + CALM => (pause * 2).min(LONGEST),
            Some(_) => FIRST,
        };
        self.0 = Some((now, pause));
        true
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// After so long without one, all is well.
const CALM: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_takes_every_other_lease_gets_one_a_minute() {
        let (mut replacing, start) = (Replacing::default(), Instant::now());
        let mut at = Vec::new();
        for second in 0..600 {
            if replacing.admits(start + Duration::from_secs(second)) {
                at.push(second);
            }
        }
        assert_eq!(at, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483, 543]);
    }

    #[test]
    fn one_now_and_then_waits_for_nothing() {
        let (mut replacing, start) = (Replacing::default(), Instant::now());
        assert!((0..100).all(|hour| replacing.admits(start + Duration::from_secs(3600 * hour))));
    }
}
