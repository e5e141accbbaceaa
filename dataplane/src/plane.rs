//! The data plane as the control plane sees it: a handle on all workers.
//!
//! Owns the worker threads and both ends of their queues. Knows no session.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::Generation;
use rustix::io::Errno;

use crate::context::{Context, EntropySource, Parts, Shared};
use crate::driver::{Driver, IoChoice, IoInUse, IoReason, RingError};
use crate::io::{Epoll, Io, Uring};
use crate::jobs::{JobClient, KeyThread};
use crate::mailbox::{ListenerId, ListenerMail, Mail, Queue, Report, SessionRef, Verdict};
use crate::snapshot::{OnRotation, ServiceId, Snapshot};
use crate::tls::SystemRoots;
use crate::worker::Worker;

/// How to start the data plane.
pub struct Settings {
    /// How many workers: one thread and one driver each.
    pub workers: usize,
    /// Which driver.
    pub io: IoChoice,
    /// How many sessions the process may have, over all services.
    pub sessions_max: u32,
    /// Certificates of the system's trusted roots, DER, for services that verify without roots of their own.
    pub system_roots: Vec<Vec<u8>>,
    /// Whether [`Report::Ended`] is wanted.
    pub report_sessions: bool,
}

/// Why the data plane could not start: one line that names the likely cause and the remedy.
#[derive(Debug)]
pub enum StartError {
    /// A ring was demanded, and the kernel refuses it.
    Ring(RingError),
    /// A thread, an eventfd or a pool could not be had.
    Resources(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(refused) => {
                write!(f, "{refused}; or let it run on epoll with `io: auto` or `io: epoll`")
            }
            Self::Resources(error) => {
                write!(f, "cannot start the workers: {error}")?;
                match Errno::from_io_error(error) {
                    Some(Errno::MFILE) => {
                        f.write_str(": raise RLIMIT_NOFILE (LimitNOFILE= in systemd, ulimits in containers)")
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for StartError {}

/// What the pipes and large buffers of all workers may hold together, in bytes: twice as many and a user without
/// privileges gets pipes of a single page for a while (pipe(7), `pipe-user-pages-soft`).
const CONDUITS_MAX: usize = 32 * 1024 * 1024;

/// All workers. Dropping it stops them.
pub struct Dataplane {
    workers: Vec<WorkerHandle>,
    io: IoInUse,
    reports: Arc<Queue<Report>>,
    shared: Arc<Shared>,
    started: Instant,
    /// Dropped last: workers hand jobs to it.
    keys: KeyThread,
}

struct WorkerHandle {
    mailbox: Arc<Queue<Mail>>,
    heartbeat: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Dataplane {
    /// Starts the workers, all on the same driver. They accept nothing yet.
    pub fn start(mut settings: Settings) -> Result<Self, StartError> {
        let roots = SystemRoots::new(std::mem::take(&mut settings.system_roots));
        let start_on = |driver, reason| Self::start_on(IoInUse { driver, reason }, &settings, &roots);
        match settings.io {
            IoChoice::Uring => start_on(Driver::Uring, IoReason::Configured),
            IoChoice::Epoll => start_on(Driver::Epoll, IoReason::Configured),
            // A later worker may be refused what the first one got: then all change over.
            IoChoice::Auto => match start_on(Driver::Uring, IoReason::Available) {
                Err(StartError::Ring(refused)) => start_on(Driver::Epoll, IoReason::Refused(refused)),
                started => started,
            },
        }
    }

    fn start_on(io: IoInUse, settings: &Settings, roots: &SystemRoots) -> Result<Self, StartError> {
        let keys = KeyThread::start().map_err(StartError::Resources)?;
        let connections = settings.sessions_max as usize + 4096;
        let reports = Arc::new(Queue::new(connections.min(1 << 16)).map_err(StartError::Resources)?);
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| StartError::Resources(io::Error::other(error)))?;
        let shared = Arc::new(Shared {
            sessions_max: settings.sessions_max,
            sessions: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            next_request: AtomicU64::new(u64::from_ne_bytes(seed)),
            report_sessions: settings.report_sessions,
        });
        let mut plane = Self { workers: Vec::new(), io, reports, shared, started: Instant::now(), keys };
        for index in 0..settings.workers {
            let mailbox = Arc::new(Queue::new(connections.min(1 << 16)).map_err(StartError::Resources)?);
            let seed = Seed {
                index,
                workers: settings.workers,
                mailbox: Arc::clone(&mailbox),
                reports: Arc::clone(&plane.reports),
                shared: Arc::clone(&plane.shared),
                heartbeat: Arc::new(AtomicU64::new(0)),
                started: plane.started,
                jobs: plane.keys.client(),
                roots: roots.clone(),
            };
            let heartbeat = Arc::clone(&seed.heartbeat);
            let (answer, started) = mpsc::sync_channel(1);
            let driver = plane.io.driver;
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || seed.run(driver, &answer))
                .map_err(StartError::Resources)?;
            plane.workers.push(WorkerHandle { mailbox, heartbeat, thread: Some(thread) });
            match started.recv() {
                Ok(outcome) => outcome?,
                Err(_) => return Err(StartError::Resources(io::Error::other("a worker died at its start"))),
            }
        }
        Ok(plane)
    }

    /// Which driver the workers run on, and why.
    pub fn io(&self) -> &IoInUse {
        &self.io
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Puts `snapshot` in force: every connection accepted after this returns sees it or a newer one, and every
    /// session that waits for a credential or an address looks at it.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        self.tell_all(|| Mail::Snapshot(Arc::clone(snapshot)));
    }

    /// Accepts on `listener`, on all workers. Its service must have been published before.
    pub fn listen(&self, listener: &ListenerMail) {
        self.tell_all(|| Mail::Listen(listener.clone()));
    }

    /// Serves what is queued on the listener, then lets go of it: [`Report::Retired`] comes from each worker.
    /// No new connection may reach the socket any more when this is called.
    pub fn retire(&self, listener: ListenerId) {
        self.tell_all(|| Mail::Retire(listener));
    }

    /// Answers [`Report::PermissionWanted`] and [`Report::Refused`].
    pub fn verdict(&self, session: SessionRef, verdict: Verdict) {
        if let Some(worker) = self.workers.get(session.worker) {
            worker.tell(Mail::Verdict { session, verdict });
        }
    }

    /// Says that the target of `service` has accepted the credential `newer`, and what becomes of its open sessions that began
    /// with an earlier one.
    pub fn outdate(&self, service: ServiceId, newer: Generation, then: OnRotation) {
        self.tell_all(|| Mail::Outdated { service, newer, then });
    }

    /// Says that the end of the sessions is waited for: those whose target is gone end now, and from now on at once.
    pub fn drain(&self) {
        self.tell_all(|| Mail::Drain);
    }

    /// Ends every handshake and session, each with a farewell where its protocol has one.
    pub fn close_sessions(&self) {
        self.tell_all(|| Mail::CloseSessions);
    }

    /// The next report of any worker, or `None` if there is none at the moment.
    pub fn next_report(&self) -> Option<Report> {
        self.reports.pop()
    }

    /// Readable when reports may have come. Call [`Dataplane::begin_wait`] before waiting for it, and
    /// [`Dataplane::end_wait`] after.
    pub fn reports_fd(&self) -> BorrowedFd<'_> {
        self.reports.wake_fd()
    }

    /// Says that the caller is about to wait for [`Dataplane::reports_fd`]; `false` if reports are there.
    pub fn begin_wait(&self) -> bool {
        self.reports.prepare_to_sleep()
    }

    /// The caller waits no longer.
    pub fn end_wait(&self) {
        self.reports.on_awake();
        self.reports.clear_wake();
    }

    /// When each worker last went round its loop; an idle worker does so at least every second.
    pub fn heartbeats(&self) -> Vec<Instant> {
        let at = |worker: &WorkerHandle| {
            self.started + Duration::from_millis(worker.heartbeat.load(Ordering::Relaxed))
        };
        self.workers.iter().map(at).collect()
    }

    /// Connections that exist now, handshakes and farewells included, over all workers.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed) as usize
    }

    /// Stops the workers and waits for their threads. Sessions that are still open are cut.
    pub fn stop(self) {
        drop(self);
    }

    fn tell_all(&self, mail: impl Fn() -> Mail) {
        for worker in &self.workers {
            worker.tell(mail());
        }
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        self.tell_all(|| Mail::Stop);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A panic over there has been printed; there is nothing to add here.
                let _ = thread.join();
            }
        }
    }
}

impl WorkerHandle {
    /// Puts mail into the worker's box. It is larger than what can be under way, so a full one means a worker that has
    /// been stuck for long: the caller, who has nothing better to do, waits for it.
    fn tell(&self, mut mail: Mail) {
        while let Err(refused) = self.mailbox.push(mail) {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return;
            }
            mail = refused;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a worker is made of, on its own thread: a driver belongs to the thread that made it.
struct Seed {
    index: usize,
    workers: usize,
    mailbox: Arc<Queue<Mail>>,
    reports: Arc<Queue<Report>>,
    shared: Arc<Shared>,
    heartbeat: Arc<AtomicU64>,
    started: Instant,
    jobs: JobClient,
    roots: SystemRoots,
}

impl Seed {
    fn run(self, driver: Driver, answer: &mpsc::SyncSender<Result<(), StartError>>) {
        let conduits_max = CONDUITS_MAX / self.workers;
        match driver {
            Driver::Uring => self.run_on(Uring::new(conduits_max).map_err(StartError::Ring), answer),
            Driver::Epoll => {
                let io = Epoll::new(conduits_max).map_err(|error| StartError::Resources(error.into()));
                self.run_on(io, answer);
            }
        }
    }

    fn run_on<I: Io>(self, io: Result<I, StartError>, answer: &mpsc::SyncSender<Result<(), StartError>>) {
        let io = match io {
            Ok(io) => io,
            Err(refused) => return drop(answer.send(Err(refused))),
        };
        let parts = Parts {
            worker: self.index,
            shared: self.shared,
            jobs: self.jobs,
            roots: self.roots,
            reports: self.reports,
            mailbox: self.mailbox,
            entropy: EntropySource::new(),
        };
        let mut worker = Worker::new(Context::new(io, parts), self.heartbeat, self.started);
        if answer.send(Ok(())).is_ok() {
            worker.run();
        }
    }
}
