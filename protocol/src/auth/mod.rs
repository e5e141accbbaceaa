//! Ways to prove knowledge of a password, shared by protocols.

pub mod channel_binding;
pub(crate) mod md5;
mod saslprep;
pub mod scram;
