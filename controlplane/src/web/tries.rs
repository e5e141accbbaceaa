//! The bounds on asking stores.
//!
//! Owns how many fetches may block at a time, how long one may take, how often it is tried again, and the wish of a store to be left
//! alone. Knows nothing of what is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::client::GRACE;
use crate::offload::offload;
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
    pub(crate) async fn another<T>(&mut self, outcome: &Result<T, FetchError>, rest: &Rest) -> bool {
        let now = Instant::now();
        let again_at = rest.until(now).into_iter().fold(now + PAUSE, Instant::max);
        let is_final = outcome.as_ref().err().is_none_or(|error| !error.is_for_now());
        if is_final || self.left == 0 || again_at >= self.deadline {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(PAUSE).await;
        true
    }
}

/// Until when a store wants to be left alone.
#[derive(Default)]
pub(crate) struct Rest(Mutex<Option<Instant>>);

impl Rest {
    /// The store has asked for this.
    pub(crate) fn begin(&self, time: Option<Duration>) {
        if let Some(time) = time {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now() + time.min(REST_MAX));
        }
    }

    /// Its end, if that has not come.
    fn until(&self, now: Instant) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| now < *until)
    }

    /// Waits for its end, if there is the time.
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

/// Runs `work`, which asks a store, on a thread that may block; `None` if that takes too long. `name` tells it from all other work.
pub(crate) async fn blocking<T: Send + 'static>(
    name: &str,
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // A store that hangs must not hold all threads that files need, too.
    let _turn = timeout_at(deadline.into(), TURNS.acquire()).await.ok()?.ok()?;
    let patience = deadline.saturating_duration_since(Instant::now()) + GRACE;
    offload(name, patience, work).await.ok()
}

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Half of what may block at a time.
const AT_ONCE: usize = 8;

/// As Vault's own client, at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// Longer than the pauses after failures, a store is not left alone.
const REST_MAX: Duration = Duration::from_secs(60);
