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

use super::saslprep;
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
    /// The salted password is wiped. A credential without a password gives keys that no server accepts.
    pub fn derive(self) -> ScramKeys {
        let Self { credential, salt, iterations } = self;
        let salted = |password: &[u8]| {
            saslprep::with_prepared(password, |prepared| salted_password(prepared, &salt, iterations))
        };
        let salted = match credential.field("password") {
            Some(password) => password.expose(salted),
            None => salted(b""),
        };
        ScramKeys {
            client_key: Secret::from_heap(hmac(&*salted, &[b"Client Key"]).to_vec()),
            server_key: Secret::from_heap(hmac(&*salted, &[b"Server Key"]).to_vec()),
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
mod tests {
    use alloc::boxed::Box;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::sync::Arc;

    use postgres_protocol::authentication::sasl;

    use super::{
        Base64, Binding, Encoding, ExpectKeys, ExpectServerFinal, ExpectServerFirst, Offered, Outcome,
        ScramDerivation, ScramKeys, salted_password,
    };
    use crate::ServerMisbehaved;
    use crate::limits::{SCRAM_ATTRIBUTE_MAX, SCRAM_ITERATIONS_MAX};
    use crate::testing::credential;
    use crate::tls::TlsPeer;

    // RFC 7677 section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn keys(password: &[u8], salt: &[u8], iterations: u32) -> ScramKeys {
        ScramDerivation { credential: credential(&[("password", password)]), salt: salt.into(), iterations }
            .derive()
    }

    fn on_server_first(message: &str) -> Result<ExpectKeys, ServerMisbehaved> {
        ExpectServerFirst::with_nonce(Binding::Unsupported, "", NONCE.into())
            .on_server_first(message.as_bytes())
    }

    fn proof(client_final: &str) -> &str {
        client_final.rsplit_once(",p=").unwrap().1
    }

    fn outcome(expect: ExpectServerFinal, message: &str) -> Result<bool, ServerMisbehaved> {
        expect.on_server_final(message.as_bytes()).map(|outcome| matches!(outcome, Outcome::Proven(_)))
    }

    #[test]
    fn logs_in_as_rfc_7677_section_3_shows() {
        let first = ExpectServerFirst::with_nonce(Binding::Unsupported, "user", NONCE.into());
        assert_eq!(first.mechanism(), "SCRAM-SHA-256");
        assert_eq!(first.client_first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let expect = first.on_server_first(SERVER_FIRST.as_bytes()).unwrap();
        let job = expect.derivation(credential(&[("password", b"pencil")]));
        assert_eq!(Base64::encode_string(&job.salt), "W22ZaJ0SNY7soEsUEjb6gQ==");
        assert_eq!(job.iterations, 4096);
        let (client_final, expect) = expect.on_keys(&job.derive());
        assert_eq!(
            client_final,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(outcome(expect, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(true));
    }

    #[test]
    fn derives_the_keys_of_rfc_7677() {
        let salt = Base64::decode_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password(b"pencil", &salt, 4096);
        let hex: String = salted.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        let server_key = keys(b"pencil", &salt, 4096).server_key.expose(Base64::encode_string);
        assert_eq!(server_key, "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    }

    // The three with an empty user name, as PostgreSQL's clients send it, are recomputed with an independent
    // implementation.
    #[test]
    fn proves_and_verifies_for_each_channel_binding() {
        let cases = [
            (
                Binding::Unsupported,
                "SCRAM-SHA-256",
                "n,,",
                "c=biws,",
                "qvT2SWdEH5Q06albL+hjSYuUhCG7VndFyzIb7CK4n9k=",
                "v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=",
            ),
            (
                Binding::NotOffered,
                "SCRAM-SHA-256",
                "y,,",
                "c=eSws,",
                "VpuC5DGQa5ro9tXE9MnKs69NH1nxnuregZZcclqIGfM=",
                "v=FOmOj9BpTGwvnzwBtWQjBaPmVxT9I8IeHBOhcIPu3us=",
            ),
            (
                Binding::EndPoint((0..32).collect()),
                "SCRAM-SHA-256-PLUS",
                "p=tls-server-end-point,,",
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,",
                "Q8h71kjaoMzNI7dPksDrhRE/5mTUObF0fUHVIgBOWQg=",
                "v=ykwoqH8mLqO5AQCeuwwf6lsj9f8zyJZT/CcvAbN4Ssc=",
            ),
        ];
        let keys = keys(b"pencil", &Base64::decode_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096);
        for (binding, mechanism, gs2_header, channel, expected_proof, server_final) in cases {
            let first = ExpectServerFirst::with_nonce(binding, "", NONCE.into());
            assert_eq!(first.mechanism(), mechanism);
            assert_eq!(first.client_first(), format!("{gs2_header}n=,r={NONCE}"));
            let (client_final, expect) =
                first.on_server_first(SERVER_FIRST.as_bytes()).unwrap().on_keys(&keys);
            assert!(client_final.starts_with(channel), "{client_final}");
            assert_eq!(proof(&client_final), expected_proof);
            assert_eq!(outcome(expect, server_final), Ok(true));
        }
    }

    #[test]
    fn chooses_channel_binding_from_what_was_really_offered() {
        let peer = |end_point: Option<&[u8]>| TlsPeer { verified: true, end_point: end_point.map(Box::from) };
        let (hashed, unhashed) = (peer(Some(b"hash")), peer(None));
        let (plain, plus) = (Offered { plain: true, plus: false }, Offered { plain: false, plus: true });
        let (both, neither) = (Offered { plain: true, plus: true }, Offered::default());
        let bound = Some(Binding::EndPoint(Box::from(*b"hash")));

        assert_eq!(Binding::choose(both, Some(&hashed)), bound);
        assert_eq!(Binding::choose(plus, Some(&hashed)), bound);
        assert_eq!(Binding::choose(plain, Some(&hashed)), Some(Binding::NotOffered));
        assert_eq!(Binding::choose(both, Some(&unhashed)), Some(Binding::Unsupported), "y would be a lie");
        assert_eq!(Binding::choose(plain, Some(&unhashed)), Some(Binding::Unsupported));
        assert_eq!(Binding::choose(plus, Some(&unhashed)), None);
        assert_eq!(Binding::choose(plain, None), Some(Binding::Unsupported));
        assert_eq!(Binding::choose(both, None), Some(Binding::Unsupported));
        assert_eq!(Binding::choose(plus, None), None);
        assert_eq!(Binding::choose(neither, Some(&hashed)), None);
    }

    #[test]
    fn takes_note_of_mechanisms_by_their_exact_names() {
        let mut offered = Offered::default();
        for name in
            [&b"SCRAM-SHA-1"[..], b"scram-sha-256", b"SCRAM-SHA-256-PLUS ", b"OAUTHBEARER", b"SCRAM-SHA-512"]
        {
            offered.note(name);
        }
        assert_eq!(offered, Offered::default());
        offered.note(b"SCRAM-SHA-256-PLUS");
        assert_eq!(offered, Offered { plain: false, plus: true });
        offered.note(b"SCRAM-SHA-256");
        assert_eq!(offered, Offered { plain: true, plus: true });
    }

    #[test]
    fn makes_a_nonce_of_24_random_bytes() {
        let nonce = |entropy| ExpectServerFirst::begin(Binding::Unsupported, "", entropy).nonce;
        assert_eq!(nonce([0; 32]), "A".repeat(32));
        let counted = core::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(nonce(counted), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        assert!(nonce([0xFF; 32]).bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
    }

    #[test]
    fn escapes_a_user_name_as_section_5_1_says() {
        let first = ExpectServerFirst::with_nonce(Binding::Unsupported, "a,b=c", "x".into());
        assert_eq!(first.client_first(), "n,,n=a=2Cb=3Dc,r=x");
    }

    #[test]
    fn refuses_a_server_first_message_that_breaks_a_rule() {
        let salt = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
        let long = "x".repeat(SCRAM_ATTRIBUTE_MAX);
        let cases = [
            (String::new(), "no nonce"),
            (format!("{salt},i=4096"), "no nonce"),
            (format!("m=ext,r={NONCE}x,{salt},i=4096"), "a mandatory extension"),
            (format!("r={NONCE},{salt},i=4096"), "the nonce adds nothing to ours"),
            (format!("r=x{NONCE},{salt},i=4096"), "the nonce does not begin with ours"),
            (format!("r=rOprNGfwEbeRWgbNEkqo%,{salt},i=4096"), "the nonce does not begin with ours"),
            (format!("r=,{salt},i=4096"), "the nonce does not begin with ours"),
            (format!("r={NONCE} x,{salt},i=4096"), "the nonce is not printable"),
            (format!("r={NONCE}\u{7f},{salt},i=4096"), "the nonce is not printable"),
            (format!("r={NONCE}\u{e9},{salt},i=4096"), "the nonce is not printable"),
            (format!("r={NONCE}\0,{salt},i=4096"), "the nonce is not printable"),
            (format!("r={NONCE}{long},{salt},i=4096"), "an attribute is too long"),
            (format!("r={NONCE}x,i=4096"), "no salt"),
            (format!("r={NONCE}x,s=,i=4096"), "the salt is not base64, or is empty"),
            (format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096"), "the salt is not base64, or is empty"),
            (format!("r={NONCE}x,s=W22Z aJ0,i=4096"), "the salt is not base64, or is empty"),
            (format!("r={NONCE}x,s={long}xxxx,i=4096"), "an attribute is too long"),
            (format!("r={NONCE}x,{salt}"), "no iteration count"),
            (format!("r={NONCE}x,{salt},i="), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=0"), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=04096"), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=+4096"), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=-1"), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=4096 "), "the iteration count is not a positive number"),
            (format!("r={NONCE}x,{salt},i=4096,"), "not an extension"),
            (format!("r={NONCE}x,{salt},i=4096,x"), "not an extension"),
            (format!("r={NONCE}x,{salt},i=4096,1=x"), "not an extension"),
            (format!("r={NONCE}x,{salt},i=4096,x={}", long.repeat(4)), "the message is too long"),
        ];
        for (message, what) in cases {
            assert_eq!(on_server_first(&message).err(), Some(ServerMisbehaved::Scram(what)), "{message:.80}");
        }
        let expect = ExpectServerFirst::with_nonce(Binding::Unsupported, "", NONCE.into());
        assert_eq!(
            expect.on_server_first(b"r=\xFF").err(),
            Some(ServerMisbehaved::Scram("the message is not UTF-8"))
        );
    }

    #[test]
    fn an_iteration_count_meets_its_cap_before_anything_is_computed() {
        let iterations =
            |digits: &str| on_server_first(&format!("r={NONCE}x,s=AAAA,i={digits}")).map(|e| e.iterations);
        assert_eq!(iterations("1"), Ok(1));
        assert_eq!(iterations(&SCRAM_ITERATIONS_MAX.to_string()), Ok(SCRAM_ITERATIONS_MAX));
        for digits in ["1000001", "2147483647", "4294967296", "99999999999999999999999999"] {
            assert_eq!(iterations(digits), Err(ServerMisbehaved::ScramIterations), "{digits}");
        }
    }

    #[test]
    fn reads_over_extensions_that_are_optional() {
        assert!(on_server_first(&format!("r={NONCE}x,s=AAAA,i=1,x=future,y==")).is_ok());
        let (_, expect) = on_server_first(SERVER_FIRST).unwrap().on_keys(&keys(b"pencil", b"[m\x99h", 1));
        let signature = Base64::encode_string(&*expect.server_signature);
        assert_eq!(outcome(expect, &format!("v={signature},x=future")), Ok(true));
    }

    #[test]
    fn refuses_a_server_that_does_not_know_the_password() {
        let keys = keys(b"pencil", b"salt", 1);
        let last = |message: &str| {
            let (_, expect) = on_server_first(SERVER_FIRST).unwrap().on_keys(&keys);
            outcome(expect, message)
        };
        let (_, expect) = on_server_first(SERVER_FIRST).unwrap().on_keys(&keys);
        let right = *expect.server_signature;
        for (at, bit) in (0..32).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut wrong = right;
            wrong[at] ^= 1 << bit;
            let message = format!("v={}", Base64::encode_string(&wrong));
            assert_eq!(last(&message), Err(ServerMisbehaved::WrongProof), "byte {at}, bit {bit}");
        }
        assert_eq!(last("v="), Err(ServerMisbehaved::WrongProof));
        let short = format!("v={}", Base64::encode_string(&right[..31]));
        assert_eq!(last(&short), Err(ServerMisbehaved::WrongProof));
        let long = format!("v={}", Base64::encode_string(&[&right[..], &[0]].concat()));
        assert_eq!(last(&long), Err(ServerMisbehaved::WrongProof));
        assert_eq!(last("v=!"), Err(ServerMisbehaved::Scram("the signature is not base64")));
        assert_eq!(last(""), Err(ServerMisbehaved::Scram("no signature")));
        assert_eq!(last("x=AAAA"), Err(ServerMisbehaved::Scram("no signature")));
        assert_eq!(last("e=invalid-proof"), Ok(false));
    }

    #[test]
    fn prepares_the_password() {
        let same = |a: &[u8], b: &[u8]| {
            let key = |password| keys(password, b"salt", 1).client_key.expose(<[u8]>::to_vec);
            key(a) == key(b)
        };
        assert!(same("I\u{AD}X".as_bytes(), b"IX"));
        assert!(!same(b"I\xADX", b"IX"), "not UTF-8: raw");
    }

    #[test]
    fn agrees_with_the_postgres_protocol_crate() {
        for (password, binding, theirs) in [
            (&b"pencil"[..], Binding::Unsupported, sasl::ChannelBinding::unsupported()),
            ("\u{2168}\u{AD}".as_bytes(), Binding::NotOffered, sasl::ChannelBinding::unrequested()),
            (
                b"\xFF raw",
                Binding::EndPoint(Box::from([7; 48])),
                sasl::ChannelBinding::tls_server_end_point(alloc::vec![7; 48]),
            ),
        ] {
            let mut oracle = sasl::ScramSha256::new(password, theirs);
            let client_first = String::from_utf8(oracle.message().to_vec()).unwrap();
            let nonce = client_first.rsplit_once("r=").unwrap().1;
            let first = ExpectServerFirst::with_nonce(binding, "", nonce.into());
            assert_eq!(first.client_first(), client_first);
            let server_first = format!("r={nonce}and-more,s=c2FsdA==,i=7");
            oracle.update(server_first.as_bytes()).unwrap();
            let expect = first.on_server_first(server_first.as_bytes()).unwrap();
            let (client_final, expect) = expect.on_keys(&keys(password, b"salt", 7));
            assert_eq!(client_final.as_bytes(), oracle.message());
            let server_final = format!("v={}", Base64::encode_string(&*expect.server_signature));
            oracle.finish(server_final.as_bytes()).unwrap();
        }
    }

    #[test]
    fn keys_of_a_credential_without_a_password_are_made_without_a_panic() {
        ScramDerivation { credential: credential(&[]), salt: Box::from(*b"salt"), iterations: 1 }.derive();
        let job = on_server_first(SERVER_FIRST).unwrap().derivation(credential(&[]));
        assert_eq!(Arc::strong_count(&job.credential), 1);
    }
}
