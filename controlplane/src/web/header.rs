//! Headers that hold secrets.
//!
//! Owns their memory, which is wiped, and what a token must look like to be in one.

use bytes::Bytes;
use ureq::http::HeaderValue;
use zeroize::Zeroizing;

/// A header whose memory is wiped, and which prints as nothing.
pub(crate) fn secret_header(bytes: &[u8]) -> Option<HeaderValue> {
    let owned = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
    let mut value = HeaderValue::from_maybe_shared(owned).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether `bytes` can be a token: it goes into a header.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

/// Vault's tokens of batches are JSON in disguise, and still far shorter.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
