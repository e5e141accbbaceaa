//! MariaDB's `parsec` (MariaDB documentation, "Authentication Plugin - PARSEC"): an Ed25519 signature under a key that is
//! derived from the password.
//!
//! Owns the arithmetic, and the form of the server's salt. Derivation is split off because it is slow:
//! [`ParsecDerivation`] travels to a key thread, [`ParsecKey`] comes back and is cached.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use sha2::digest::FixedOutput;
use zeroize::Zeroizing;

use crate::{Credential, Secret, ServerMisbehaved};

/// What either side challenges the other with.
pub(crate) const SCRAMBLE_LEN: usize = 32;

/// The server's salt.
const SALT_LEN: usize = 18;

/// The server sends a factor f: `1024 << f` iterations. Its own bound.
const FACTOR_MAX: u8 = 3;

/// What a key is derived from: a job for a thread that may take its time. See
/// [`crate::auth::scram::ScramDerivation`] for what names the key.
pub struct ParsecDerivation {
    /// Where the password lies: its field `password`.
    pub credential: Arc<Credential>,
    /// The server's salt.
    pub salt: Box<[u8]>,
    /// How often to hash: at most 8,192 times.
    pub iterations: u32,
}

impl ParsecDerivation {
    /// Reads `ext-salt`: the letter `P`, a factor, the salt.
    pub(crate) fn new(credential: &Arc<Credential>, ext_salt: &[u8]) -> Result<Self, ServerMisbehaved> {
        let (factor, salt) = match ext_salt {
            [b'P', factor, salt @ ..] if *factor <= FACTOR_MAX && salt.len() == SALT_LEN => (*factor, salt),
            _ => return Err(ServerMisbehaved::MalformedMessage("the salt of parsec")),
        };
        Ok(Self { credential: Arc::clone(credential), salt: salt.into(), iterations: 1024 << factor })
    }

    /// PBKDF2 (RFC 8018 section 5.2) with HMAC-SHA-512: its first 32 bytes, which lie where `keep` puts them.
    pub fn derive(&self, keep: impl Fn(&[u8]) -> Secret) -> ParsecKey {
        let seed = |password: &[u8]| {
            let mut block = hmac(password, &[&self.salt, &[0, 0, 0, 1]]);
            let mut sum = block.clone();
            for _ in 1..self.iterations {
                block = hmac(password, &[&*block]);
                sum.iter_mut().zip(block.iter()).for_each(|(byte, other)| *byte ^= other);
            }
            keep(sum.first_chunk::<32>().map_or(&[], |seed| seed))
        };
        ParsecKey(match self.credential.field("password") {
            Some(password) => password.expose(seed),
            None => seed(b""),
        })
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut code = Zeroizing::new([0; 64]);
    // HMAC takes keys of any length (RFC 2104 section 3).
    if let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(key) {
        for part in parts {
            mac.update(part);
        }
        mac.finalize_into((&mut *code).into());
    }
    code
}

/// The seed of a signing key: enough to log in, without the password.
pub struct ParsecKey(Secret);

impl ParsecKey {
    /// `client_scramble ‖ signature(server_scramble ‖ client_scramble)`.
    pub(crate) fn response(&self, server: &[u8; SCRAMBLE_LEN], client: &[u8; SCRAMBLE_LEN]) -> Vec<u8> {
        let mut message = [0; 2 * SCRAMBLE_LEN];
        for (place, byte) in message.iter_mut().zip(server.iter().chain(client)) {
            *place = *byte;
        }
        let signature = self.0.expose(|seed| {
            let mut key = Zeroizing::new([0; 32]);
            key.iter_mut().zip(seed).for_each(|(place, byte)| *place = *byte);
            SigningKey::from_bytes(&key).sign(&message)
        });
        [&client[..], &signature.to_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::ParsecDerivation;
    use crate::testing::{credential, wire};

    fn ext_salt(factor: u8) -> alloc::vec::Vec<u8> {
        [&[b'P', factor][..], &wire("00010203 04050607 08090A0B 0C0D0E0F 1011")].concat()
    }

    #[test]
    fn answers_as_the_server_expects() {
        // Computed with a program of another language.
        let derivation =
            ParsecDerivation::new(&credential(&[("password", b"secret")]), &ext_salt(0)).unwrap();
        assert_eq!(derivation.iterations, 1024);
        let key = derivation.derive(crate::Secret::copied_to_heap);
        let seed = "08cc70b0fe8e4e8c5814c987aaf5762f12d5590883f956b0b0eb2ad71bcf645f";
        key.0.expose(|bytes| assert_eq!(bytes, wire(seed)));
        let signature = "88d091bfa08c60da9b9b730f786c67594a37f4d3f7a6478624a44937afc0431d\
                         9e0429ef6a209fb5aeed97f84687acc88412caf80d1a7828a3a6ab2627e49109";
        let response = key.response(&[0x53; 32], &[0x43; 32]);
        assert_eq!((&response[..32], &response[32..]), (&[0x43; 32][..], &*wire(signature)));
    }

    #[test]
    fn refuses_a_salt_that_is_none_and_more_work_than_the_servers_own_bound() {
        let credential = credential(&[("password", b"secret")]);
        assert_eq!(ParsecDerivation::new(&credential, &ext_salt(3)).unwrap().iterations, 8192);
        for wrong in [&ext_salt(4)[..], &ext_salt(0)[..19], b"", b"P", &[&ext_salt(0)[..], b"x"].concat()] {
            assert!(ParsecDerivation::new(&credential, wrong).is_err());
        }
        assert!(ParsecDerivation::new(&credential, &[b"Q", &ext_salt(0)[1..]].concat()).is_err());
    }
}
