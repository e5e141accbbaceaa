//! What a value of a secret store is called in the file: it is taken apart, or refused with words.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| controlplane::providers::vault_id_for_fuzz(text));
