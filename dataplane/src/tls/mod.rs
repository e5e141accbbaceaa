//! TLS towards either side.
//!
//! Owns what sessions are made from. Towards the target, settings are built from a credential's PEM values by the first
//! session that needs them, and shared by all later ones of that credential; towards clients they come with the service.
//! Does no I/O.

mod errors;
mod identity;
mod server;
mod session;
mod settings;
mod tickets;
mod verifier;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use protocol::tls::TlsPolicy;
use protocol::{Credential, Error, Generation};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection};

pub use server::ServerTls;
pub(crate) use session::TlsSession;
pub(crate) use settings::SystemRoots;
pub use verifier::any_certificate;

use crate::snapshot::ServiceId;
use tickets::{SessionTickets, Tickets};

/// Settings that a worker keeps; more services than that in use at once build theirs anew.
const SETTINGS_MAX: usize = 8192;

/// A worker's TLS settings towards targets, by service.
pub(crate) struct TlsCache {
    roots: SystemRoots,
    settings: HashMap<ServiceId, Settings>,
}

/// What was made for one service, and from what.
struct Settings {
    generation: Generation,
    policy: TlsPolicy,
    config: Result<ClientConfig, Error>,
    tickets: Arc<Tickets>,
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.tickets.end();
    }
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
        now: Instant,
    ) -> Result<Box<TlsSession>, Error> {
        let settings = self.settings(service, credential, policy);
        // A copy counts references up: the certificates, the verifier and the key are shared.
        let mut config = settings.config.clone()?;
        config.resumption = Resumption::store(Arc::new(SessionTickets::new(&settings.tickets, now)));
        let name = settings::server_name(policy)?;
        let connection = ClientConnection::new(Arc::new(config), name)
            .map_err(|error| errors::describe(&error, policy.verification))?;
        let tickets = Arc::clone(&settings.tickets);
        Ok(Box::new(TlsSession::towards_target(connection, policy.verification, tickets)))
    }

    fn settings(&mut self, service: ServiceId, credential: &Credential, policy: &TlsPolicy) -> &Settings {
        let generation = credential.generation();
        let is_known = self
            .settings
            .get(&service)
            .is_some_and(|known| known.generation == generation && known.policy == *policy);
        if !is_known && self.settings.len() >= SETTINGS_MAX {
            self.settings.clear();
        }
        let build = || Settings {
            generation,
            policy: policy.clone(),
            config: settings::build(credential, policy, &self.roots),
            tickets: Arc::default(),
        };
        match self.settings.entry(service) {
            Entry::Occupied(entry) if is_known => entry.into_mut(),
            Entry::Occupied(mut entry) => {
                entry.insert(build());
                entry.into_mut()
            }
            Entry::Vacant(entry) => entry.insert(build()),
        }
    }

    /// Forgets the settings of services and generations that are not in force any more.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId, Generation) -> bool) {
        self.settings.retain(|service, settings| in_force(*service, settings.generation));
    }
}
