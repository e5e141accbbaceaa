//! The data plane: one worker thread per core, one ring or epoll set each, from accept to the last byte.
//!
//! The control plane starts it, tells it what to know ([`Dataplane::publish`]) and where to listen
//! ([`Dataplane::listen`]), and reads what it reports ([`Dataplane::next_report`]). Nothing in here waits for
//! anything but its driver.

mod alone;
mod backlog;
mod ciphertext;
mod closing;
mod context;
mod driver;
mod encryption;
mod events;
mod failures;
mod gear;
mod handshake;
mod input;
mod io;
mod jobs;
mod leg;
mod listener;
mod mailbox;
mod outdated;
mod patience;
mod plane;
mod products;
mod proof;
mod relay;
mod rsa;
mod session;
mod silence;
#[cfg(test)]
mod simulation;
mod snapshot;
mod stats;
mod target;
mod timers;
mod tls;
mod watching;
mod worker;

pub use driver::{Driver, IoChoice, IoInUse, IoReason, RingError, RingRefusal};
pub use mailbox::{ListenerId, ListenerMail, Refusal, Report, SessionRef, Verdict};
pub use plane::{Dataplane, Settings, StartError};
pub use snapshot::{
    Address, CredentialState, Endpoint, OnRotation, Outage, Service, ServiceId, ServiceOptions, Snapshot,
    Target, Timeouts,
};
pub use stats::{BUCKETS, Counter, Histogram, HistogramTotals, ServiceRuntime, ServiceTotals, WorkerStats};
pub use tls::{ServerTls, any_certificate};

pub use io::environment::take_variable;
pub use io::region::{Protection, Unprotected};
pub use io::secret_arena::{SecretArena, SecretBytes};
pub use io::socket::refuse_new_connections;
pub use io::wiping::Wiping;
