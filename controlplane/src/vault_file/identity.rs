//! The key of a vault: an X25519 identity, in the text form that the stock tool reads.
//!
//! Owns the secret scalar and the public key that follows from it. The public key stays as private as the other: who
//! knows it can seal a file that we would take for ours. Knows nothing of where keys lie.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

/// One identity. It has no text form but [`Identity::to_text`], which is wiped.
pub(super) struct Identity {
    /// At one address until it is wiped: a list of keys that grows, or gives one away, would leave copies of it behind.
    scalar: Box<Zeroizing<[u8; KEY_BYTES]>>,
    recipient: [u8; KEY_BYTES],
}

/// Bytes of a scalar, of a point and of every symmetric key here.
pub(super) const KEY_BYTES: usize = 32;

/// What begins every identity's text, <https://age-encryption.org/v1>: "encoded as Bech32 with HRP
/// `AGE-SECRET-KEY-`".
const PREFIX: &str = "AGE-SECRET-KEY-";

impl Identity {
    /// A new one, of the kernel's entropy. `None` if there is none.
    pub(super) fn generate() -> Option<Self> {
        let mut scalar = Box::new(Zeroizing::new([0; KEY_BYTES]));
        aws_lc_rs::rand::fill(&mut **scalar).ok()?;
        Self::of_scalar(scalar)
    }

    fn of_scalar(scalar: Box<Zeroizing<[u8; KEY_BYTES]>>) -> Option<Self> {
        let key = PrivateKey::from_private_key(&X25519, &**scalar).ok()?;
        let recipient = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Self { scalar, recipient })
    }

    /// Reads `AGE-SECRET-KEY-1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let decoded = CheckedHrpstring::new::<Bech32>(text).ok()?;
        // Keys of other kinds have a longer prefix and as many bytes. Bech32 may be written in either case; the stock tool
        // takes upper case alone.
        let is_ours = decoded.hrp() == Hrp::parse_unchecked(PREFIX) && text.starts_with(PREFIX);
        if !is_ours || decoded.byte_iter().count() != KEY_BYTES {
            return None;
        }
        let mut scalar = Box::new(Zeroizing::new([0; KEY_BYTES]));
        for (place, byte) in scalar.iter_mut().zip(decoded.byte_iter()) {
            *place = byte;
        }
        Self::of_scalar(scalar)
    }

    /// `AGE-SECRET-KEY-1…`, without a newline.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let prefix = Hrp::parse_unchecked(PREFIX);
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES));
        // Fails only for what is too long, or where writing fails, and a String takes everything.
        let _ = bech32::encode_upper_to_fmt::<Bech32, _>(&mut *text, prefix, &**self.scalar);
        text
    }

    /// The public key.
    pub(super) fn recipient(&self) -> &[u8; KEY_BYTES] {
        &self.recipient
    }

    /// What this key and `share` have in common; `None` if the share is a point of low order.
    pub(super) fn agree(&self, share: &[u8; KEY_BYTES]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let key = PrivateKey::from_private_key(&X25519, &**self.scalar).ok()?;
        shared(&key, share)
    }
}

/// The X25519 of both, unless it is all zeros: then the other side has no part in it.
pub(super) fn shared(key: &PrivateKey, point: &[u8; KEY_BYTES]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let found = agree(key, UnparsedPublicKey::new(&X25519, point), (), |shared| {
        let mut copy = Zeroizing::new([0; KEY_BYTES]);
        copy.copy_from_slice(shared);
        Ok(copy)
    });
    found.ok()
}

/// 15 letters of prefix, the separator, 52 letters for 32 bytes, and 6 of checksum.
pub(super) const TEXT_BYTES: usize = 74;

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the specification, of 32 bytes of 0x42, and its recipient.
    const KEY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn reads_and_writes_the_text_of_a_key() {
        let identity = Identity::parse(KEY).expect("a key");
        assert_eq!(**identity.scalar, [0x42; 32]);
        assert_eq!(identity.to_text().as_str(), KEY);
        let (_, recipient) = bech32::decode(RECIPIENT).expect("bech32");
        assert_eq!(identity.recipient()[..], recipient);

        let made = Identity::generate().expect("there is entropy");
        let text = made.to_text();
        assert_eq!(text.len(), TEXT_BYTES);
        assert_eq!(Identity::parse(&text).expect("a key").recipient(), made.recipient());
    }

    #[test]
    fn refuses_what_is_no_key() {
        let last = format!("{}1", &KEY[..KEY.len() - 1]);
        for text in ["", "AGE-SECRET-KEY-1", &KEY[1..], &KEY[..70], &last, &KEY.to_lowercase()] {
            assert!(Identity::parse(text).is_none(), "{text}");
        }
        // A recipient is no identity.
        assert!(Identity::parse(RECIPIENT).is_none());
    }
}
