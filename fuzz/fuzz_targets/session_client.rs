//! A hostile client whose session has begun. See `protocol::testing::fuzz::session_client`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| protocol::testing::fuzz::session_client(data));
