//! A password for the eyes of one server, under its RSA key.
//!
//! Owns what is encrypted, and the look at the key. The encryption itself is somebody else's, who has a library for it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::caching_sha2::covered;
use super::mysql_native::Nonce;
use crate::Credential;

/// A job for a thread that may take its time: RSA with OAEP, SHA-1 and MGF1 (RFC 8017 section 7.1).
pub struct RsaEncryption {
    /// Where the password lies: its field `password`.
    pub(crate) credential: Arc<Credential>,
    /// What the password is covered with.
    pub(crate) nonce: Nonce,
    /// The server's key: PEM, `PUBLIC KEY` (RFC 7468 section 13).
    pub key: Box<[u8]>,
}

impl RsaEncryption {
    /// For whose service.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// What is to be encrypted.
    pub fn plaintext(&self) -> Zeroizing<Vec<u8>> {
        match self.credential.field("password") {
            Some(password) => password.expose(|password| covered(password, &self.nonce)),
            None => covered(b"", &self.nonce),
        }
    }
}

/// Whether two texts hold the same first PEM block, however its lines are broken.
pub(crate) fn is_same_key(one: &[u8], other: &[u8]) -> bool {
    match (block(one), block(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The Base64 text of the first block, without its line breaks.
fn block(pem: &[u8]) -> Option<Vec<u8>> {
    let mut lines = pem.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.by_ref().find(|line| line.starts_with(b"-----BEGIN ") && line.ends_with(b"-----"))?;
    let mut text = Vec::new();
    for line in lines {
        if line.starts_with(b"-----END ") {
            return Some(text);
        }
        text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::is_same_key;

    #[test]
    fn a_key_is_the_same_however_its_lines_are_broken() {
        let key = b"-----BEGIN PUBLIC KEY-----\nAAAA\nBBBB\n-----END PUBLIC KEY-----\n";
        assert!(is_same_key(
            key,
            b"text\r\n-----BEGIN PUBLIC KEY-----\r\nAAAABBBB\r\n-----END PUBLIC KEY-----"
        ));
        assert!(!is_same_key(key, b"-----BEGIN PUBLIC KEY-----\nAAAABBBC\n-----END PUBLIC KEY-----\n"));
        for none in [&b""[..], b"AAAABBBB", b"-----BEGIN PUBLIC KEY-----\nAAAABBBB"] {
            assert!(!is_same_key(none, none));
            assert!(!is_same_key(key, none));
        }
    }
}
