//! The control plane: everything that may wait.
//!
//! One thread reads the configuration, fetches credentials, resolves names, answers health and metrics, and tells
//! the data plane what to know. It never sees a connection's bytes.

mod offload;
pub mod providers;
#[cfg(test)]
mod testing;
