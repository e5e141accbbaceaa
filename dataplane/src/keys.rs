//! The key thread: derivations that are too slow for a worker.
//!
//! Owns the thread and its queue. A worker hands in a job and goes on; the keys come back through its mailbox.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};

use crossbeam_queue::ArrayQueue;
use protocol::auth::scram::ScramDerivation;

use crate::mailbox::{Mail, Queue};

/// Names a job of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyJobId(pub(crate) u64);

/// One derivation and who waits for it.
pub(crate) struct KeyJob {
    pub(crate) id: KeyJobId,
    pub(crate) derivation: ScramDerivation,
    pub(crate) reply_to: Arc<Queue<Mail>>,
}

/// A worker's way to the key thread.
#[derive(Clone)]
pub(crate) struct KeyClient {
    jobs: Arc<Jobs>,
    thread: Thread,
}

struct Jobs {
    queue: ArrayQueue<KeyJob>,
    stopping: AtomicBool,
}

impl KeyClient {
    /// Hands a job in; gives it back if the queue is full.
    pub(crate) fn submit(&self, job: KeyJob) -> Result<(), KeyJob> {
        self.jobs.queue.push(job)?;
        self.thread.unpark();
        Ok(())
    }
}

/// The thread. Dropping it stops it after the job that it works on.
pub(crate) struct KeyThread {
    client: KeyClient,
    thread: Option<JoinHandle<()>>,
}

impl KeyThread {
    /// Jobs that may wait: a job is a credential and a salt, so this is far more than services that start at once.
    const QUEUE: usize = 4096;

    pub(crate) fn start() -> io::Result<Self> {
        let jobs = Arc::new(Jobs { queue: ArrayQueue::new(Self::QUEUE), stopping: AtomicBool::new(false) });
        let theirs = Arc::clone(&jobs);
        let thread = thread::Builder::new().name("keys".into()).spawn(move || run(&theirs))?;
        Ok(Self { client: KeyClient { jobs, thread: thread.thread().clone() }, thread: Some(thread) })
    }

    pub(crate) fn client(&self) -> KeyClient {
        self.client.clone()
    }
}

impl Drop for KeyThread {
    fn drop(&mut self) {
        self.client.jobs.stopping.store(true, Ordering::Release);
        self.client.thread.unpark();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

fn run(jobs: &Jobs) {
    while !jobs.stopping.load(Ordering::Acquire) {
        let Some(job) = jobs.queue.pop() else {
            thread::park();
            continue;
        };
        let keys = Arc::new(job.derivation.derive());
        // A full mailbox drops the keys: the sessions that wait for them meet their deadline.
        let _ = job.reply_to.push(Mail::Keys { job: job.id, keys });
    }
}
