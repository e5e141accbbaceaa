//! Ways to prove knowledge of a password, shared by protocols.

pub mod channel_binding;
mod md5;
pub mod scram;
