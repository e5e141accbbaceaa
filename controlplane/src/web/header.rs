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

/// What is wrong with `bytes` as a token. The words follow a setting's name.
pub(crate) fn token(bytes: &[u8]) -> Result<(), &'static str> {
    let has_scheme = bytes.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
    match bytes {
        [] => Err("is empty"),
        _ if has_scheme => Err("is written without `Bearer`"),
        _ if is_token(bytes) => Ok(()),
        _ => Err("is no token"),
    }
}

/// Vault's tokens of batches are JSON in disguise, and still far shorter.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
