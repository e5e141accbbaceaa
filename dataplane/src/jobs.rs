//! The key thread: work that is too slow for a worker.
//!
//! Owns the thread and its queue. A worker hands in a job and goes on; what came of it comes back through its mailbox.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use protocol::work::Work;

use crate::io::secret_arena::SecretArena;
use crate::mailbox::{Mail, Queue};
use crate::rsa;
use crate::snapshot::ServiceId;

/// Names a job of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobId(pub(crate) u64);

/// One piece of work and who waits for it.
pub(crate) struct Job {
    pub(crate) id: JobId,
    /// For whose sessions.
    pub(crate) service: ServiceId,
    pub(crate) work: Work,
    pub(crate) reply_to: Arc<Queue<Mail>>,
}

/// A worker's way to the key thread.
#[derive(Clone)]
pub(crate) struct JobClient {
    jobs: Arc<Jobs>,
    thread: Thread,
}

struct Jobs {
    queue: ArrayQueue<Job>,
    stopping: AtomicBool,
}

impl JobClient {
    /// A way to nobody: the jobs that were handed in are whoever's that asks for them.
    #[cfg(test)]
    pub(crate) fn detached() -> (Self, impl FnMut() -> Option<Job>) {
        let jobs =
            Arc::new(Jobs { queue: ArrayQueue::new(KeyThread::QUEUE), stopping: AtomicBool::new(false) });
        let theirs = Arc::clone(&jobs);
        (Self { jobs, thread: thread::current() }, move || theirs.queue.pop())
    }

    /// Hands a job in; gives it back if the queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        self.jobs.queue.push(job)?;
        self.thread.unpark();
        Ok(())
    }
}

/// The thread. Dropping it stops it after the job that it works on.
pub(crate) struct KeyThread {
    client: JobClient,
    thread: Option<JoinHandle<()>>,
}

impl KeyThread {
    /// Jobs that may wait: a job is a credential and a salt, so this is far more than services that start at once.
    const QUEUE: usize = 4096;

    pub(crate) fn start() -> io::Result<Self> {
        let jobs = Arc::new(Jobs { queue: ArrayQueue::new(Self::QUEUE), stopping: AtomicBool::new(false) });
        let theirs = Arc::clone(&jobs);
        let thread = thread::Builder::new().name("keys".into()).spawn(move || run(&theirs))?;
        Ok(Self { client: JobClient { jobs, thread: thread.thread().clone() }, thread: Some(thread) })
    }

    pub(crate) fn client(&self) -> JobClient {
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
    let mut turns = Turns::default();
    while !jobs.stopping.load(Ordering::Acquire) {
        while turns.len < KeyThread::QUEUE
            && let Some(job) = jobs.queue.pop()
        {
            turns.add(job);
        }
        let Some(job) = turns.next() else {
            thread::park();
            continue;
        };
        let product = Arc::new(job.work.perform(rsa::encrypt, |key| SecretArena::of_process().secret(key)));
        let mut mail = Mail::Computed { job: job.id, product };
        // Sessions wait for this, and a worker empties its mailbox each round.
        while let Err(refused) = job.reply_to.push(mail) {
            if jobs.stopping.load(Ordering::Acquire) {
                return;
            }
            mail = refused;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Jobs that wait, by service: each service has its turn, so that a target that asks for many iterations, or for
/// another salt each time, makes its own sessions wait and nobody else's.
#[derive(Default)]
struct Turns {
    /// The service whose turn it is comes first. No service is without a job.
    services: VecDeque<(ServiceId, VecDeque<Job>)>,
    len: usize,
}

impl Turns {
    fn add(&mut self, job: Job) {
        self.len += 1;
        match self.services.iter_mut().find(|(service, _)| *service == job.service) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.services.push_back((job.service, VecDeque::from([job]))),
        }
    }

    fn next(&mut self) -> Option<Job> {
        let (service, mut jobs) = self.services.pop_front()?;
        let job = jobs.pop_front()?;
        self.len -= 1;
        if !jobs.is_empty() {
            self.services.push_back((service, jobs));
        }
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::auth::scram::ScramDerivation;
    use protocol::{Credential, Generation};

    use super::*;

    fn job(service: u32, id: u64) -> Job {
        let credential = Arc::new(Credential::new(Generation(1), BTreeMap::new()));
        let work = Work::Scram(ScramDerivation { credential, salt: Box::new([]), iterations: 1 });
        let reply_to = Arc::new(Queue::new(1).expect("an eventfd"));
        Job { id: JobId(id), service: ServiceId(service), work, reply_to }
    }

    #[test]
    fn a_service_with_many_jobs_does_not_hold_up_another() {
        let mut turns = Turns::default();
        for id in 0..3 {
            turns.add(job(1, id));
        }
        turns.add(job(2, 3));
        let order: Vec<u64> = std::iter::from_fn(|| turns.next()).map(|job| job.id.0).collect();
        assert_eq!(order, [0, 3, 1, 2]);
        assert_eq!(turns.len, 0);
    }
}
