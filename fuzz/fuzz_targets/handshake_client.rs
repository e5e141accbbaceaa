//! A hostile client. See `protocol::testing::fuzz::handshake_client`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| protocol::testing::fuzz::handshake_client(data));
