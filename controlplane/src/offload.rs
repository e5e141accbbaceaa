//! Work that may block, taken off the control plane's thread.
//!
//! Owns the bound on how many such works run at a time and how long anybody waits for one. A file system or a
//! resolver that does not answer holds a thread; it never holds the control plane, nor the others' turn: whoever
//! has waited too long gives the turn back although the thread is still stuck, and the same work is not begun
//! again until the first has come back. So an outage holds one thread for each work, however long it lasts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Enough to keep a disk or a name server busy; each thread costs a stack and an allocator's heap.
const AT_ONCE: usize = 16;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It did not come back in time. The work goes on, its result is dropped.
    TooSlow,
    /// Work of this name that was too slow has not come back yet.
    StillStuck,
    /// It panicked, or the process is ending.
    Died,
}

/// Says that work is over when it is dropped.
struct Back(Arc<AtomicBool>);

impl Drop for Back {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `work` on a thread that may block, and waits for it for `patience` from when its turn has come. `name` tells
/// it from all other work.
pub(crate) async fn offload<T, F>(name: &str, patience: Duration, work: F) -> Result<T, Lost>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let Ok(_turn) = TURNS.acquire().await else { return Err(Lost::Died) };
    run(name, patience, work).await
}

/// The same for whoever has a bound of its own on how much runs at a time.
pub(crate) async fn run<T, F>(name: &str, patience: Duration, work: F) -> Result<T, Lost>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if STUCK.holds(name) {
        return Err(Lost::StillStuck);
    }
    let is_back = Arc::new(AtomicBool::new(false));
    let back = Back(Arc::clone(&is_back));
    let work = move || {
        let result = work();
        // Also where it has broken down.
        drop(back);
        result
    };
    match timeout(patience, spawn_blocking(work)).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Lost::Died),
        Err(_) => {
            STUCK.add(name, is_back);
            Err(Lost::TooSlow)
        }
    }
}

/// Work that was too slow, and whether it has come back since.
struct Stuck(Mutex<Option<HashMap<String, Arc<AtomicBool>>>>);

static STUCK: Stuck = Stuck(Mutex::new(None));

impl Stuck {
    fn add(&self, name: &str, is_back: Arc<AtomicBool>) {
        let mut works = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        works.get_or_insert_default().insert(name.to_owned(), is_back);
    }

    fn holds(&self, name: &str) -> bool {
        let mut works = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(works) = works.as_mut() else { return false };
        works.retain(|_, is_back| !is_back.load(Ordering::Acquire));
        works.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::testing::block_on;

    #[test]
    fn stuck_work_is_given_up_and_not_begun_again_until_it_is_back() {
        let (release, wait) = mpsc::channel::<()>();
        let (back, is_back) = mpsc::channel::<()>();
        block_on(async {
            let patience = Duration::from_millis(1);
            let stuck = move || {
                // Ends when the test lets go of the other end.
                let _ = wait.recv();
                drop(back);
            };
            assert_eq!(offload("stuck", patience, stuck).await, Err(Lost::TooSlow));
            assert_eq!(offload("stuck", patience, || ()).await, Err(Lost::StillStuck));
            let patience = Duration::from_secs(60);
            assert_eq!(offload("other", patience, || 7).await, Ok(7));
            drop(release);
            assert!(is_back.recv().is_err(), "the work has ended");
            while offload("stuck", patience, || 8).await != Ok(8) {
                tokio::task::yield_now().await;
            }
        });
    }
}
