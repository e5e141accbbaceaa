//! Ways to prove knowledge of a password, shared by protocols.

pub(crate) mod caching_sha2;
pub mod channel_binding;
pub(crate) mod client_ed25519;
pub(crate) mod md5;
pub(crate) mod mysql_native;
pub mod parsec;
pub mod rsa;
mod saslprep;
pub mod scram;
