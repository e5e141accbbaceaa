//! A hostile certificate. See `protocol::testing::fuzz::certificate_hash`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| protocol::testing::fuzz::certificate_hash(data));
