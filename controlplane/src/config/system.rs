//! What a configuration may ask of the machine it is read on.
//!
//! Owns the seam: reading the same bytes without asking anything is [`System::NONE`], for fuzzing.

use std::net::{SocketAddr, ToSocketAddrs};

use super::accounts;

/// The questions.
pub(super) struct System {
    /// The addresses of a name, and a port beside each.
    pub(super) resolve: fn(&str, u16) -> Vec<SocketAddr>,
    /// The id of a user.
    pub(super) user_id: fn(&str) -> Option<u32>,
    /// The id of a group.
    pub(super) group_id: fn(&str) -> Option<u32>,
}

impl System {
    /// This machine.
    pub(super) const REAL: Self = Self { resolve, user_id: accounts::user_id, group_id: accounts::group_id };

    /// A machine that knows no name.
    pub(super) const NONE: Self = Self { resolve: |_, _| Vec::new(), user_id: |_| None, group_id: |_| None };
}

fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}
