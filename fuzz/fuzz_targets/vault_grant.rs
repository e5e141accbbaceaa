//! A secret store's answers to logins and renewals, damaged or hostile: there is a token of bounded size, or there are bounded
//! words.
//!
//! The first byte chooses the status, and the rest is the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 8] = [200, 400, 401, 403, 404, 429, 500, 503];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    controlplane::providers::vault_grant_for_fuzz(STATUSES[usize::from(*first) % STATUSES.len()], body);
});
