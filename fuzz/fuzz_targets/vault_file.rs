//! A file in the place of a vault, by somebody without its key: it is refused, and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| controlplane::vault_file::file_for_fuzz(bytes));
