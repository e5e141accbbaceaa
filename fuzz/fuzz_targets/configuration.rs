//! A configuration file, damaged or hostile: it is loaded, or every error in it is reported, and nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(report) = controlplane::config::parse_for_fuzz(bytes) {
        assert!(!report.to_string().is_empty(), "a refusal says why");
    }
});
