//! The way from a stop signal to the end.
//!
//! Owns the phases. Closes nothing itself: it says when.
//!
//! ```text
//!   running ──signal──► draining ──nobody left──────────────► end
//!                           └──time is up, second signal──► closing ──► end
//! ```

use std::time::{Duration, Instant};

use tracing::info;

/// Where on the way the process is.
#[derive(Default)]
pub(crate) struct Stop(Phase);

#[derive(Default)]
enum Phase {
    #[default]
    Running,
    /// Open sessions may go on until then.
    Draining { until: Instant, say_at: Instant },
    /// Every session has been told; until then their farewells may go out.
    Closing { until: Instant },
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Wait,
    /// End every session, with a farewell.
    CloseSessions,
    /// End the process.
    End,
}

impl Stop {
    /// Whether a stop was asked for.
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self.0, Phase::Running)
    }

    /// A stop was asked for.
    pub(crate) fn begin(&mut self, drain_timeout: Duration, now: Instant) {
        self.0 = Phase::Draining { until: now + drain_timeout, say_at: now + SAY_INTERVAL };
    }

    /// It was asked for again: no more draining.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.0 = Phase::Closing { until: now + FAREWELL };
    }

    /// What to do now that so many connections exist, and with no listener left or some.
    pub(crate) fn on_time(&mut self, listeners_are_gone: bool, connections: usize, now: Instant) -> Step {
        match &mut self.0 {
            Phase::Running => Step::Wait,
            Phase::Draining { .. } if listeners_are_gone && connections == 0 => Step::End,
            Phase::Draining { until, .. } if *until <= now => {
                info!("the time to drain is over: {connections} more to close");
                self.hurry(now);
                Step::CloseSessions
            }
            Phase::Draining { say_at, .. } => {
                if *say_at <= now {
                    *say_at = now + SAY_INTERVAL;
                    info!("waiting for the end of open connections: {connections}");
                }
                Step::Wait
            }
            Phase::Closing { until } if connections == 0 || *until <= now => Step::End,
            Phase::Closing { .. } => Step::Wait,
        }
    }

    /// When [`Stop::on_time`] wants to be called: nobody reports the end of a connection.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.is_under_way().then(|| now + LOOK_INTERVAL)
    }
}

/// Between two looks at how many connections are left.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Between two lines about it.
const SAY_INTERVAL: Duration = Duration::from_secs(2);

/// A farewell is one packet: a client that does not take it within this is not there.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(8);

    #[test]
    fn ends_when_nobody_is_left() {
        let (mut stop, now) = (Stop::default(), Instant::now());
        assert_eq!(stop.on_time(true, 0, now), Step::Wait, "nobody asked");
        stop.begin(DRAIN, now);
        assert!(stop.is_under_way());
        assert_eq!(stop.on_time(false, 0, now), Step::Wait, "a queue may hold a connection");
        assert_eq!(stop.on_time(true, 1, now), Step::Wait);
        assert_eq!(stop.on_time(true, 0, now), Step::End);
    }

    #[test]
    fn closes_sessions_when_the_time_is_up_and_waits_for_their_farewells() {
        let (mut stop, now) = (Stop::default(), Instant::now());
        stop.begin(DRAIN, now);
        assert_eq!(stop.on_time(true, 2, now + DRAIN / 2), Step::Wait);
        assert_eq!(stop.on_time(true, 2, now + DRAIN), Step::CloseSessions);
        assert_eq!(stop.on_time(true, 2, now + DRAIN), Step::Wait);
        assert_eq!(stop.on_time(true, 0, now + DRAIN), Step::End);
        assert_eq!(stop.on_time(true, 2, now + DRAIN + FAREWELL), Step::End);
    }

    #[test]
    fn a_second_signal_drains_no_longer() {
        let (mut stop, now) = (Stop::default(), Instant::now());
        stop.begin(DRAIN, now);
        stop.hurry(now);
        assert_eq!(stop.on_time(false, 1, now), Step::Wait);
        assert_eq!(stop.on_time(false, 1, now + FAREWELL), Step::End);
    }
}
