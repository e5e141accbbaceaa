//! RSA, with the TLS library's own cryptography.
//!
//! Owns one operation: a password for a server that has shown its key.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use protocol::auth::rsa::RsaEncryption;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

/// RSAES-OAEP (RFC 8017 section 7.1.1); `None` if the key is none, or too short for what is to be encrypted. Keys of 2,048
/// to 8,192 bits will do.
pub(crate) fn encrypt(job: &RsaEncryption) -> Option<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&job.key).ok()?;
    let key = PublicEncryptingKey::from_der(&key).ok()?;
    let key = OaepPublicEncryptingKey::new(key).ok()?;
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let len = key.encrypt(&OAEP_SHA1_MGF1SHA1, &job.plaintext(), &mut ciphertext, None).ok()?.len();
    ciphertext.truncate(len);
    Some(ciphertext)
}
