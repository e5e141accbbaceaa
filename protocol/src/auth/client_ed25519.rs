//! MariaDB's `client_ed25519` (MariaDB documentation, "Authentication Plugin - ed25519").
//!
//! Owns the arithmetic. The password itself stands where Ed25519 (RFC 8032 section 5.1.5) has its 32-byte secret key, so
//! the usual interfaces of signature libraries do not fit.

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

/// What a server challenges with.
pub(crate) const NONCE_LEN: usize = 32;

/// The signature of the nonce under the key that comes of `SHA512(password)`.
pub(crate) fn response(password: &[u8], nonce: &[u8; NONCE_LEN]) -> [u8; 64] {
    let mut hash = Zeroizing::new([0; 64]);
    Sha512::new_with_prefix(password).finalize_into((&mut *hash).into());
    let key = ExpandedSecretKey::from_bytes(&hash);
    raw_sign::<Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::response;
    use crate::testing::wire;

    #[test]
    fn answers_as_the_server_expects() {
        // From the tests of a driver in another language, and recomputed with an independent program.
        let expected = "e83dc93f433f33355649ee23aa7592d61a1123090884f58d3063423a24e43054\
                        73febba858a2f93923554feea76a44753887ab2f140e854f0fe57ca0b0648a0e";
        assert_eq!(response(b"foobar", &[b'A'; 32]), *wire(expected));
    }
}
