//! A hostile SCRAM server. See `protocol::testing::fuzz::scram_server_messages`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| protocol::testing::fuzz::scram_server_messages(data));
