//! Real MySQL and MariaDB servers, what talks to them, and the suites that drivers have of their own.
//!
//! [`shared`] gives a running server, [`Server::user`] an account on it, [`Endpoint`] says how to get there, and
//! [`Client`] and [`drivers`] go. An endpoint may as well be the broker.

mod account;
mod client;
pub mod drivers;
mod endpoint;
mod installation;
mod server;
mod shared;
pub mod suites;
pub mod wire;

pub use account::{Account, Plugin};
pub use client::{Client, Tool, sysbench};
pub use endpoint::{Encryption, Endpoint};
pub use installation::{Installation, Kind};
pub use server::{Options, Server};
pub use shared::{Which, not_run, shared};
