//! Black-box tests: real clients and real servers on loopback, with the broker between them.
//!
//! One program, for linking is what takes time. Each file is one subject.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is how tests fail; the lints know only test functions"
)]

mod cancel;
mod client_encryption;
mod clients;
mod copy;
mod doubles;
mod drivers;
mod encryption;
mod failures;
mod health;
mod http_store;
mod io;
mod limits;
mod load;
mod loss;
mod matrix;
mod memory;
mod memory_kinds;
mod mysql;
mod mysql_async_driver;
mod mysql_servers;
mod mysql_suites;
mod openbao;
mod openbao_servers;
mod program;
mod reload;
mod rotation;
mod rotation_storm;
mod secrecy;
mod servers;
mod sessions;
mod shutdown;
mod sockets;
mod stores;
mod support;
mod vault;
mod vault_crashes;
