//! `mysql_native_password` (MySQL documentation, "Native Authentication").
//!
//! Owns the arithmetic. Whether the method may be used is decided elsewhere.

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// What a server challenges with.
pub(crate) type Nonce = [u8; 20];

/// `SHA1(password) XOR SHA1(nonce ‖ SHA1(SHA1(password)))`.
pub(crate) fn response(password: &[u8], nonce: &Nonce) -> Zeroizing<[u8; 20]> {
    let hash = digest(&[password]);
    let stored = digest(&[&*hash]);
    let mut response = digest(&[nonce, &*stored]);
    for (byte, secret) in response.iter_mut().zip(hash.iter()) {
        *byte ^= secret;
    }
    response
}

fn digest(parts: &[&[u8]]) -> Zeroizing<[u8; 20]> {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    let mut digest = Zeroizing::new([0; 20]);
    hash.finalize_into((&mut *digest).into());
    digest
}

#[cfg(test)]
mod tests {
    use super::{digest, response};
    use crate::testing::wire;

    #[test]
    fn answers_as_the_server_expects() {
        // Recomputed with an independent program.
        let nonce = wire("01020304 05060708 090A0B0C 0D0E0F10 11121314").try_into().unwrap();
        assert_eq!(*response(b"secret", &nonce), *wire("b32bb3a583e1340c0a1108d58b1be49781ad8c2f"));
        // What PASSWORD('secret') gives on a server that has it.
        assert_eq!(*digest(&[&*digest(&[b"secret"])]), *wire("14E65567ABDB5135D0CFD9A70B3032C179A49EE7"));
    }

    #[test]
    fn agrees_with_the_mysql_common_crate() {
        use mysql_common::auth::plugins::mysql_native_password::scramble_native;
        let nonce = *b"abcdefghijklmnopqrst";
        for password in [&b"p"[..], b"\xFF\x00\x01", &[b'x'; 300]] {
            assert_eq!(*response(password, &nonce), scramble_native(&nonce, password).unwrap());
        }
    }
}
