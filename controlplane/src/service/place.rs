//! Where a service's target is.
//!
//! Owns what its credential says about that, and the addresses that are known of the host's name.

use std::net::SocketAddr;
use std::time::Instant;

use dataplane::Address;
use protocol::Destination;

use super::ServiceState;
use crate::endpoints::Place;
use crate::resolve::{Names, numeric};

impl ServiceState {
    /// Finds out where the target is, as far as that is known now. Whether that is news.
    pub(crate) fn find_target(&mut self, names: &mut Names, now: Instant) -> bool {
        let Some(credential) = &self.credential else { return false };
        let place = match self.options.protocol.destination(credential) {
            Err(error) => Place::Failed(error),
            Ok(Destination::Unix(path)) => {
                self.endpoints.replace(vec![Address::Unix(path.into())], now);
                Place::Here
            }
            Ok(Destination::Tcp { host, port }) => match numeric(&host) {
                Some(ip) => {
                    self.endpoints.replace(vec![Address::Tcp(SocketAddr::new(ip, port))], now);
                    Place::Here
                }
                None => {
                    self.place = Place::Named { host, port };
                    return self.on_name(names, now);
                }
            },
        };
        self.place = place;
        true
    }

    /// Something else may be known of the host's name. Whether that is news for this service.
    pub(crate) fn on_name(&mut self, names: &mut Names, now: Instant) -> bool {
        let Place::Named { host, port } = &self.place else { return false };
        match names.resolution(host, now) {
            Some(Ok(addresses)) => {
                let at_port = |address: &SocketAddr| {
                    let mut address = *address;
                    address.set_port(*port);
                    Address::Tcp(address)
                };
                self.endpoints.replace(addresses.iter().map(at_port).collect(), now);
            }
            Some(Err(_)) | None => {
                self.endpoints.replace(Vec::new(), now);
            }
        }
        true
    }

    /// The name of the target's host, if it has to be resolved.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Named { host, .. } => Some(host),
            Place::Unknown | Place::Failed(_) | Place::Here => None,
        }
    }

    /// Forgets addresses that nobody needs. Whether there were any.
    pub(crate) fn prune(&mut self, now: Instant) -> bool {
        self.endpoints.prune(now)
    }
}
