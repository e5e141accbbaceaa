//! A hostile target. See `protocol::testing::fuzz::handshake_target`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| protocol::testing::fuzz::handshake_target(data));
