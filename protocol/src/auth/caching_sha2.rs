//! `caching_sha2_password` and `sha256_password` (MySQL documentation, "Caching_sha2_password information").
//!
//! Owns the arithmetic of the fast path, and what is encrypted for a server on the slow one. Whether either may be
//! used is decided elsewhere.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::mysql_native::Nonce;

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)) ‖ nonce)`: unlike in `mysql_native_password` the nonce comes
/// last.
pub(crate) fn response(password: &[u8], nonce: &Nonce) -> Zeroizing<[u8; 32]> {
    let hash = digest(&[password]);
    let stored = digest(&[&*hash]);
    let mut response = digest(&[&*stored, nonce]);
    for (byte, secret) in response.iter_mut().zip(hash.iter()) {
        *byte ^= secret;
    }
    response
}

/// What the server's RSA key encrypts (OAEP, SHA-1): the password and its NUL, `XOR` the nonce as often as it takes.
pub(crate) fn covered(password: &[u8], nonce: &Nonce) -> Zeroizing<Vec<u8>> {
    let mut covered = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    covered.extend_from_slice(password);
    covered.push(0);
    for (byte, cover) in covered.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= cover;
    }
    covered
}

fn digest(parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut digest = Zeroizing::new([0; 32]);
    hash.finalize_into((&mut *digest).into());
    digest
}

#[cfg(test)]
mod tests {
    use super::{covered, response};
    use crate::testing::wire;

    fn nonce(hex: &str) -> [u8; 20] {
        wire(hex).try_into().unwrap()
    }

    #[test]
    fn answers_as_the_server_expects() {
        // From the tests of a driver in another language, and recomputed with an independent program.
        let cases = [
            (
                "0a2f4a6f4b492230584c724a250d035052021715",
                "secret",
                "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c",
            ),
            (
                "0a2f4a6f4b492230584c724a250d035052021715",
                "secret2",
                "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6",
            ),
            (
                "5a694a7e1e3025380317737f45162954207b2b76",
                "secret",
                "662005238fa18cf1abe8388b2b0e6bc4f9aa933cdccc78b2d60fb8961a3d39eb",
            ),
            (
                "065160720e2a321e4c2f015f7e513e5e53503455",
                "secret",
                "abc98a92599f0baa0043a531af5eda44b16d6e5622212cbe43f0466e288b7c29",
            ),
        ];
        for (hex, password, expected) in cases {
            assert_eq!(*response(password.as_bytes(), &nonce(hex)), *wire(expected), "{password}");
        }
    }

    #[test]
    fn covers_a_password_with_the_nonce_again_and_again() {
        let nonce = nonce("065160720e2a321e4c2f015f7e513e5e53503455");
        assert_eq!(**covered(b"secret", &nonce), *wire("753403006b5e32"));
        let long = covered(&[0; 41], &nonce);
        assert_eq!((long[20], long[40], long[41]), (nonce[0], nonce[0], nonce[1]));
    }

    #[test]
    fn agrees_with_the_mysql_common_crate() {
        use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
        let nonce = *b"abcdefghijklmnopqrst";
        for password in [&b"p"[..], b"\xFF\x00\x01", &[b'x'; 300]] {
            assert_eq!(*response(password, &nonce), scramble_sha256(&nonce, password).unwrap());
        }
    }
}
