//! The bounds on asking stores.
//!
//! Owns how many fetches may block at a time, of one host and of all, how long one may take, how often it is tried again, and the wish
//! of a host to be left alone. Knows nothing of what is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::client::GRACE;
use crate::offload::run;
use crate::providers::FetchError;

/// What is left of a fetch.
pub(crate) struct Tries {
    deadline: Instant,
    left: u32,
}

impl Tries {
    /// So many more after the first, until `deadline`.
    pub(crate) fn new(deadline: Instant, retries: u32) -> Self {
        Self { deadline, left: retries }
    }

    /// Whether there is to be another one after `outcome`. Waits until it is time for it.
    pub(crate) async fn another<T>(&mut self, outcome: &Result<T, FetchError>, host: &Host) -> bool {
        let now = Instant::now();
        let again_at = host.until(now).into_iter().fold(now + PAUSE, Instant::max);
        let is_final = outcome.as_ref().err().is_none_or(|error| !error.is_for_now());
        if is_final || self.left == 0 || again_at >= self.deadline {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(PAUSE).await;
        true
    }
}

/// One host of stores, as those see it who ask it.
pub(crate) struct Host {
    /// Until when it wants to be left alone.
    rest_until: Mutex<Option<Instant>>,
    turns: Semaphore,
}

impl Default for Host {
    fn default() -> Self {
        Self { rest_until: Mutex::default(), turns: Semaphore::new(AT_ONCE_EACH) }
    }
}

impl Host {
    /// The store has asked for this.
    pub(crate) fn rest(&self, time: Option<Duration>) {
        if let Some(time) = time {
            *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now() + time.min(REST_MAX));
        }
    }

    /// When it may be asked again, if that has not come.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.rest_until.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| now < *until)
    }

    /// Waits until it may be asked again, if there is the time.
    pub(crate) async fn wait(&self, deadline: Instant) -> Result<(), FetchError> {
        let now = Instant::now();
        match self.until(now) {
            None => Ok(()),
            Some(until) if until < deadline => {
                tokio::time::sleep_until(until.into()).await;
                Ok(())
            }
            Some(until) => Err(FetchError::Unavailable(format!(
                "the store wants to be left alone for {} s more",
                (until - now).as_secs() + 1
            ))),
        }
    }
}

/// When a fetch must be over. The wait for its turn is not the host's fault, and does not count.
pub(crate) struct Deadline(Mutex<Instant>);

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self(Mutex::new(at))
    }

    pub(crate) fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is so much later.
    fn put_off(&self, time: Duration) -> Instant {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at += time;
        *at
    }
}

/// Runs `work`, which asks `host`, on a thread that may block, and tells it its deadline. `key` tells it from all other work; errors
/// begin with `name`.
pub(crate) async fn blocking<T: Send + 'static>(
    host: &Host,
    (key, name): (&str, &str),
    deadline: &Deadline,
    work: impl FnOnce(Instant) -> T + Send + 'static,
) -> Result<T, FetchError> {
    let began = Instant::now();
    let turns = async {
        // First its own: whoever waits for a host that hangs holds up nobody else.
        let turn = host.turns.acquire().await?;
        TURNS.acquire().await.map(|all| (turn, all))
    };
    let Ok(Ok(_turns)) = timeout_at(deadline.at().into(), turns).await else {
        return Err(FetchError::Unasked(format!("{name}: too much else is asked at the moment")));
    };
    let now = Instant::now();
    let deadline = deadline.put_off(now - began);
    let patience = deadline.saturating_duration_since(now) + GRACE;
    let done = run(key, patience, move || work(deadline)).await;
    done.map_err(|_| FetchError::Unavailable(format!("{name}: i/o timeout")))
}

/// Of all hosts. A thread costs its stack and the buffers of one request.
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
const AT_ONCE: usize = 96;

/// Of one host.
const AT_ONCE_EACH: usize = 8;

/// As Vault's own client, at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than the pauses after failures, a store is not left alone.
const REST_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;
    use crate::testing::block_on;

    #[test]
    fn whoever_waits_for_a_host_that_hangs_says_nothing_about_it_and_holds_up_no_other() {
        block_on(async {
            let (host, far) = (Arc::new(Host::default()), Instant::now() + Duration::from_secs(600));
            let mut hanging = Vec::new();
            for number in 0..AT_ONCE_EACH {
                let (release, wait) = mpsc::channel::<()>();
                let host = Arc::clone(&host);
                let work = tokio::spawn(async move {
                    let key = format!("hanging {number}");
                    let work = move |_| {
                        // Ends when the test lets go of the other end.
                        let _ = wait.recv();
                    };
                    blocking(&host, (&key, "x"), &Deadline::new(far), work).await
                });
                hanging.push((release, work));
            }
            while host.turns.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let now = Deadline::new(Instant::now());
            let late = blocking(&host, ("late", "Get x"), &now, |_| ()).await;
            assert_eq!(late, Err(FetchError::Unasked("Get x: too much else is asked at the moment".into())));
            let other = blocking(&Host::default(), ("other", "x"), &Deadline::new(far), |_| 7).await;
            assert_eq!(other, Ok(7));
            for (release, work) in hanging {
                drop(release);
                assert!(work.await.is_ok_and(|done| done.is_ok()));
            }
        });
    }
}
