//! An HTTP server's answers, damaged or hostile: there is a value that is in the answer, or there are bounded words.
//!
//! The first byte chooses the status, the line behind it is what is looked for (nothing for all of the answer), and the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 8] = [200, 204, 302, 401, 404, 410, 429, 500];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let part = String::from_utf8_lossy(&rest[..end]);
    let body = rest.get(end + 1..).unwrap_or_default();
    controlplane::providers::http_answer_for_fuzz(STATUSES[usize::from(*first) % STATUSES.len()], &part, body);
});
