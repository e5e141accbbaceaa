//! Work that may block, taken off the control plane's thread.
//!
//! Owns the bound on how many such works run at a time and how long anybody waits for one. A file system or a
//! resolver that does not answer holds a thread; it never holds the control plane, nor the others' turn: whoever
//! has waited too long gives the turn back although the thread is still stuck.

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
    /// It panicked, or the process is ending.
    Died,
}

/// Runs `work` on a thread that may block, and waits for it for `patience` from when its turn has come.
pub(crate) async fn offload<T, F>(patience: Duration, work: F) -> Result<T, Lost>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let Ok(_turn) = TURNS.acquire().await else { return Err(Lost::Died) };
    match timeout(patience, spawn_blocking(work)).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Lost::Died),
        Err(_) => Err(Lost::TooSlow),
    }
}
