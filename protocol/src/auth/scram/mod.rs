//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side.
//!
//! Owns the exchange and the keys; does not know how a protocol carries the messages. Derivation is split off
//! because it is slow: [`ScramDerivation`] travels to a key thread, [`ScramKeys`] come back and are cached.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::str;

use base64ct::{Base64, Base64Unpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::digest::FixedOutput;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::auth::saslprep;
use crate::limits::{SCRAM_ATTRIBUTE_MAX, SCRAM_ITERATIONS_MAX, SCRAM_MESSAGE_MAX};
use crate::tls::TlsPeer;
use crate::{Credential, Secret, ServerMisbehaved};

type HmacSha256 = Hmac<Sha256>;
type Key = Zeroizing<[u8; 32]>;

/// What keys are derived from: a job for a thread that may take its time.
///
/// Within one service, the credential's generation, the salt and the iterations name the keys: what is derived
/// once may be kept under these three.
pub struct ScramDerivation {
    /// Where the password lies: its field `password`.
    pub credential: Arc<Credential>,
    /// The server's salt.
    pub salt: Box<[u8]>,
    /// How often to hash; never above [`crate::limits::SCRAM_ITERATIONS_MAX`].
    pub iterations: u32,
}

impl ScramDerivation {
    /// RFC 5802 section 3: `SaltedPassword := Hi(Normalize(password), salt, i)`, and the two keys that come of it.
    /// The salted password is wiped. A credential without a password gives keys that no server accepts. The keys lie where `keep`
    /// puts them.
    pub fn derive(self, keep: impl Fn(&[u8]) -> Secret) -> ScramKeys {
        let Self { credential, salt, iterations } = self;
        let salted = |password: &[u8]| {
            saslprep::with_prepared(password, |prepared| salted_password(prepared, &salt, iterations))
        };
        let salted = match credential.field("password") {
            Some(password) => password.expose(salted),
            None => salted(b""),
        };
        ScramKeys {
            client_key: keep(&*hmac(&*salted, &[b"Client Key"])),
            server_key: keep(&*hmac(&*salted, &[b"Server Key"])),
        }
    }
}

/// `ClientKey` and `ServerKey` of RFC 5802 section 3: enough to prove and to verify, without the password.
pub struct ScramKeys {
    pub(crate) client_key: Secret,
    pub(crate) server_key: Secret,
}

/// Which of the mechanisms that we have a server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) plain: bool,
    pub(crate) plus: bool,
}

impl Offered {
    /// Takes note of a mechanism's name; names that we do not know are data, not errors.
    pub(crate) fn note(&mut self, mechanism: &[u8]) {
        match mechanism {
            b"SCRAM-SHA-256" => self.plain = true,
            b"SCRAM-SHA-256-PLUS" => self.plus = true,
            _ => {}
        }
    }
}

/// The mechanism and channel binding to use: RFC 5802 section 6, "Channel Binding".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `n`: we do not do channel binding.
    Unsupported,
    /// `y`: we would, but the server did not offer it. A server that did offer it fails the exchange: somebody
    /// between us took its offer away.
    NotOffered,
    /// `p`: bound to the server's certificate (RFC 5929 section 4), whose hash this is.
    EndPoint(Box<[u8]>),
}

impl Binding {
    /// Decides from what was really offered. `None` if there is no mechanism that we can use.
    ///
    /// RFC 5802 section 6: "If the client supports channel binding and the server does not appear to, … then the
    /// client MUST NOT use an "n" gs2-cbind-flag." Without TLS, or with a certificate that has no defined hash, we
    /// do not support it.
    pub(crate) fn choose(offered: Offered, tls: Option<&TlsPeer>) -> Option<Self> {
        match (tls.and_then(|peer| peer.end_point.as_ref()), offered) {
            (Some(end_point), Offered { plus: true, .. }) => Some(Self::EndPoint(end_point.clone())),
            (Some(_), Offered { plain: true, .. }) => Some(Self::NotOffered),
            (None, Offered { plain: true, .. }) => Some(Self::Unsupported),
            (_, Offered { plain: false, .. }) => None,
        }
    }

    /// `gs2-header`, with no authorization identity.
    fn gs2_header(&self) -> &'static str {
        match self {
            Self::Unsupported => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    /// `cbind-input = gs2-header [ cbind-data ]`, in base64.
    fn encoded_input(&self) -> String {
        let mut input = self.gs2_header().as_bytes().to_vec();
        if let Self::EndPoint(hash) = self {
            input.extend_from_slice(hash);
        }
        Base64::encode_string(&input)
    }
}

/// `client-first-message` sent; waiting for the server's nonce and salt.
pub(crate) struct ExpectServerFirst {
    binding: Binding,
    /// Ours: the beginning of every later nonce.
    nonce: String,
    client_first_bare: String,
}

impl ExpectServerFirst {
    /// A new exchange. `entropy` is used up: 24 bytes of it become the nonce.
    pub(crate) fn begin(binding: Binding, user: &str, entropy: [u8; 32]) -> Self {
        let random = entropy.first_chunk::<24>().map_or(&entropy[..], |chunk| chunk);
        Self::with_nonce(binding, user, Base64Unpadded::encode_string(random))
    }

    fn with_nonce(binding: Binding, user: &str, nonce: String) -> Self {
        let mut client_first_bare = String::from("n=");
        // saslname: "The characters ',' or '=' in usernames are sent as '=2C' and '=3D' respectively."
        for c in user.chars() {
            match c {
                ',' => client_first_bare.push_str("=2C"),
                '=' => client_first_bare.push_str("=3D"),
                other => client_first_bare.push(other),
            }
        }
        client_first_bare.push_str(",r=");
        client_first_bare.push_str(&nonce);
        Self { binding, nonce, client_first_bare }
    }

    /// The mechanism's name.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self.binding {
            Binding::EndPoint(_) => "SCRAM-SHA-256-PLUS",
            Binding::Unsupported | Binding::NotOffered => "SCRAM-SHA-256",
        }
    }

    /// `client-first-message`.
    pub(crate) fn client_first(&self) -> String {
        let mut message = self.binding.gs2_header().to_owned();
        message.push_str(&self.client_first_bare);
        message
    }

    /// `server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]`
    pub(crate) fn on_server_first(self, message: &[u8]) -> Result<ExpectKeys, ServerMisbehaved> {
        let message = text(message)?;
        let mut attributes = message.split(',');
        if message.starts_with("m=") {
            // Section 5.1, `m`: "its presence in a client or a server message MUST cause authentication failure".
            return Err(ServerMisbehaved::Scram("a mandatory extension"));
        }
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        let salt = attribute(attributes.next(), "s=", "no salt")?;
        let iterations = attribute(attributes.next(), "i=", "no iteration count")?;
        check_extensions(attributes)?;

        // RFC 5802 section 5.1: "The client MUST verify that the initial part of the nonce used in subsequent
        // messages is the same as the nonce it initially specified."
        match nonce.strip_prefix(&*self.nonce) {
            Some("") => return Err(ServerMisbehaved::Scram("the nonce adds nothing to ours")),
            Some(_) => {}
            None => return Err(ServerMisbehaved::Scram("the nonce does not begin with ours")),
        }
        // printable = %x21-2B / %x2D-7E
        if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ServerMisbehaved::Scram("the nonce is not printable"));
        }
        let salt = match Base64::decode_vec(salt) {
            Ok(salt) if !salt.is_empty() => salt.into_boxed_slice(),
            _ => return Err(ServerMisbehaved::Scram("the salt is not base64, or is empty")),
        };
        let iterations = iteration_count(iterations)?;

        let nonce = nonce.to_owned();
        let mut auth_message = self.client_first_bare;
        auth_message.push(',');
        auth_message.push_str(message);
        Ok(ExpectKeys { binding: self.binding, nonce, auth_message, salt, iterations })
    }
}

/// Everything is known but the keys.
pub(crate) struct ExpectKeys {
    binding: Binding,
    /// Ours and the server's.
    nonce: String,
    /// `client-first-message-bare "," server-first-message`
    auth_message: String,
    salt: Box<[u8]>,
    iterations: u32,
}

impl ExpectKeys {
    /// The job that makes the keys.
    pub(crate) fn derivation(&self, credential: Arc<Credential>) -> ScramDerivation {
        ScramDerivation { credential, salt: self.salt.clone(), iterations: self.iterations }
    }

    /// `client-final-message`, and what the server must answer.
    pub(crate) fn on_keys(self, keys: &ScramKeys) -> (String, ExpectServerFinal) {
        let mut client_final = String::from("c=");
        client_final.push_str(&self.binding.encoded_input());
        client_final.push_str(",r=");
        client_final.push_str(&self.nonce);

        let mut auth_message = self.auth_message;
        auth_message.push(',');
        auth_message.push_str(&client_final);
        let auth_message = auth_message.as_bytes();

        // ClientProof := ClientKey XOR HMAC(H(ClientKey), AuthMessage)
        let proof = keys.client_key.expose(|client_key| {
            let mut stored_key = Key::default();
            let mut hash = Sha256::new();
            hash.update(client_key);
            FixedOutput::finalize_into(hash, (&mut *stored_key).into());
            let mut proof = hmac(&*stored_key, &[auth_message]);
            proof.iter_mut().zip(client_key).for_each(|(bit, key)| *bit ^= key);
            proof
        });
        client_final.push_str(",p=");
        client_final.push_str(&Base64::encode_string(&*proof));

        let server_signature = keys.server_key.expose(|server_key| hmac(server_key, &[auth_message]));
        (client_final, ExpectServerFinal { server_signature })
    }
}

/// Proof sent; waiting for the server's own. The password is no longer needed.
pub(crate) struct ExpectServerFinal {
    server_signature: Key,
}

/// What a server said at last.
pub(crate) enum Outcome {
    /// It knows the password too.
    Proven(ServerProof),
    /// It does not accept ours (`e=`).
    Refused,
}

/// That a server knows the password: nothing but a verified `v=` makes one.
pub(crate) struct ServerProof(());

impl ExpectServerFinal {
    /// `server-final-message = (server-error / verifier) ["," extensions]`
    pub(crate) fn on_server_final(self, message: &[u8]) -> Result<Outcome, ServerMisbehaved> {
        let message = text(message)?;
        let mut attributes = message.split(',');
        if message.starts_with("e=") {
            return Ok(Outcome::Refused);
        }
        let verifier = attribute(attributes.next(), "v=", "no signature")?;
        check_extensions(attributes)?;
        let signature = Base64::decode_vec(verifier)
            .map_err(|_| ServerMisbehaved::Scram("the signature is not base64"))?;
        if bool::from(signature.ct_eq(&*self.server_signature)) {
            Ok(Outcome::Proven(ServerProof(())))
        } else {
            Err(ServerMisbehaved::WrongProof)
        }
    }
}

/// A message as text, if it is short enough to be looked at.
fn text(message: &[u8]) -> Result<&str, ServerMisbehaved> {
    if message.len() > SCRAM_MESSAGE_MAX {
        return Err(ServerMisbehaved::Scram("the message is too long"));
    }
    str::from_utf8(message).map_err(|_| ServerMisbehaved::Scram("the message is not UTF-8"))
}

/// The value of an attribute that must stand here.
fn attribute<'a>(part: Option<&'a str>, name: &str, what: &'static str) -> Result<&'a str, ServerMisbehaved> {
    let value = part.and_then(|part| part.strip_prefix(name)).ok_or(ServerMisbehaved::Scram(what))?;
    if value.len() > SCRAM_ATTRIBUTE_MAX {
        return Err(ServerMisbehaved::Scram("an attribute is too long"));
    }
    Ok(value)
}

/// Extensions that we do not know are ignored, but they are attributes: `attr-val = ALPHA "=" value` (section 7).
fn check_extensions<'a>(mut attributes: impl Iterator<Item = &'a str>) -> Result<(), ServerMisbehaved> {
    let is_attribute =
        |part: &str| matches!(part.as_bytes(), [name, b'=', _, ..] if name.is_ascii_alphabetic());
    if attributes.all(is_attribute) { Ok(()) } else { Err(ServerMisbehaved::Scram("not an extension")) }
}

/// `posit-number = %x31-39 *DIGIT`, and no more than we compute for anybody.
fn iteration_count(digits: &str) -> Result<u32, ServerMisbehaved> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if digits.is_empty() || !is_number {
        return Err(ServerMisbehaved::Scram("the iteration count is not a positive number"));
    }
    match digits.parse() {
        Ok(iterations) if iterations <= SCRAM_ITERATIONS_MAX => Ok(iterations),
        // Digits that do not fit are more than the cap.
        _ => Err(ServerMisbehaved::ScramIterations),
    }
}

/// `Hi(str, salt, i)` of section 2.2: PBKDF2 with HMAC-SHA-256 and one block of output (RFC 8018 section 5.2).
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let keyed = keyed_hmac(password);
    let mut block = finished(keyed.clone(), &[salt, &1_u32.to_be_bytes()]);
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = finished(keyed.clone(), &[&*block]);
        sum.iter_mut().zip(block.iter()).for_each(|(bit, other)| *bit ^= other);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    finished(keyed_hmac(key), parts)
}

fn keyed_hmac(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104 section 2)")
}

fn finished(mut mac: HmacSha256, parts: &[&[u8]]) -> Key {
    for part in parts {
        Mac::update(&mut mac, part);
    }
    let mut tag = Key::default();
    mac.finalize_into((&mut *tag).into());
    tag
}

/// See [`crate::testing::fuzz::scram_server_messages`].
#[cfg(any(test, feature = "testing"))]
pub(crate) fn fuzz(first: &[u8], last: &[u8], keys: &ScramKeys) {
    let expect = ExpectServerFirst::begin(Binding::NotOffered, "", [0; 32]);
    let first = match first.strip_prefix(b"%") {
        Some(rest) => [b"r=", expect.nonce.as_bytes(), rest].concat(),
        None => first.to_vec(),
    };
    let ours = expect.nonce.clone();
    let Ok(expect) = expect.on_server_first(&first) else { return };
    assert!(expect.nonce.starts_with(&ours) && expect.nonce.len() > ours.len());
    assert!(expect.nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
    assert!((1..=SCRAM_ATTRIBUTE_MAX).contains(&expect.salt.len()));
    assert!((1..=SCRAM_ITERATIONS_MAX).contains(&expect.iterations));
    let (_, expect) = expect.on_keys(keys);
    let right = Base64::encode_string(&*expect.server_signature);
    let Ok(Outcome::Proven(_)) = expect.on_server_final(last) else { return };
    assert!(last.strip_prefix(b"v=").is_some_and(|value| value.starts_with(right.as_bytes())));
}

#[cfg(test)]
mod tests;
