//! What the black-box tests stand on: real servers and clients, obtained and started.
//!
//! [`obtain`] brings what cargo does not; [`postgres`] and [`mysql`] start servers, [`openbao`] a secret store,
//! [`web_server`] an HTTP server, [`broker`] the broker; [`jwt`] signs tokens; [`wait`] waits for conditions. The tests themselves are under `tests/`, the README's two commands under `bin/`.

#![expect(
    clippy::panic,
    reason = "a panic is how a helper of tests fails, with words for whoever reads them"
)]

pub mod broker;
pub mod certificates;
pub mod failure;
pub mod http;
pub mod interrupt;
pub mod jwt;
pub mod memory;
pub mod mysql;
pub mod obtain;
pub mod openbao;
pub mod places;
pub mod ports;
pub mod postgres;
pub mod pretend;
pub mod process;
pub mod psql;
pub mod say;
pub mod unprivileged;
pub mod vault;
pub mod wait;
pub mod web_server;
pub mod wire;
