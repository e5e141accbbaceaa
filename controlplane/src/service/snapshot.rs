//! A service as the data plane knows it.
//!
//! Owns what workers are told of a credential that is not there, and of a target that is not known.

use std::sync::Arc;
use std::time::Instant;

use dataplane::{CredentialState, Service, ServiceOptions, Target};
use protocol::TargetFailed;

use super::ServiceState;
use crate::endpoints::Place;
use crate::resolve::Names;

impl ServiceState {
    /// The service as of now.
    pub(crate) fn snapshot(&self, names: &mut Names, now: Instant) -> Arc<Service> {
        let options = &self.options;
        let mut service = Service::new(ServiceOptions {
            id: self.id,
            protocol: options.protocol,
            route: Arc::clone(&options.route),
            sessions_max: options.sessions_max,
            timeouts: options.timeouts,
            client_tls: options.client_tls.clone(),
            runtime: Arc::clone(&self.runtime),
        });
        service.credential = match self.in_force.and_then(|generation| self.generation(generation)) {
            Some(credential) => CredentialState::Here(Arc::clone(credential)),
            None if self.is_hopeless => CredentialState::Never,
            None => self.outage.clone().map_or(CredentialState::Awaited, CredentialState::Denied),
        };
        service.target = match &self.place {
            _ if self.credential.is_none() => Target::Unresolved,
            Place::Unknown => Target::Unresolved,
            Place::Failed(error) => Target::Failed(error.clone()),
            Place::Here => Target::Resolved(self.endpoints.present()),
            Place::Named { host, .. } => match names.resolution(host, now) {
                None => Target::Unresolved,
                Some(Ok(_)) => Target::Resolved(self.endpoints.present()),
                Some(Err(reason)) => TargetFailed::Name { host: host.clone(), reason: reason.clone() }.into(),
            },
        };
        service.lingering = self.endpoints.lingering();
        Arc::new(service)
    }
}
