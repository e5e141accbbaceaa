//! The data plane as the control plane sees it: a handle on all workers.
//!
//! Owns the worker threads and both ends of their queues. Knows no session.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use crate::mailbox::{ListenerId, ListenerMail, Report, SessionRef};
use crate::snapshot::Snapshot;

/// How to start the data plane.
pub struct Settings {
    /// How many workers: one thread and one ring each.
    pub workers: usize,
    /// How many sessions the process may have, over all services.
    pub sessions_max: u32,
    /// Certificates of the system's trusted roots, DER, for services that verify without roots of their own.
    pub system_roots: Vec<Vec<u8>>,
}

/// Why the data plane could not start: one line that names the likely cause and the remedy.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refuses a ring.
    Ring {
        /// What it said.
        error: io::Error,
        /// What is the likely reason, and what helps.
        cause: String,
    },
    /// A thread, an eventfd or a pool could not be had.
    Resources(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring { error, cause } => write!(f, "io_uring is not available ({error}): {cause}"),
            Self::Resources(error) => write!(f, "cannot start the workers: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// All workers. Dropping it stops them.
pub struct Dataplane {}

impl Dataplane {
    /// Starts the workers. They accept nothing yet.
    pub fn start(_settings: Settings) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        unimplemented!()
    }

    /// Puts `snapshot` in force: every connection accepted after this returns sees it or a newer one, and every
    /// session that waits for a credential or an address looks at it.
    pub fn publish(&self, _snapshot: &Arc<Snapshot>) {
        unimplemented!()
    }

    /// Accepts on `listener`, on all workers. Its service must have been published before.
    pub fn listen(&self, _listener: &ListenerMail) {
        unimplemented!()
    }

    /// Serves what is queued on the listener, then lets go of it: [`Report::Retired`] comes from each worker.
    /// No new connection may reach the socket any more when this is called.
    pub fn retire(&self, _listener: ListenerId) {
        unimplemented!()
    }

    /// Answers [`Report::Refused`]: with `retry`, the session tries again with the credential of the newest
    /// published snapshot; without, the target's own words go to its client.
    pub fn verdict(&self, _session: SessionRef, _retry: bool) {
        unimplemented!()
    }

    /// Ends every handshake and session, each with a farewell where its protocol has one.
    pub fn close_sessions(&self) {
        unimplemented!()
    }

    /// The next report of any worker, or `None` if there is none at the moment.
    pub fn next_report(&self) -> Option<Report> {
        unimplemented!()
    }

    /// Readable when reports may have come. Call [`Dataplane::begin_wait`] before waiting for it.
    pub fn reports_fd(&self) -> BorrowedFd<'_> {
        unimplemented!()
    }

    /// Says that the caller is about to wait for [`Dataplane::reports_fd`]; `false` if reports are there.
    pub fn begin_wait(&self) -> bool {
        unimplemented!()
    }

    /// When each worker last went round its loop; an idle worker does so at least every second.
    pub fn heartbeats(&self) -> Vec<Instant> {
        unimplemented!()
    }

    /// Connections that exist now, handshakes and farewells included, over all workers.
    pub fn connections(&self) -> usize {
        unimplemented!()
    }

    /// Stops the workers and waits for their threads. Sessions that are still open are cut.
    pub fn stop(self) {
        unimplemented!()
    }
}
