//! SCRAM (RFC 5802, RFC 7677), the client's side.
//!
//! Owns the exchange and the keys. Derivation is split off because it is slow: [`ScramDerivation`] travels to a
//! key thread, [`ScramKeys`] come back and are cached.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::{Credential, Secret};

/// What keys are derived from: a job for a thread that may take its time.
pub struct ScramDerivation {
    /// Where the password lies: its field `password`.
    pub credential: Arc<Credential>,
    /// The server's salt.
    pub salt: Box<[u8]>,
    /// How often to hash; never above [`crate::limits::SCRAM_ITERATIONS_MAX`].
    pub iterations: u32,
}

/// `ClientKey` and `ServerKey` of RFC 5802 section 3: enough to prove and to verify, without the password.
pub struct ScramKeys {
    pub(crate) client_key: Secret,
    pub(crate) server_key: Secret,
}
