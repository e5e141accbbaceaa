//! What tests, fuzz targets and benches share: a driver in memory, transcripts, a server that knows the password.
//!
//! Owns nothing that runs in production: it is compiled for tests and under the feature `testing` only.

mod cut;
mod driver;
pub mod fuzz;
mod play;
mod scram_server;
mod step;
mod transcript;
mod wire;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::{CleartextPassword, Credential, Generation, Route, Secret};

pub use cut::Cut;
pub use driver::{Driver, describe};
pub use scram_server::ScramServer;
pub use transcript::Transcript;
pub use wire::{Wire, hex, wire};

/// A credential of the first generation.
pub fn credential(fields: &[(&str, &[u8])]) -> Arc<Credential> {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).into(), Secret::from_heap(value.to_vec()))).collect();
    Arc::new(Credential::new(Generation(1), fields))
}

/// The service `books`.
pub fn route(cleartext_password: CleartextPassword) -> Arc<Route> {
    Arc::new(Route { cleartext_password: Some(cleartext_password), ..Route::new("books".into()) })
}
