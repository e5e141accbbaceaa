//! Addresses that do not answer are left alone for a while.
//!
//! Owns a circuit breaker for one address, which all workers share. Only silence counts: a refusal costs a packet each way and says
//! at once that somebody is there, so whoever refuses may be asked as often as clients come.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is known of an address's silence.
#[derive(Default)]
pub(crate) struct Silence {
    /// When it was first dialled: what `until` counts from.
    began: OnceLock<Instant>,
    /// Connects in a row that got no answer.
    unanswered: AtomicU32,
    /// Until when it is left alone, in milliseconds; 0 is not.
    until: AtomicU64,
}

impl Silence {
    /// Whether it may be dialled. When its pause is over, the first who asks may, and the others once that one was heard.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.milliseconds(now);
        if now < until {
            return false;
        }
        // Whoever it is may leave before it has heard anything: the next one's turn comes soon.
        let next = now + as_ms(PAUSE_FIRST);
        self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it is left alone.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// Somebody is there, whatever it said.
    pub(crate) fn on_heard(&self) {
        // Most are heard always: they share a line of cache that is only read.
        if self.unanswered.load(Ordering::Relaxed) != 0 {
            self.unanswered.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// A connect has got no answer in its time.
    pub(crate) fn on_silent(&self, now: Instant) {
        let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some(more) = unanswered.checked_sub(UNANSWERED_MAX) {
            let pause = PAUSE_FIRST.saturating_mul(1 << more.min(8)).min(PAUSE_MAX);
            self.until.store(self.milliseconds(now) + as_ms(pause), Ordering::Relaxed);
        }
    }

    /// Never 0.
    fn milliseconds(&self, now: Instant) -> u64 {
        let began = *self.began.get_or_init(|| now);
        as_ms(now.saturating_duration_since(began)) + 1
    }
}

fn as_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2)
}

/// One lost packet is no silence.
const UNANSWERED_MAX: u32 = 3;

const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// An address that answers again is noticed within this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_answers_now_and_then_is_dialled() {
        let (silence, now) = (Silence::default(), Instant::now());
        for _ in 0..10 {
            silence.on_silent(now);
            silence.on_silent(now);
            assert!(silence.admits(now) && !silence.is_left_alone());
            silence.on_heard();
        }
    }

    #[test]
    fn one_that_does_not_is_dialled_by_one_at_growing_intervals_until_it_is_heard() {
        let (silence, mut now) = (Silence::default(), Instant::now());
        (0..3).for_each(|_| silence.on_silent(now));
        let mut intervals = Vec::new();
        for _ in 0..5 {
            assert!(silence.is_left_alone() && !silence.admits(now));
            let last = now;
            while !silence.admits(now) {
                now += Duration::from_millis(100);
            }
            intervals.push((now - last).as_secs_f64().round());
            assert!(!silence.admits(now), "one is enough");
            silence.on_silent(now);
        }
        assert_eq!(intervals, [1.0, 2.0, 4.0, 5.0, 5.0]);
        silence.on_heard();
        assert!(silence.admits(now) && silence.admits(now) && !silence.is_left_alone());
    }

    #[test]
    fn one_who_dials_and_is_never_heard_of_again_holds_up_nobody_for_long() {
        let (silence, now) = (Silence::default(), Instant::now());
        (0..3).for_each(|_| silence.on_silent(now));
        let after = |ms| silence.admits(now + Duration::from_millis(ms));
        assert_eq!([after(1_000), after(1_900), after(2_000), after(2_900)], [true, false, true, false]);
    }
}
