//! The time in which lifetimes count.
//!
//! Owns one correction. A store counts a lease in real time, also while this machine is suspended; the clock behind [`Instant`] stands
//! still then. The control plane's moments are those of that clock, moved forward by all time that was slept through.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, in the time of the control plane.
pub(crate) fn now() -> Instant {
    of_dataplane(Instant::now())
}

/// A moment that somebody has read off [`Instant`] just now.
pub(crate) fn of_dataplane(at: Instant) -> Instant {
    at + slept()
}

/// How long it is until `at`, for a timer that stands still in a suspended machine. It is looked at again now and then.
pub(crate) fn until(at: Instant) -> Duration {
    at.saturating_duration_since(now())
}

/// How long the machine was suspended since this was first asked. Never gets less.
fn slept() -> Duration {
    static FIRST: OnceLock<i64> = OnceLock::new();
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let ahead =
        milliseconds(clock_gettime(ClockId::Boottime)) - milliseconds(clock_gettime(ClockId::Monotonic));
    let first = *FIRST.get_or_init(|| ahead);
    let slept = between(first, ahead);
    Duration::from_millis(SLEPT.fetch_max(slept, Ordering::Relaxed).max(slept))
}

/// The clocks are read one after the other, so a few milliseconds say nothing.
fn between(first: i64, ahead: i64) -> u64 {
    u64::try_from(ahead - first).unwrap_or(0) / STEP_MS * STEP_MS
}

/// No suspension is shorter.
const STEP_MS: u64 = 500;

fn milliseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_a_timer_ends_when_it_has_come() {
        let at = now() + Duration::from_secs(60);
        assert!(until(at) <= Duration::from_secs(60) && until(at) > Duration::from_secs(50));
        assert_eq!(until(now()), Duration::ZERO);
        assert!(now() >= of_dataplane(Instant::now()) - Duration::from_secs(1));
    }

    #[test]
    fn what_was_slept_through_counts_and_the_reading_of_clocks_does_not() {
        assert_eq!(between(70_000, 70_000), 0);
        assert_eq!(between(70_000, 69_998), 0);
        assert_eq!(between(70_000, 70_002), 0);
        assert_eq!(between(70_000, 3_670_001), 3_600_000);
    }
}
