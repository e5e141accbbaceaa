//! The control plane: everything that may wait.
//!
//! One thread reads the configuration, fetches credentials, resolves names, answers health and metrics, and tells
//! the data plane what to know. It never sees a connection's bytes.

mod admin;
mod breaker;
mod certificate;
pub mod cli;
mod clock;
pub mod config;
mod control;
pub mod diagnostics;
mod endpoints;
mod environment;
mod fetch;
mod fetch_counts;
mod fetch_error;
mod leases;
mod listeners;
mod listening;
mod logging;
mod offload;
mod online;
mod options;
mod os_words;
mod process;
mod prompt;
pub mod providers;
mod publish;
mod reload;
mod resolve;
mod rotation;
mod run;
mod secret_command;
mod service;
mod settings;
mod start;
mod stop;
mod store;
mod stores;
pub mod terminal;
#[cfg(test)]
mod testing;
mod timers;
mod unix_socket;
mod values;
pub mod vault_file;
mod watch;
mod web;

pub use start::main;
