//! What a service is, whatever its values.

use std::sync::Arc;

use dataplane::{OnRotation, ServerTls, Timeouts};
use protocol::{Protocol, Route};

use crate::certificate;
use crate::config::ServiceConfig;
use crate::rotation::Rules;

/// What a service's file entry says, but for its sources.
#[derive(Clone)]
pub(crate) struct Options {
    pub name: String,
    pub protocol: &'static dyn Protocol,
    pub route: Arc<Route>,
    pub sessions_max: u32,
    pub timeouts: Timeouts,
    pub client_tls: Option<ServerTls>,
    pub required: bool,
    pub rules: Rules,
    pub on_rotation: OnRotation,
}

impl Options {
    /// Takes the options out of a file entry.
    pub(crate) fn of(config: &ServiceConfig) -> Self {
        let route = Route {
            service: config.name.clone(),
            cleartext_password: config.connector.cleartext_password,
            channel_binding: config.connector.channel_binding,
            allow_public_key_retrieval: config.connector.allow_public_key_retrieval,
            compression: config.connector.compression,
            client_tls: config.client_tls.mode,
        };
        Self {
            name: config.name.clone(),
            protocol: config.protocol,
            route: Arc::new(route),
            sessions_max: config.sessions_max,
            timeouts: config.timeouts,
            client_tls: certificate::shown_by(config),
            required: config.required,
            on_rotation: config.on_rotation,
            rules: Rules {
                stale_max: config.stale_max,
                failure_pause_max: config.failure_pause_max,
                // A client is told what the target said, not that its time is over.
                grace: config.rotation_grace.min(config.timeouts.handshake / 2),
            },
        }
    }
}
