//! What a worker's sessions share.
//!
//! Owns the worker's view of the world: its driver, its snapshot, its clock and its caches. Holds no session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use protocol::{Entropy, Error, Generation, RequestId, Side};

use crate::failures::{CancelRate, DialPace, FailureLog};
use crate::io::Io;
use crate::jobs::JobClient;
use crate::mailbox::{Mail, Queue, Report};
use crate::products::{Products, Proofs};
use crate::snapshot::{OnRotation, Service, ServiceId, ServiceOptions, Snapshot};
use crate::stats::WorkerStats;
use crate::timers::Timers;
use crate::tls::{SystemRoots, TlsCache};

/// What is taken at once of a stream that is encrypted or decrypted: a few of the largest records. It stays in the cache
/// of a core, and is what a sink that stops reading leaves to be kept.
const SCRATCH_LEN: usize = 48 * 1024;

/// What all workers share: a few numbers, no lock.
pub(crate) struct Shared {
    /// Sessions that the process may have.
    pub(crate) sessions_max: u32,
    /// Sessions that count towards it.
    pub(crate) sessions: AtomicU32,
    /// Connections of any kind, farewells included.
    pub(crate) connections: AtomicU32,
    /// Where request ids begin; random, so that two runs do not use the same.
    pub(crate) next_request: AtomicU64,
    /// Whether ends of sessions are reported.
    pub(crate) report_sessions: bool,
}

impl Shared {
    /// Takes a place for one session; `false` if all are taken.
    pub(crate) fn admit(&self) -> bool {
        let max = self.sessions_max;
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < max).then_some(open + 1))
            .is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request id that no other connection of this run has.
    pub(crate) fn request_id(&self) -> RequestId {
        // An odd multiplier permutes 64-bit numbers: ids look unrelated and never repeat.
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// What a worker's sessions share.
pub(crate) struct Context<I> {
    pub(crate) io: I,
    /// Which worker this is.
    pub(crate) worker: usize,
    /// The time at which this round began.
    pub(crate) now: Instant,
    /// Counts the turns: a send of this round may still turn out short.
    pub(crate) round: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) timers: Timers,
    /// Legs that have something to hand to the kernel before the next turn.
    pub(crate) dirty: Vec<(u32, Side)>,
    /// Legs to look at when the turn is over: a finish or a retry waits for its sends.
    pub(crate) settling: Vec<(u32, Side)>,
    /// Legs whose receive found no buffer: all buffers are back when the turn is over.
    pub(crate) starved: Vec<(u32, Side)>,
    /// Directions that have more to move at once, after everybody's turn.
    pub(crate) hot: Vec<(u32, Side)>,
    /// Directions that are left to gather more, and until when; in this order.
    pub(crate) gathering: VecDeque<(Instant, u32, Side)>,
    /// Legs whose ciphertext waits for the next round.
    pub(crate) behind: Vec<(u32, Side)>,
    /// Sessions that wait for something of the snapshot.
    pub(crate) parked: BTreeSet<u32>,
    /// What was said last of each service's earlier credentials: a login under way may still end with one.
    pub(crate) outdated: BTreeMap<ServiceId, (Generation, OnRotation)>,
    pub(crate) products: Products,
    pub(crate) tls: TlsCache,
    pub(crate) proofs: Proofs,
    pub(crate) failures: FailureLog,
    pub(crate) cancels: CancelRate,
    pub(crate) pace: DialPace,
    pub(crate) reports: Arc<Queue<Report>>,
    /// Reports that must not be lost and found the queue full.
    pub(crate) unsent: VecDeque<Report>,
    /// Whether the broker waits for its sessions to end.
    pub(crate) draining: bool,
    pub(crate) mailbox: Arc<Queue<Mail>>,
    pub(crate) entropy: EntropySource,
    /// Where a piece of a stream is taken to, to be encrypted or decrypted. Nothing in it outlives the step that took it.
    pub(crate) scratch: Box<[u8]>,
}

/// What a worker is given at its start.
pub(crate) struct Parts {
    /// Which worker it is.
    pub(crate) worker: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: JobClient,
    pub(crate) roots: SystemRoots,
    pub(crate) reports: Arc<Queue<Report>>,
    pub(crate) mailbox: Arc<Queue<Mail>>,
    pub(crate) entropy: EntropySource,
}

impl<I: Io> Context<I> {
    /// What a worker that knows nothing yet begins with.
    pub(crate) fn new(io: I, parts: Parts) -> Self {
        Self {
            worker: parts.worker,
            now: io.now(),
            io,
            round: 1,
            snapshot: Arc::default(),
            shared: parts.shared,
            timers: Timers::default(),
            dirty: Vec::new(),
            settling: Vec::new(),
            starved: Vec::new(),
            hot: Vec::new(),
            gathering: VecDeque::new(),
            behind: Vec::new(),
            parked: BTreeSet::new(),
            outdated: BTreeMap::new(),
            products: Products::new(parts.jobs),
            tls: TlsCache::new(parts.roots),
            proofs: Proofs::default(),
            failures: FailureLog::default(),
            cancels: CancelRate::default(),
            pace: DialPace::default(),
            reports: parts.reports,
            unsent: VecDeque::new(),
            draining: false,
            mailbox: parts.mailbox,
            entropy: parts.entropy,
            scratch: vec![0; SCRATCH_LEN].into_boxed_slice(),
        }
    }

    /// The service as of now, or `None` if it is gone.
    pub(crate) fn service(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.snapshot.services.get(&id)
    }

    /// Tells the control plane; `false` if the queue is full and the report is lost.
    pub(crate) fn report(&self, report: Report) -> bool {
        self.reports.push(report).is_ok()
    }

    /// Tells the control plane something that nothing else would tell it. A worker keeps what finds no room: that is one
    /// for each listener, and for each session that the control plane knows of.
    pub(crate) fn report_surely(&mut self, report: Report) {
        self.unsent.push_back(report);
        self.report_unsent();
    }

    /// Tries again to tell what found no room.
    pub(crate) fn report_unsent(&mut self) {
        while let Some(report) = self.unsent.pop_front() {
            if let Err(report) = self.reports.push(report) {
                return self.unsent.push_front(report);
            }
        }
    }

    /// Counts and reports a failed connection.
    pub(crate) fn on_failed(&mut self, service: &ServiceOptions, request_id: RequestId, error: &Error) {
        self.stats(service).on_failed(error);
        if let Some(suppressed) = self.failures.admit(service.id, error, self.now) {
            self.report(Report::Failed { service: service.id, request_id, error: error.clone(), suppressed });
        }
    }

    /// This worker's counters of `service`.
    pub(crate) fn stats<'a>(&self, service: &'a ServiceOptions) -> &'a WorkerStats {
        service.runtime.worker(self.worker)
    }
}

/// Random bytes for handshakes, a page at a time.
pub(crate) struct EntropySource {
    bytes: [u8; 4096],
    used: usize,
    /// Fills a page; `false` if there is nothing to be had.
    refill: fn(&mut [u8]) -> bool,
}

impl EntropySource {
    /// From the kernel.
    pub(crate) fn new() -> Self {
        Self::of(|page| getrandom::fill(page).is_ok())
    }

    /// From `refill`.
    pub(crate) fn of(refill: fn(&mut [u8]) -> bool) -> Self {
        Self { bytes: [0; 4096], used: 4096, refill }
    }

    /// 32 bytes that nobody else gets, or `None` if the kernel gives none.
    pub(crate) fn draw(&mut self) -> Option<[u8; 32]> {
        if self.used + 32 > self.bytes.len() {
            if !(self.refill)(&mut self.bytes) {
                return None;
            }
            self.used = 0;
        }
        let drawn = &mut self.bytes[self.used..self.used + 32];
        let entropy = <[u8; 32]>::try_from(&*drawn).expect("the slice has 32 bytes");
        drawn.fill(0);
        self.used += 32;
        Some(entropy)
    }

    /// For both halves of a handshake.
    pub(crate) fn draw_pair(&mut self) -> Option<Entropy> {
        Some(Entropy { client: self.draw()?, target: self.draw()? })
    }
}
