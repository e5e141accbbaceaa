//! What the control plane and the workers tell each other, over one lock-free queue per worker and direction.
//!
//! Owns the messages, the queues and the wake-ups. A worker never waits on a queue; whoever sleeps is woken
//! through an eventfd, which is written only then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use protocol::work::Product;
use protocol::{Credential, Error, Generation, RequestId};
use rustix::event::{EventfdFlags, eventfd};

use crate::jobs::JobId;
use crate::snapshot::{OnRotation, ServiceId, Snapshot};

/// Names a listener for as long as the process runs; never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// A bound, listening socket and the service behind it. All workers share it.
#[derive(Clone)]
pub struct ListenerMail {
    /// The listener.
    pub id: ListenerId,
    /// Whose connections it takes.
    pub service: ServiceId,
    /// The listening socket, non-blocking.
    pub socket: Arc<OwnedFd>,
}

/// Names one session of one worker, and no later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionRef {
    /// The worker, counted from 0.
    pub worker: usize,
    pub(crate) slot: u32,
    pub(crate) request_id: RequestId,
}

/// To a worker.
pub(crate) enum Mail {
    /// From now on this is what you know.
    Snapshot(Arc<Snapshot>),
    /// Accept on this listener.
    Listen(ListenerMail),
    /// Serve what is queued on this listener, then let go of it.
    Retire(ListenerId),
    /// What a session may do with its credential.
    Verdict { session: SessionRef, verdict: Verdict },
    /// What came of a job of this worker's sessions.
    Computed { job: JobId, product: Arc<Product> },
    /// The target has accepted this credential: what becomes of open sessions that began with an earlier one.
    Outdated { service: ServiceId, newer: Generation, then: OnRotation },
    /// The broker waits for its sessions to end.
    Drain,
    /// Say farewell to every handshake and session, and end when none is left.
    CloseSessions,
    /// End, at once.
    Stop,
}

/// What a session may do that asked, or that was refused.
pub enum Verdict {
    /// Prove the credential that it has.
    Proceed,
    /// Try again on a new connection, with this credential.
    Retry(Arc<Credential>),
    /// Give up: its client is told what the target said, to this session or earlier to another.
    GiveUp(Option<Arc<[u8]>>),
}

/// A refusal by the target.
pub struct Refusal {
    /// Whose credential.
    pub service: ServiceId,
    /// Which one.
    pub generation: Generation,
    /// Who waits.
    pub session: SessionRef,
    /// Whether the target blamed the credential itself (PostgreSQL's 28P01), not only the session.
    pub certain: bool,
    /// The target's own words, in its protocol.
    pub words: Option<Arc<[u8]>>,
}

/// From a worker.
pub enum Report {
    /// A session waits for a credential that has not come.
    CredentialWanted(ServiceId),
    /// A session is about to prove a generation that is not known to work; it waits for
    /// [`crate::Dataplane::verdict`].
    PermissionWanted {
        /// Whose credential.
        service: ServiceId,
        /// Which one.
        generation: Generation,
        /// Who waits.
        session: SessionRef,
    },
    /// A session that was told to proceed or to try again has ended without an answer from the target.
    Abandoned {
        /// Whose credential.
        service: ServiceId,
        /// Which session.
        session: SessionRef,
    },
    /// The target refused a credential; the session waits for [`crate::Dataplane::verdict`].
    Refused(Refusal),
    /// The target accepted this generation.
    Proven {
        /// Whose credential.
        service: ServiceId,
        /// Which one.
        generation: Generation,
        /// Who proved it.
        session: SessionRef,
        /// When it began to prove it: a success says nothing about what happened before.
        attempt_began: Instant,
    },
    /// No address of the target took a connection: its name may have to be resolved again.
    DialFailed(ServiceId),
    /// The worker has let go of the listener.
    Retired(ListenerId),
    /// A listener takes no connections for this reason; it tries again by itself.
    AcceptPaused(ListenerId, String),
    /// A listener takes connections again.
    AcceptResumed(ListenerId),
    /// A listener is dead: its socket gives an error that will not go away.
    ListenerDead(ListenerId, String),
    /// A connection failed: a line for the log, at most a few a second for the same cause of the same service.
    Failed {
        /// Whose connection.
        service: ServiceId,
        /// Which connection.
        request_id: RequestId,
        /// Why.
        error: Error,
        /// How many like it were not reported since the last one.
        suppressed: u64,
    },
    /// A session has begun, and there is something to say about it.
    Remark {
        /// Whose session.
        service: ServiceId,
        /// Which session.
        request_id: RequestId,
        /// See [`protocol::Handshake::remark`].
        remark: &'static str,
    },
    /// A session that had been established has ended; sent only if [`crate::Settings::report_sessions`].
    Ended {
        /// Whose session.
        service: ServiceId,
        /// Which session.
        request_id: RequestId,
        /// From accept to the end.
        lasted: Duration,
        /// Bytes relayed from the client to the target.
        to_target: u64,
        /// Bytes relayed from the target to the client.
        to_client: u64,
        /// The target's TLS session did not end by the target's word.
        cut_off: bool,
    },
}

/// One direction between one worker and the control plane.
pub(crate) struct Queue<T> {
    items: ArrayQueue<T>,
    /// Whether the reader sleeps, or is about to: it looks into the queue once more after setting it.
    asleep: AtomicBool,
    wake: OwnedFd,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { items: ArrayQueue::new(capacity), asleep: AtomicBool::new(false), wake })
    }

    /// Appends `item` and wakes the reader if it sleeps; gives the item back if the queue is full.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let pushed = self.items.push(item);
        self.wake();
        pushed
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    /// Wakes the reader if it sleeps.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `prepare_to_sleep`: either we see `asleep`, or the reader sees our item.
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::Relaxed) {
            // EAGAIN would mean that the counter is full: then it is readable, which is all we want.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// Says that the reader is about to wait for [`Queue::wake_fd`]; `false` if it must not, for the queue is
    /// not empty.
    pub(crate) fn prepare_to_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.items.is_empty() {
            return true;
        }
        self.asleep.store(false, Ordering::Relaxed);
        false
    }

    /// Ends a sleep: the reader is awake and will look into the queue.
    pub(crate) fn on_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Takes the wake-ups that have arrived, so that the descriptor is no longer readable.
    pub(crate) fn clear_wake(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }

    /// Readable when the reader was woken.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
