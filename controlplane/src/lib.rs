//! The control plane: everything that may wait.
//!
//! One thread reads the configuration, fetches credentials, resolves names, answers health and metrics, and tells
//! the data plane what to know. It never sees a connection's bytes.

pub mod cli;
pub mod config;
pub mod diagnostics;
mod offload;
pub mod providers;
pub mod terminal;
#[cfg(test)]
mod testing;
