//! TLS towards the target.
//!
//! Owns the sessions and what they are made from: settings are built from a credential's PEM values by the first
//! session that needs them, and shared by all later ones of that credential. Does no I/O: ciphertext goes in and out
//! as bytes.

mod errors;
mod identity;
mod settings;
mod verifier;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use protocol::auth::channel_binding;
use protocol::tls::{TlsPeer, TlsPolicy, Verification};
use protocol::{Credential, Error, Generation};
use rustls::{ClientConfig, ClientConnection};

pub(crate) use settings::SystemRoots;

use crate::snapshot::ServiceId;

/// Settings that a worker keeps; more services than that in use at once build theirs anew.
const SETTINGS_MAX: usize = 8192;

/// A worker's TLS settings, by service.
pub(crate) struct TlsCache {
    roots: SystemRoots,
    settings: HashMap<ServiceId, Settings>,
}

/// What was made for one service, and from what.
struct Settings {
    generation: Generation,
    policy: TlsPolicy,
    config: Result<Arc<ClientConfig>, Error>,
}

impl TlsCache {
    pub(crate) fn new(roots: SystemRoots) -> Self {
        Self { roots, settings: HashMap::new() }
    }

    /// A session that has its first message ready.
    pub(crate) fn session(
        &mut self,
        service: ServiceId,
        credential: &Credential,
        policy: &TlsPolicy,
    ) -> Result<Box<TlsSession>, Error> {
        let config = self.config(service, credential, policy)?;
        let name = settings::server_name(policy)?;
        let connection =
            ClientConnection::new(config, name).map_err(|error| errors::describe(&error, policy))?;
        Ok(Box::new(TlsSession { connection, policy: policy.clone(), closed: false }))
    }

    fn config(
        &mut self,
        service: ServiceId,
        credential: &Credential,
        policy: &TlsPolicy,
    ) -> Result<Arc<ClientConfig>, Error> {
        let generation = credential.generation();
        if let Some(known) = self.settings.get(&service)
            && known.generation == generation
            && known.policy == *policy
        {
            return known.config.clone();
        }
        if self.settings.len() >= SETTINGS_MAX {
            self.settings.clear();
        }
        let config = settings::build(credential, policy, &self.roots).map(Arc::new);
        self.settings
            .insert(service, Settings { generation, policy: policy.clone(), config: config.clone() });
        config
    }

    /// Forgets the settings of services and generations that are not in force any more.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId, Generation) -> bool) {
        self.settings.retain(|service, settings| in_force(*service, settings.generation));
    }
}

/// One TLS session.
pub(crate) struct TlsSession {
    connection: ClientConnection,
    policy: TlsPolicy,
    /// The peer has said that it will send nothing more.
    closed: bool,
}

impl TlsSession {
    /// Takes ciphertext in and appends the plaintext that it holds. Answers of the TLS layer itself wait in
    /// [`TlsSession::take_ciphertext`], an alert that says what is wrong included.
    pub(crate) fn decrypt(&mut self, mut ciphertext: &[u8], plaintext: &mut Vec<u8>) -> Result<(), Error> {
        while !ciphertext.is_empty() {
            let taken = self.connection.read_tls(&mut ciphertext);
            if taken.is_err() {
                return Err(errors::malformed());
            }
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What was good before it is the peer's word all the same. It ends with "would block".
                    let _ = self.connection.reader().read_to_end(plaintext);
                    return Err(errors::describe(&error, &self.policy));
                }
            };
            let len = state.plaintext_bytes_to_read();
            if len > 0 {
                let start = plaintext.len();
                plaintext.resize(start + len, 0);
                self.connection
                    .reader()
                    .read_exact(&mut plaintext[start..])
                    .map_err(|_| errors::malformed())?;
            }
            if state.peer_has_closed() {
                self.closed = true;
                break;
            }
        }
        Ok(())
    }

    /// Encrypts `plaintext`; what the TLS layer has to say by itself goes along.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> Bytes {
        self.connection.set_buffer_limit(None);
        // Writing to memory without a limit takes everything.
        let _ = self.connection.writer().write_all(plaintext);
        self.take_ciphertext()
    }

    /// Ciphertext that is to be sent.
    pub(crate) fn take_ciphertext(&mut self) -> Bytes {
        let mut ciphertext = Vec::new();
        while self.connection.wants_write() {
            if !matches!(self.connection.write_tls(&mut ciphertext), Ok(1..)) {
                break;
            }
        }
        Bytes::from(ciphertext)
    }

    /// Says that we will send nothing more.
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the peer has said that it will send nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Who is at the other end, once the handshake is over.
    pub(crate) fn peer(&self) -> Option<TlsPeer> {
        if self.connection.is_handshaking() {
            return None;
        }
        let leaf = self.connection.peer_certificates()?.first()?;
        Some(TlsPeer {
            verified: self.policy.verification != Verification::Nothing,
            end_point: channel_binding::end_point(leaf),
        })
    }
}
