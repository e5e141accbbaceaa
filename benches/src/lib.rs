//! What the benches of the hot paths have in common.

pub mod commands;
pub mod handshake;
