//! TLS towards the target.
//!
//! Owns what sessions are made from: settings are built from a credential's PEM values by the first session that needs
//! them, and shared by all later ones of that credential. Does no I/O.

mod errors;
mod identity;
mod session;
mod settings;
mod verifier;

use std::collections::HashMap;
use std::sync::Arc;

use protocol::tls::TlsPolicy;
use protocol::{Credential, Error, Generation};
use rustls::{ClientConfig, ClientConnection};

pub(crate) use session::TlsSession;
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
        let connection = ClientConnection::new(config, name)
            .map_err(|error| errors::describe(&error, policy.verification))?;
        Ok(Box::new(TlsSession::new(connection, policy.verification)))
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
