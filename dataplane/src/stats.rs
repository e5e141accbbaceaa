//! Counters: each worker writes its own, anybody reads and adds.
//!
//! Owns the one-writer atomics. A counter is never contended: a worker loads and stores, relaxed, without a
//! locked instruction. The exception is the number of open sessions, which limits need to be true over all
//! workers; it changes twice a connection.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use protocol::{Error, Generation};

/// A number that one thread counts up.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the counter's worker may call this.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The number, as of some moment not long ago.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the histograms' buckets, in seconds; a last bucket takes the rest.
pub const BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How long something took, by worker. Its memory exists once it was used.
#[derive(Default)]
pub struct Histogram(OnceLock<Box<HistogramCounts>>);

#[derive(Default)]
struct HistogramCounts {
    buckets: [Counter; BUCKETS.len() + 1],
    sum_ns: Counter,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let counts = self.0.get_or_init(Box::default);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        counts.buckets[bucket].add(1);
        counts.sum_ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// What one worker counts of one service.
#[derive(Default)]
pub struct WorkerStats {
    /// Connections accepted.
    pub opened: Counter,
    /// Connections that have ended, in whatever way.
    pub closed: Counter,
    /// Sessions whose handshake succeeded.
    pub established: Counter,
    /// Connections that failed, by cause: the order of [`Error::LABELS`].
    pub failed: [Counter; Error::LABELS.len()],
    /// Connections whose target was left in the middle of its handshake.
    pub abandoned: Counter,
    /// Sessions that were ended because their credential had been replaced.
    pub recycled: Counter,
    /// Bytes relayed from clients to the target.
    pub bytes_to_target: Counter,
    /// Bytes relayed from the target to clients.
    pub bytes_to_client: Counter,
    /// Connecting to the target.
    pub dial: Histogram,
    /// From accept until both legs were up.
    pub handshake: Histogram,
}

impl WorkerStats {
    pub(crate) fn on_failed(&self, error: &Error) {
        let label = error.label();
        if let Some(index) = Error::LABELS.iter().position(|known| *known == label) {
            self.failed[index].add(1);
        }
    }
}

/// What lives as long as a service does, whatever its credential and options.
pub struct ServiceRuntime {
    /// Sessions that count towards the service's limit, over all workers.
    sessions: AtomicU32,
    /// The credential that may be proven without asking, as its generation; 0 is none. Services of one name share it:
    /// no two have a generation in common.
    open: AtomicU64,
    /// Handshakes in which the target was left in the middle, since the last one that succeeded.
    abandoned: AtomicU32,
    workers: Box<[CachePadded<WorkerStats>]>,
}

/// A histogram's counts over all workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramTotals {
    /// Counts per bucket of [`BUCKETS`], not cumulative; the last one is of what was longer.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// The sum of everything recorded, in seconds.
    pub sum_seconds: f64,
}

/// A service's counters over all workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceTotals {
    /// See [`WorkerStats::opened`].
    pub opened: u64,
    /// See [`WorkerStats::closed`].
    pub closed: u64,
    /// See [`WorkerStats::established`].
    pub established: u64,
    /// See [`WorkerStats::failed`].
    pub failed: [u64; Error::LABELS.len()],
    /// See [`WorkerStats::abandoned`].
    pub abandoned: u64,
    /// See [`WorkerStats::recycled`].
    pub recycled: u64,
    /// See [`WorkerStats::bytes_to_target`].
    pub bytes_to_target: u64,
    /// See [`WorkerStats::bytes_to_client`].
    pub bytes_to_client: u64,
    /// See [`WorkerStats::dial`].
    pub dial: HistogramTotals,
    /// See [`WorkerStats::handshake`].
    pub handshake: HistogramTotals,
}

impl ServiceRuntime {
    /// Counters for `workers` workers.
    pub fn new(workers: usize) -> Self {
        Self {
            sessions: AtomicU32::new(0),
            open: AtomicU64::new(0),
            abandoned: AtomicU32::new(0),
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Lets every session prove this credential without asking ([`crate::Report::PermissionWanted`]), or none any.
    pub fn set_open(&self, generation: Option<Generation>) {
        self.open.store(generation.map_or(0, |generation| generation.0), Ordering::Relaxed);
    }

    /// Whether a session may prove this credential without asking.
    pub(crate) fn is_open(&self, generation: Generation) -> bool {
        self.open.load(Ordering::Relaxed) == generation.0
    }

    /// The target was left in the middle of its handshake.
    pub(crate) fn on_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// A handshake has succeeded: the target has forgotten those that did not.
    pub(crate) fn on_established(&self) {
        if self.abandoned.load(Ordering::Relaxed) > 0 {
            self.abandoned.store(0, Ordering::Relaxed);
        }
    }

    /// How many handshakes in a row have left the target in the middle.
    pub(crate) fn abandoned(&self) -> u32 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Sessions that are open now, over all workers.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Takes one of `max` places; `false` if all are taken.
    pub(crate) fn admit(&self, max: u32) -> bool {
        self.sessions
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < max).then_some(open + 1))
            .is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// The counters of one worker.
    ///
    /// # Panics
    /// If there are not so many workers.
    pub fn worker(&self, worker: usize) -> &WorkerStats {
        &self.workers[worker]
    }

    /// The counters, added over all workers.
    pub fn totals(&self) -> ServiceTotals {
        let mut totals = ServiceTotals::default();
        for worker in &self.workers {
            totals.opened += worker.opened.get();
            totals.closed += worker.closed.get();
            totals.established += worker.established.get();
            totals.abandoned += worker.abandoned.get();
            totals.recycled += worker.recycled.get();
            totals.bytes_to_target += worker.bytes_to_target.get();
            totals.bytes_to_client += worker.bytes_to_client.get();
            for (total, counter) in totals.failed.iter_mut().zip(&worker.failed) {
                *total += counter.get();
            }
            totals.dial.add(&worker.dial);
            totals.handshake.add(&worker.handshake);
        }
        totals
    }
}

impl HistogramTotals {
    /// How many times something was recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn add(&mut self, histogram: &Histogram) {
        let Some(counts) = histogram.0.get() else { return };
        for (total, counter) in self.buckets.iter_mut().zip(&counts.buckets) {
            *total += counter.get();
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 ns are a hundred days of handshakes; f64 is the wire form"
        )]
        {
            self.sum_seconds += counts.sum_ns.get() as f64 / 1e9;
        }
    }
}
