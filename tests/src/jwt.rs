//! Signed tokens of JSON (RFC 7519), as a provider of identities gives them out.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use serde_json::{Value, json};

/// Whoever signs tokens.
pub struct Signer(KeyPair);

impl Signer {
    /// One with a fresh key.
    ///
    /// # Panics
    /// If the cryptographic library cannot make a key.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the cryptographic library makes a key"))
    }

    /// What its signatures are verified with, PEM.
    pub fn public_key(&self) -> String {
        self.0.public_key_pem()
    }

    /// A token of these claims.
    ///
    /// # Panics
    /// If the cryptographic library does not sign.
    pub fn token(&self, claims: &Value) -> String {
        let head = json!({"alg": "ES256", "typ": "JWT"});
        let signed = [&head, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        let signature = self.0.sign(signed.as_bytes()).expect("the cryptographic library signs");
        format!("{signed}.{}", base64url(&plain(&signature)))
    }
}

/// A signature of ECDSA as JWTs have it (RFC 7518, section 3.4), two numbers of 32 bytes, from one in DER, where they have a sign
/// and no leading zeros.
fn plain(der: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = der.get(2..).unwrap_or_default();
    while let [2, length, more @ ..] = rest {
        let (number, behind) = more.split_at(usize::from(*length));
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        plain.extend(std::iter::repeat_n(0, 32 - digits.len()));
        plain.extend(digits);
        rest = behind;
    }
    plain
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        let digits = (0..=chunk.len()).map(|index| DIGITS[(group >> (18 - 6 * index)) as usize & 63]);
        text.extend(digits.map(char::from));
    }
    text
}
