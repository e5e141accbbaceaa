//! The data plane between real sockets, over each driver.

#![expect(clippy::unwrap_used, reason = "a test says what failed by failing")]

#[macro_use]
mod support;
mod bulk;
mod client_tls;
mod memory;
mod outdated;
mod relay;
mod tls;
mod watched;
