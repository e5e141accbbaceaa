//! What a value of an HTTP server is called in the file: it is taken apart, or refused with words, and leads to no other host.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| controlplane::providers::http_id_for_fuzz(text));
