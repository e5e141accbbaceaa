//! What is sealed in a vault, damaged or hostile: it is refused, or read and written as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| controlplane::vault_file::contents_for_fuzz(bytes));
