//! A secret store's answers, damaged or hostile: there is a value of bounded size, or there are bounded words.
//!
//! The first byte chooses the status, the line behind it is the field that is looked for, and the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 8] = [200, 204, 400, 403, 404, 429, 500, 503];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let field = String::from_utf8_lossy(&rest[..end]);
    let body = rest.get(end + 1..).unwrap_or_default();
    controlplane::providers::vault_answer_for_fuzz(STATUSES[usize::from(*first) % STATUSES.len()], &field, body);
});
