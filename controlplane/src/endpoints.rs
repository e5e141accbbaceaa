//! The addresses of one service's target, as lasting objects.
//!
//! Owns their identity: the same address is the same [`Endpoint`] for as long as sessions may be open on it, so that
//! a cancel request finds them, whatever the name resolves to by then. Knows no resolver.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Address, Endpoint};
use protocol::Error;

/// What is known of where the target is.
pub(crate) enum Place {
    Unknown,
    Failed(Error),
    /// The host is waited for, or its addresses are the endpoints.
    Named {
        host: String,
        port: u16,
    },
    Here,
}

/// Every address of a target, present and lingering.
#[derive(Default)]
pub(crate) struct Endpoints {
    known: HashMap<Address, Known>,
    present: Vec<Address>,
}

struct Known {
    endpoint: Arc<Endpoint>,
    /// When it was last among the target's addresses; `None` while it is.
    left_at: Option<Instant>,
}

impl Endpoints {
    /// The target is at `addresses` now. Whether that is a change; the order counts.
    pub(crate) fn replace(&mut self, addresses: Vec<Address>, now: Instant) -> bool {
        if self.present == addresses {
            return false;
        }
        for address in std::mem::replace(&mut self.present, addresses) {
            if let Some(known) = self.known.get_mut(&address) {
                known.left_at = Some(now);
            }
        }
        for address in &self.present {
            let known = self.known.entry(address.clone()).or_insert_with(|| Known {
                endpoint: Arc::new(Endpoint::new(address.clone())),
                left_at: None,
            });
            known.left_at = None;
        }
        true
    }

    /// The target's addresses, in order.
    pub(crate) fn present(&self) -> Vec<Arc<Endpoint>> {
        let known = self.present.iter().filter_map(|address| self.known.get(address));
        known.map(|known| Arc::clone(&known.endpoint)).collect()
    }

    /// Addresses that are not the target's any more, and may have sessions.
    pub(crate) fn lingering(&self) -> Vec<Arc<Endpoint>> {
        let known = self.known.values().filter(|known| known.left_at.is_some());
        known.map(|known| Arc::clone(&known.endpoint)).collect()
    }

    /// Forgets addresses without sessions that have been gone for a while. Whether there were any.
    pub(crate) fn prune(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        // A session that was dialling when the address went opens on it a little later.
        self.known.retain(|_, known| {
            known.endpoint.sessions() > 0 || known.left_at.is_none_or(|left_at| now < left_at + GRACE)
        });
        self.known.len() < before
    }
}

/// Longer than any dial that began with the address.
const GRACE: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<Address> {
        ports.iter().map(|port| Address::Tcp(([127, 0, 0, 1], *port).into())).collect()
    }

    fn ports(endpoints: &[Arc<Endpoint>]) -> Vec<String> {
        endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    #[test]
    fn an_address_that_comes_back_is_the_same_endpoint() {
        let (mut endpoints, now) = (Endpoints::default(), Instant::now());
        assert!(endpoints.replace(addresses(&[1, 2]), now));
        assert!(!endpoints.replace(addresses(&[1, 2]), now));
        let first = Arc::clone(&endpoints.present()[0]);
        assert!(endpoints.replace(addresses(&[2]), now));
        assert_eq!(ports(&endpoints.lingering()), ["tcp 127.0.0.1:1"]);
        assert!(endpoints.replace(addresses(&[2, 1]), now));
        assert!(Arc::ptr_eq(&first, &endpoints.present()[1]));
        assert!(endpoints.lingering().is_empty());
    }

    #[test]
    fn an_address_without_sessions_is_forgotten_after_a_grace() {
        let (mut endpoints, now) = (Endpoints::default(), Instant::now());
        endpoints.replace(addresses(&[1]), now);
        endpoints.replace(addresses(&[2]), now);
        assert!(!endpoints.prune(now + GRACE / 2));
        assert_eq!(endpoints.lingering().len(), 1);
        assert!(endpoints.prune(now + GRACE));
        assert!(endpoints.lingering().is_empty());
        assert_eq!(ports(&endpoints.present()), ["tcp 127.0.0.1:2"]);
    }
}
