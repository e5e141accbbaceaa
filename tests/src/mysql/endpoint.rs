//! How a client gets to a server, or to the broker in front of it.

use std::path::PathBuf;

use super::{Account, Server};
use crate::broker::Listen;

/// What a client does about encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// It asks for none.
    #[default]
    Off,
    /// It insists, and does not look at the certificate.
    On,
    /// It does what it does when nobody tells it.
    Unsaid,
}

/// Where a client connects to, as whom, and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where: a port of 127.0.0.1 or a Unix socket.
    pub listen: Listen,
    /// The user that it asks for: through the broker it does not matter.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<String>,
    /// The database that it asks for.
    pub database: Option<String>,
    /// Encryption.
    pub encryption: Encryption,
    /// What `CURRENT_USER()` must say.
    pub expected_user: String,
}

impl Endpoint {
    /// To this port, as `account`.
    pub fn tcp(port: u16, account: &Account) -> Self {
        Self {
            listen: Listen::Tcp(port),
            user: account.name.clone(),
            password: Some(account.password.clone()).filter(|password| !password.is_empty()),
            database: Some(account.name.clone()),
            encryption: Encryption::Off,
            expected_user: account.current_user(),
        }
    }

    /// To the broker at `listen`, which logs in as `account`: without a password, as somebody else.
    pub fn broker(listen: &Listen, account: &Account) -> Self {
        Self {
            listen: listen.clone(),
            user: "nobody-in-particular".to_owned(),
            password: None,
            ..Self::tcp(0, account)
        }
    }

    /// The administrator's own way in.
    pub(super) fn administrator(server: &Server) -> Self {
        Self {
            listen: Listen::Unix(server.socket()),
            user: "root".to_owned(),
            password: None,
            database: None,
            encryption: Encryption::Off,
            expected_user: "root@localhost".to_owned(),
        }
    }

    /// The same over a Unix socket.
    #[must_use]
    pub fn over_socket(self, socket: impl Into<PathBuf>) -> Self {
        Self { listen: Listen::Unix(socket.into()), ..self }
    }

    /// The same with other encryption.
    #[must_use]
    pub fn encrypted(self, encryption: Encryption) -> Self {
        Self { encryption, ..self }
    }
}
