//! What a worker knows: every service, its credential and its target's addresses, immutable.
//!
//! Owns the values that the control plane publishes. A worker reads its snapshot and never waits for a newer
//! one; whatever changes while a snapshot is in force lies in a [`ServiceRuntime`] of atomics.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use protocol::{Credential, Error, Generation, Protocol, Route, TargetFailed};

use crate::silence::Silence;
use crate::stats::ServiceRuntime;
use crate::tls::ServerTls;

/// Names a service for as long as the process runs; never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// All services as of one moment.
#[derive(Default)]
pub struct Snapshot {
    /// Every service that has a listener or open sessions.
    pub services: BTreeMap<ServiceId, Arc<Service>>,
}

/// One service as of one moment.
pub struct Service {
    /// What does not come from a store: a session keeps this, and nothing else of the service.
    pub options: Arc<ServiceOptions>,
    /// Its credential.
    pub credential: CredentialState,
    /// Where its target is.
    pub target: Target,
    /// Addresses that are not the target's any more but have open sessions: a cancel request may belong there.
    pub lingering: Vec<Arc<Endpoint>>,
}

impl Service {
    /// A service without a credential or a resolved target.
    pub fn new(options: ServiceOptions) -> Self {
        Self {
            options: Arc::new(options),
            credential: CredentialState::Awaited,
            target: Target::Unresolved,
            lingering: Vec::new(),
        }
    }
}

/// What there is of a service's credential.
#[derive(Clone, Default)]
pub enum CredentialState {
    /// The first one has not come: whoever needs it waits.
    #[default]
    Awaited,
    /// There is none, and none will come before its store has changed its mind: whoever needs it waits a little.
    Denied(Arc<Outage>),
    /// None will come: the file names a provider that this broker does not have, or one that will never have it.
    Never,
    /// This one.
    Here(Arc<Credential>),
}

/// A store that does not give a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What the configuration calls it.
    pub store: Arc<str>,
    /// Since when, as text.
    pub since: Arc<str>,
    /// Whether it does not answer at all.
    pub is_silent: bool,
}

impl CredentialState {
    /// Which credential it is.
    pub fn generation(&self) -> Option<Generation> {
        match self {
            Self::Here(credential) => Some(credential.generation()),
            Self::Awaited | Self::Denied(_) | Self::Never => None,
        }
    }
}

/// What a service is, whatever its credential.
pub struct ServiceOptions {
    /// The service.
    pub id: ServiceId,
    /// What it speaks.
    pub protocol: &'static dyn Protocol,
    /// What its handshakes know of it.
    pub route: Arc<Route>,
    /// How many sessions it may have, over all workers.
    pub sessions_max: u32,
    /// Its deadlines.
    pub timeouts: Timeouts,
    /// What its clients are shown in TLS, where its protocol takes them in TLS.
    pub client_tls: Option<ServerTls>,
    /// Counters that outlive the snapshot.
    pub runtime: Arc<ServiceRuntime>,
}

/// What becomes of open sessions when the target has accepted a newer credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRotation {
    /// Nothing.
    #[default]
    Keep,
    /// Each ends when it has moved nothing for a while.
    Drain {
        /// For so long.
        idle: Duration,
        /// At the latest after so long.
        within: Duration,
    },
    /// Each ends.
    Close {
        /// Spread over so long.
        within: Duration,
    },
}

/// How long the stages of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first attempt to connect to the target until one of its addresses took the connection.
    pub dial: Duration,
    /// From accept until both legs are up.
    pub handshake: Duration,
    /// Without a byte in either direction; `None` is no limit.
    pub idle: Option<Duration>,
}

/// Where a service's target is.
pub enum Target {
    /// Not known yet: the credential or the resolver's answer is awaited.
    Unresolved,
    /// It cannot be known: the credential names no usable place, or the name does not resolve.
    Failed(Error),
    /// All its addresses, to be tried in order. Never empty.
    Resolved(Vec<Arc<Endpoint>>),
}

impl From<TargetFailed> for Target {
    fn from(cause: TargetFailed) -> Self {
        Self::Failed(cause.into())
    }
}

/// One address of a target. The same address of the same service is the same `Endpoint` in every snapshot for
/// as long as sessions are open on it, so that they can be found.
pub struct Endpoint {
    /// The address.
    pub address: Address,
    sessions: AtomicU32,
    pub(crate) silence: Silence,
}

impl Endpoint {
    /// An address that no session uses yet.
    pub fn new(address: Address) -> Self {
        Self { address, sessions: AtomicU32::new(0), silence: Silence::default() }
    }

    /// How many sessions are open on it.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Whether it does not answer, so that it is dialled every few seconds only.
    pub fn is_left_alone(&self) -> bool {
        self.silence.is_left_alone()
    }

    pub(crate) fn on_open(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_close(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A resolved address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6, and a port.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As the Go broker's users know it from its errors: `tcp 127.0.0.1:5432`, `unix /run/x.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
        }
    }
}
