//! The registry: every protocol the broker speaks.
//!
//! Configuration, metric labels, fragmentation tests and fuzz targets walk [`ALL`].

mod postgres;

use crate::Protocol;

/// Every protocol, in the order of the documentation.
pub static ALL: &[&dyn Protocol] = &[&postgres::Postgres];

/// The protocol that the configuration calls `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Protocol> {
    ALL.iter().copied().find(|protocol| protocol.name() == name)
}
