//! Whether a credential can be sent at all.
//!
//! Owns the comparison with the one before: what was no use already is no reason to keep it.

use protocol::{Credential, Protocol};

/// Why `credential` cannot be used, if `known` can.
pub(super) fn unfit(
    protocol: &dyn Protocol,
    known: Option<&Credential>,
    credential: &Credential,
) -> Option<String> {
    let fatal = |credential| {
        let doubts = protocol.check(credential).into_iter();
        doubts.filter(|doubt| doubt.is_fatal).map(|doubt| doubt.words).collect::<Vec<_>>()
    };
    let known = fatal(known?);
    fatal(credential).into_iter().find(|words| !known.contains(words))
}
