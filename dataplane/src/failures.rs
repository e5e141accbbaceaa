//! What is done only so often: lines about failures, cancel requests, and dials for clients that keep leaving.
//!
//! Owns the rate limits: a thousand clients that fail for one reason make one line a second, with a count; cancel requests
//! are forwarded only so often; and where clients leave the target in the middle of its handshake, one after the other, it
//! is dialled no faster than it may forgive.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::Error;

use crate::snapshot::ServiceId;

/// Between two lines about the same cause of the same service.
const INTERVAL: Duration = Duration::from_secs(1);

/// Causes that are remembered; more at once and the oldest may be told twice.
const CAUSES_MAX: usize = 4096;

struct Cause {
    told_at: Instant,
    suppressed: u64,
}

/// What was told, and how much was not.
#[derive(Default)]
pub(crate) struct FailureLog(HashMap<(ServiceId, &'static str), Cause>);

impl FailureLog {
    /// Whether this failure may be told: how many like it were not since the last one.
    pub(crate) fn admit(&mut self, service: ServiceId, error: &Error, now: Instant) -> Option<u64> {
        if self.0.len() >= CAUSES_MAX {
            self.0.retain(|_, cause| now.duration_since(cause.told_at) < INTERVAL);
        }
        if self.0.len() >= CAUSES_MAX {
            return None;
        }
        let cause = self.0.entry((service, error.label()));
        match cause {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Cause { told_at: now, suppressed: 0 });
                Some(0)
            }
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let cause = entry.get_mut();
                if now.duration_since(cause.told_at) < INTERVAL {
                    cause.suppressed += 1;
                    return None;
                }
                cause.told_at = now;
                Some(std::mem::take(&mut cause.suppressed))
            }
        }
    }
}

/// Cancel requests of one service that may come at once, and how many a second after that. A cancel costs the
/// target a connection, and a 4-byte key can be guessed.
const CANCEL_BURST: f64 = 100.0;
const CANCELS_PER_SECOND: f64 = 20.0;

/// How many cancel requests each service may still forward: a token bucket.
#[derive(Default)]
pub(crate) struct CancelRate(HashMap<ServiceId, (f64, Instant)>);

impl CancelRate {
    /// Whether one more may be forwarded.
    pub(crate) fn admit(&mut self, service: ServiceId, now: Instant) -> bool {
        let (tokens, at) = self.0.entry(service).or_insert((CANCEL_BURST, now));
        *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * CANCELS_PER_SECOND).min(CANCEL_BURST);
        *at = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }

    /// Forgets services that are gone.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId) -> bool) {
        self.0.retain(|service, _| in_force(*service));
    }
}

/// Handshakes in a row that may leave the target in the middle. A MySQL server blocks a host behind 100
/// (`max_connect_errors`) and forgets them with each that succeeds; other brokers may come from the same host.
const ABANDONED_MAX: u32 = 32;

/// Between two dials of a worker once there were more.
const ABANDONED_PAUSE: Duration = Duration::from_secs(1);

/// When each service may be dialled again.
#[derive(Default)]
pub(crate) struct DialPace(HashMap<ServiceId, Instant>);

impl DialPace {
    /// Whether a target may be dialled that was left in the middle so many times in a row; else when to ask again.
    pub(crate) fn admit(&mut self, service: ServiceId, abandoned: u32, now: Instant) -> Result<(), Instant> {
        if abandoned < ABANDONED_MAX {
            self.0.remove(&service);
            return Ok(());
        }
        match self.0.get(&service) {
            Some(&next) if now < next => Err(next),
            _ => {
                self.0.insert(service, now + ABANDONED_PAUSE);
                Ok(())
            }
        }
    }

    /// Forgets services that are gone.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId) -> bool) {
        self.0.retain(|service, _| in_force(*service));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use protocol::{BrokerFailed, Denied};

    use super::{CancelRate, DialPace, FailureLog};
    use crate::snapshot::ServiceId;

    #[test]
    fn tells_one_failure_a_second_and_counts_the_rest() {
        let mut log = FailureLog::default();
        let start = Instant::now();
        let error = BrokerFailed::CredentialMissing.into();
        assert_eq!(log.admit(ServiceId(1), &error, start), Some(0));
        assert_eq!(log.admit(ServiceId(1), &error, start), None);
        assert_eq!(log.admit(ServiceId(1), &error, start + Duration::from_millis(999)), None);
        assert_eq!(log.admit(ServiceId(1), &error, start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn another_cause_and_another_service_are_told_at_once() {
        let mut log = FailureLog::default();
        let start = Instant::now();
        assert_eq!(log.admit(ServiceId(1), &BrokerFailed::CredentialMissing.into(), start), Some(0));
        assert_eq!(log.admit(ServiceId(1), &Denied::CredentialRefused.into(), start), Some(0));
        assert_eq!(log.admit(ServiceId(2), &Denied::CredentialRefused.into(), start), Some(0));
    }

    #[test]
    fn a_target_that_is_left_again_and_again_is_dialled_once_a_second() {
        let mut pace = DialPace::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!((0..200).filter(|_| pace.admit(ServiceId(1), 31, start).is_ok()).count(), 200);
        assert_eq!(pace.admit(ServiceId(1), 32, start), Ok(()));
        assert_eq!(pace.admit(ServiceId(1), 33, start), Err(start + second));
        assert_eq!(pace.admit(ServiceId(2), 33, start), Ok(()), "another service has its own");
        assert_eq!(pace.admit(ServiceId(1), 33, start + second), Ok(()));
        assert_eq!(pace.admit(ServiceId(1), 0, start + second), Ok(()), "one has succeeded");
    }

    #[test]
    fn cancels_come_in_a_burst_and_then_at_a_rate() {
        let mut rate = CancelRate::default();
        let start = Instant::now();
        assert_eq!((0..200).filter(|_| rate.admit(ServiceId(1), start)).count(), 100);
        assert!(rate.admit(ServiceId(2), start), "another service has its own");
        assert_eq!((0..200).filter(|_| rate.admit(ServiceId(1), start + Duration::from_secs(1))).count(), 20);
    }
}
