//! What a configuration file means, once it has been found to be right.
//!
//! Owns the checked values: no text is left to be parsed, no default left to be filled in. Knows nothing of YAML.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dataplane::{IoChoice, OnRotation, ServerTls, Timeouts};
use protocol::{ChannelBinding, CleartextPassword, ClientTls, Protocol, Secret};

use super::place::Place;
use crate::providers::Kind;

/// A whole file.
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// Our own settings.
    pub broker: BrokerConfig,
    /// The services, in the order of their names.
    pub services: Vec<ServiceConfig>,
    /// Those that cannot be started, in the order of their names. A file that is to be served has none.
    pub unserved: Vec<UnservedConfig>,
    /// The stores that the file gives a name, each behind those that it needs itself.
    pub stores: Vec<StoreConfig>,
}

/// The section `broker:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Worker threads.
    pub workers: usize,
    /// What they move bytes with.
    pub io: IoChoice,
    /// Where health and metrics are served; `None` for `admin: off`.
    pub admin: Option<SocketAddr>,
    /// How long open sessions may go on after a stop was asked for.
    pub drain_timeout: Duration,
    /// Sessions over all services.
    pub sessions_max: u32,
}

/// One service.
pub struct ServiceConfig {
    /// Its name: log field, metric label.
    pub name: String,
    /// Where it stands in the file.
    pub place: Place,
    /// What it speaks.
    pub protocol: &'static dyn Protocol,
    /// Where it listens.
    pub listen_on: ListenOn,
    /// What its credential is made of, in the order of the values' names.
    pub credentials: Vec<CredentialConfig>,
    /// Sessions it may have.
    pub sessions_max: u32,
    /// Its deadlines.
    pub timeouts: Timeouts,
    /// Whether the broker is unready without its credential.
    pub required: bool,
    /// What becomes of open sessions when the target has accepted a newer credential.
    pub on_rotation: OnRotation,
    /// How often values are asked for whose store does not say when they change; `None` for `refresh: off`.
    pub refresh: Option<Duration>,
    /// How long values serve beyond the moment when they should have been fetched again, while the store fails.
    pub stale_max: Duration,
    /// The longest pause after a fetch that failed.
    pub failure_pause_max: Duration,
    /// How long a session whose credential was refused waits for a better one.
    pub rotation_grace: Duration,
    /// What belongs to its connector.
    pub connector: ConnectorConfig,
    /// Whether its clients speak inside TLS.
    pub client_tls: ClientTlsConfig,
}

/// A service that is right as far as it goes, and cannot be started.
pub struct UnservedConfig {
    /// Its name.
    pub name: String,
    /// What it is to speak: a word that is known, if only as one that is not built.
    pub connector: String,
    /// Where it is to listen, if the file says so.
    pub listen_on: Option<ListenOn>,
    /// How it is to show who it is.
    pub authentication: Vec<AuthenticationConfig>,
    /// What its credential is made of, in the order of the values' names.
    pub credentials: Vec<CredentialConfig>,
    /// The headers that its `config:` has a value for.
    pub headers: Vec<String>,
    /// What is missing.
    pub reason: String,
}

/// One entry of `authentication:`.
pub struct AuthenticationConfig {
    /// What it is.
    pub kind: AuthenticationKind,
    /// What it is made of.
    pub values: Vec<CredentialConfig>,
}

/// What an entry of `authentication:` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationKind {
    /// A token that is asked for with a client's own credentials.
    OAuth2,
    /// A header of every request.
    Header,
}

/// A service's `config:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectorConfig {
    /// Where its password may be sent in clear, if the file says so.
    pub cleartext_password: Option<CleartextPassword>,
    /// What its target must prove.
    pub channel_binding: ChannelBinding,
    /// Whether its target's RSA key is trusted because it came over the same line.
    pub allow_public_key_retrieval: bool,
    /// Whether its client and its target may agree on compression.
    pub compression: bool,
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self {
            cleartext_password: None,
            channel_binding: ChannelBinding::default(),
            allow_public_key_retrieval: false,
            compression: true,
        }
    }
}

/// TLS towards the clients of a service.
#[derive(Clone, Default)]
pub struct ClientTlsConfig {
    /// When.
    pub mode: ClientTls,
    /// What they are shown; without it, the certificate of the process.
    pub shown: Option<ServerTls>,
}

/// Where a service listens: a listener's identity over reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenOn {
    /// A TCP address. An unspecified IPv6 address takes IPv4 too.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Who may connect.
        access: SocketAccess,
    },
}

impl fmt::Display for ListenOn {
    /// As the file has it, with names resolved: `tcp://127.0.0.1:5432`, `unix:///run/x.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Owner, group and mode of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketAccess {
    /// User id, or ours.
    pub owner: Option<u32>,
    /// Group id, or ours.
    pub group: Option<u32>,
    /// Permission bits; 0o660 unless the file says otherwise.
    pub mode: u32,
}

/// A store of secrets.
pub struct StoreConfig {
    /// What credentials call it: `from: NAME`.
    pub name: String,
    /// Where it stands in the file.
    pub place: Place,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// What it is told about itself.
    pub settings: Vec<CredentialConfig>,
}

/// Where one value of a credential comes from.
pub struct CredentialConfig {
    /// The value's name: `username`, `password`, `host`, …
    pub name: String,
    /// Where it stands in the file.
    pub place: Place,
    /// Whether its literal is another text than what is written, as yaml.v2 reads it.
    pub is_rewritten: bool,
    /// The variables of the environment that its literal was made of.
    pub variables: Vec<String>,
    /// Who has it.
    pub source: Source,
}

/// Who has a value.
pub enum Source {
    /// The file itself.
    Literal(Secret),
    /// A store.
    Provider {
        /// Its name.
        store: String,
        /// What it is.
        kind: &'static dyn Kind,
        /// What to ask it for.
        id: String,
        /// For `file`: keep a trailing newline.
        raw: bool,
    },
    /// A provider that the Go broker had and we do not: fails at use, with this name in the words.
    Unknown(String),
}
