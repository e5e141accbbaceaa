//! The client's side of SCRAM against the specification, an independent implementation, and hostile servers.

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
        .derive(crate::Secret::copied_to_heap)
}

fn on_server_first(message: &str) -> Result<ExpectKeys, ServerMisbehaved> {
    ExpectServerFirst::with_nonce(Binding::Unsupported, "", NONCE.into()).on_server_first(message.as_bytes())
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
    let (client_final, expect) = expect.on_keys(&job.derive(crate::Secret::copied_to_heap));
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
        let (client_final, expect) = first.on_server_first(SERVER_FIRST.as_bytes()).unwrap().on_keys(&keys);
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
        let nonce = client_first.split_once("n=,r=").unwrap().1;
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
    ScramDerivation { credential: credential(&[]), salt: Box::from(*b"salt"), iterations: 1 }
        .derive(crate::Secret::copied_to_heap);
    let job = on_server_first(SERVER_FIRST).unwrap().derivation(credential(&[]));
    assert_eq!(Arc::strong_count(&job.credential), 1);
}
