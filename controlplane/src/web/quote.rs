//! What must not be quoted.
//!
//! Owns the look for a secret in words that come from elsewhere.

use protocol::Secret;

/// Whether a part of `secret` stands in `words`: nobody knows what a store quotes, or what answers in its place.
pub(crate) fn quotes(words: &str, secret: &Secret) -> bool {
    secret.expose(|secret| {
        let length = secret.len().clamp(1, QUOTE_BYTES);
        secret.windows(length).any(|part| words.as_bytes().windows(length).any(|there| there == part))
    })
}

/// What is said in the place of such words.
pub(crate) const QUOTED: &str = "What it says quotes what we have sent, and is not shown";

/// Less of a long secret is found in any text, and helps nobody.
const QUOTE_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_noticed_however_it_is_cut() {
        let secret = |text: &str| Secret::from_heap(text.as_bytes().to_vec());
        let long = secret("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJicm9rZXIifQ.c2lnbmF0dXJl");
        assert!(quotes("invalid token eyJhbGciOiJFUzI1", &long));
        assert!(!quotes("invalid token eyJhbGciO", &long));
        assert!(quotes("no user with hunter2", &secret("hunter2")));
        assert!(!quotes("no user with hunter", &secret("hunter2")));
        assert!(!quotes("anything", &secret("")));
    }
}
