//! What targets ask for, and where a password goes.

use alloc::vec::Vec;

use super::{
    CLIENT_FLAGS, NONCE, OK, SERVER_FLAGS, TLS, any_tls, err, greeted_by, greeting, native_client,
    our_greeting, packet, response, tls_request, unverified, verified,
};
use crate::testing::Transcript;
use crate::tls::TlsPeer;
use crate::{CleartextPassword, Denied, Error, ServerMisbehaved, Transport, Unsupported};

const NATIVE: &str = "14 3f55ad1159acbc82422872cba0fc0438b6e15355";
const SHA2: &str = "20 98258b7b97a03ddb4223469ca8768f34d7fd42b74bfac362a3101936e80a4784";

/// Another nonce, `ijklmnopqrstABCDEFGH`, and the proofs for it.
const NATIVE_AGAIN: &str = "fa06c529bb1bc79cca7cc32ba0cddbe0019674e2";
const SHA2_AGAIN: &str = "4adfaae4eba7ad6068330b7aeca3bafbdda1c26eabd65cc71e1a9ad64506d8a7";

/// What `client_ed25519` makes of `ABCDEFGHIJKLMNOPQRSTUVWXYZ012345`.
const ED25519: &str = "33e18a40f5c96c7e4b896512ae0b4ff314365545fd79a49df4b921e19be6763d \
    626e8eb8bb32b130fa1c1ad07cd790840a621a151fc170b48e5ce7820d86f801";

/// What parsec makes of it and the salt, in one round, behind a scramble that is the hash of
/// 32 zeros and a 2.
const PARSEC: &str = "58cc2f44d3a27866874701fbad573da9ad1cfd88fa3145531c822f20a58beea1 \
    043ba1483cf0c095748711dc9a4825f94638c0f40599f4bfcfc3793bdf864016 \
    96d3f8addee2f1cdb568fa5b53547e74e6fa2b7bf6fb319e7fa7749fae028908";

const KEY: &str = "'-----BEGIN PUBLIC KEY-----' 0A 'AAAA' 0A '-----END PUBLIC KEY-----' 0A";

/// What comes of the key thread in these transcripts.
const CIPHERTEXT: &str = "'no more than a stand-in'";

/// Logged in over a Unix socket with the target's first proof.
fn on_unix(name: &'static str, plugin: &str, proof: &str) -> Transcript {
    begun(greeted_by(Transcript::new(name), SERVER_FLAGS, plugin), 1, CLIENT_FLAGS, plugin, proof)
}

fn begun(transcript: Transcript, number: u8, flags: u32, plugin: &str, proof: &str) -> Transcript {
    let transcript = if number == 1 { transcript.client(native_client()) } else { transcript };
    transcript.to_target(packet(number, response(flags, "svc", proof, plugin)))
}

/// The same over TCP, in clear.
fn in_clear(transcript: Transcript, plugin: &str, proof: &str) -> Transcript {
    let greeted = transcript
        .field("sslmode", b"disable")
        .credential()
        .connection(Transport::Tcp)
        .target(packet(0, greeting(SERVER_FLAGS, plugin, NONCE)))
        .to_client(our_greeting(SERVER_FLAGS));
    begun(greeted, 1, CLIENT_FLAGS, plugin, proof)
}

/// The same inside TLS.
fn in_tls(transcript: Transcript, peer: TlsPeer, plugin: &str, proof: &str) -> Transcript {
    let encrypted = transcript
        .field("host", b"db.example")
        .credential()
        .connection(Transport::Tcp)
        .target(packet(0, greeting(SERVER_FLAGS | TLS, plugin, NONCE)))
        .to_client(our_greeting(SERVER_FLAGS))
        .client(native_client())
        .to_target(tls_request(CLIENT_FLAGS))
        .tls(any_tls(), peer);
    begun(encrypted, 2, CLIENT_FLAGS | TLS, plugin, proof)
}

fn is_let_in(transcript: Transcript, number: u8) -> Transcript {
    transcript.target(packet(number, OK)).to_client(packet(2, OK)).to_target("").relays("", "")
}

fn is_refused(transcript: Transcript, error: impl Into<Error>, code: u16, cause: &str) -> Transcript {
    transcript.fails(error).to_target("").to_client(err(2, code, "HY000", cause))
}

pub(super) fn all() -> Vec<Transcript> {
    [fast(), full(), switches(), refused()].into_iter().flatten().collect()
}

fn fast() -> Vec<Transcript> {
    alloc::vec![
        is_let_in(
            on_unix("caching_sha2_password, known to the server", "caching_sha2_password", SHA2)
                .target(packet(2, "01 03"))
                .to_client("")
                .to_target(""),
            3,
        ),
        is_let_in(
            begun(
                greeted_by(
                    Transcript::new("an account without a password").field("password", b""),
                    SERVER_FLAGS,
                    "caching_sha2_password",
                ),
                1,
                CLIENT_FLAGS,
                "caching_sha2_password",
                "01 00",
            ),
            2,
        ),
        is_let_in(
            begun(
                greeted_by(
                    Transcript::new("a method that we do not have to begin with"),
                    SERVER_FLAGS,
                    "dialog"
                ),
                1,
                CLIENT_FLAGS,
                "mysql_native_password",
                "00",
            ),
            2,
        ),
    ]
}

fn full() -> Vec<Transcript> {
    let sha2 = "caching_sha2_password";
    let password = "'pencil' 00";
    let over_unix = on_unix("caching_sha2_password in full over a Unix socket", sha2, SHA2)
        .target(packet(2, "01 04"))
        .to_target(packet(3, password));
    let over_tls =
        |transcript: Transcript, peer| in_tls(transcript, peer, sha2, SHA2).target(packet(3, "01 04"));
    let key = |name| {
        in_clear(Transcript::new(name).allow_public_key_retrieval(), sha2, SHA2)
            .target(packet(2, "01 04"))
            .to_target(packet(3, "02"))
    };
    let pinned_to = |name, pin: &[u8], key: &str| {
        in_clear(Transcript::new(name).field("serverPublicKey", pin), sha2, SHA2)
            .target(packet(2, "01 04"))
            .to_target(packet(3, "02"))
            .target(packet(4, &*alloc::format!("01 {key}")))
    };
    let pinned = |name, pin: &[u8]| pinned_to(name, pin, KEY);
    let pin = b"-----BEGIN PUBLIC KEY-----\r\nAA\r\nAA\r\n-----END PUBLIC KEY-----\r\n";
    let sha256 = "sha256_password";
    alloc::vec![
        is_let_in(over_unix, 4),
        is_let_in(
            over_tls(Transcript::new("caching_sha2_password in full inside any TLS"), unverified())
                .to_target(packet(4, password)),
            5,
        ),
        is_let_in(
            over_tls(
                Transcript::new("caching_sha2_password in full inside verified TLS, where that is asked for")
                    .cleartext_password(CleartextPassword::Verified),
                verified(),
            )
            .to_target(packet(4, password)),
            5,
        ),
        is_refused(
            over_tls(
                Transcript::new(
                    "caching_sha2_password in full not inside any TLS, where verified is asked for"
                )
                .cleartext_password(CleartextPassword::Verified),
                unverified(),
            ),
            Denied::CleartextPassword,
            1105,
            "refusing to send the password in clear: the target asks for it outside verified TLS; see `config: \
             cleartextPassword`",
        ),
        is_let_in(
            key("caching_sha2_password in full in clear, with a key that may be asked for")
                .target(packet(4, &*alloc::format!("01 {KEY}")))
                .encrypts(KEY, CIPHERTEXT)
                .to_target(packet(5, CIPHERTEXT)),
            6,
        ),
        is_let_in(
            pinned("caching_sha2_password in full in clear, with the key that it should be", pin)
                .encrypts(pin.to_vec(), CIPHERTEXT)
                .to_target(packet(5, CIPHERTEXT)),
            6,
        ),
        is_let_in(
            pinned_to(
                "another key behind the one that it should be is not used",
                pin,
                "'-----BEGIN ANYTHING-----' 0A 'AAAA' 0A '-----END ANYTHING-----' 0A \
                 '-----BEGIN PUBLIC KEY-----' 0A 'BBBB' 0A '-----END PUBLIC KEY-----' 0A",
            )
            .encrypts(pin.to_vec(), CIPHERTEXT)
            .to_target(packet(5, CIPHERTEXT)),
            6,
        ),
        is_refused(
            pinned(
                "a key that is not the one it should be",
                b"-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----"
            ),
            Denied::ServerKeyMismatch,
            1105,
            "the target's RSA key is not the one in credential 'serverPublicKey'",
        ),
        is_refused(
            in_clear(Transcript::new("a key that anybody may have sent is not asked for"), sha2, SHA2)
                .target(packet(2, "01 04")),
            Denied::ServerKeyUnknown,
            1105,
            "refusing to encrypt the password with a key that anybody may have sent: use TLS, or give credential \
             'serverPublicKey', or set `config: allowPublicKeyRetrieval: true`",
        ),
        is_refused(
            key("a key that is none").target(packet(4, "01 'nonsense'")).encrypts("'nonsense'", ""),
            ServerMisbehaved::ServerKey,
            1429,
            "the target's RSA key is unusable, or too short for the password",
        ),
        is_let_in(
            in_tls(Transcript::new("sha256_password inside TLS"), unverified(), sha256, "07 'pencil' 00"),
            3,
        ),
        is_let_in(
            on_unix(
                "sha256_password over a Unix socket, which it takes for a line like any other",
                sha256,
                "01 01"
            )
            .target(packet(2, &*alloc::format!("01 {KEY}")))
            .encrypts(KEY, CIPHERTEXT)
            .to_target(packet(3, CIPHERTEXT)),
            4,
        ),
    ]
}

fn switches() -> Vec<Transcript> {
    let native = "mysql_native_password";
    let nonce = "'ijklmnopqrstABCDEFGH' 00";
    let to = |plugin: &str, nonce: &str| packet(2, &*alloc::format!("FE '{plugin}' 00 {nonce}"));
    let long = "'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'";
    let salt = "000102030405060708090A0B0C0D0E0F1011";
    alloc::vec![
        is_let_in(
            on_unix("a switch to the same method has another nonce", native, NATIVE)
                .target(to(native, nonce))
                .to_target(packet(3, NATIVE_AGAIN)),
            4,
        ),
        is_let_in(
            on_unix("a switch to caching_sha2_password", native, NATIVE)
                .target(to("caching_sha2_password", nonce))
                .to_target(packet(3, SHA2_AGAIN))
                .target(packet(4, "01 03")),
            5,
        ),
        is_let_in(
            on_unix("a switch to caching_sha2_password, in full", native, NATIVE)
                .target(to("caching_sha2_password", nonce))
                .to_target(packet(3, SHA2_AGAIN))
                .target(packet(4, "01 04"))
                .to_target(packet(5, "'pencil' 00")),
            6,
        ),
        is_let_in(
            on_unix("a switch to a password in clear over a Unix socket", native, NATIVE)
                .target(to("mysql_clear_password", ""))
                .to_target(packet(3, "'pencil' 00")),
            4,
        ),
        is_let_in(
            on_unix("a switch from one of MariaDB's methods to another", native, NATIVE)
                .target(to("client_ed25519", long))
                .to_target(packet(3, ED25519))
                .target(packet(4, &*alloc::format!("FE 'parsec' 00 {long}")))
                .to_target(packet(5, ""))
                .target(packet(6, &*alloc::format!("'P' 00 {salt}")))
                .derives(salt, 1024)
                .to_target(packet(7, PARSEC)),
            8,
        ),
    ]
}

fn refused() -> Vec<Transcript> {
    let native = "mysql_native_password";
    let says = |name, payload: &str| on_unix(name, native, NATIVE).target(packet(2, payload));
    let many = (0..9u8).fold(
        on_unix("a target that cannot make up its mind", native, NATIVE),
        |transcript, count| {
            let switch = packet(2 * count + 2, "FE 'mysql_native_password' 00 'ijklmnopqrstABCDEFGH' 00");
            let transcript = transcript.target(switch);
            if count < 8 { transcript.to_target(packet(2 * count + 3, NATIVE_AGAIN)) } else { transcript }
        },
    );
    alloc::vec![
        is_refused(
            says("the method of before 4.1", "FE"),
            Unsupported::AuthenticationMethod("mysql_old_password"),
            1105,
            "the target asks for mysql_old_password authentication, which is not supported",
        ),
        is_refused(
            says("another factor", "02 'authentication_webauthn' 00"),
            Unsupported::AuthenticationMethod("multi-factor"),
            1105,
            "the target asks for multi-factor authentication, which is not supported",
        ),
        is_refused(
            says("a method that we do not have is named", "FE 'auth_gssapi_client' 00 'spn' 0A"),
            Unsupported::AuthenticationPlugin("auth_gssapi_client".into()),
            1105,
            "Unknown auth plugin: auth_gssapi_client: the target asks for it for this account, and it is not supported",
        ),
        is_refused(
            in_clear(
                Transcript::new("a password in clear goes over no line that others read"),
                native,
                NATIVE
            )
            .target(packet(2, "FE 'mysql_clear_password' 00")),
            Denied::CleartextPassword,
            1105,
            "refusing to send the password in clear: the target asks for it outside verified TLS; see `config: \
             cleartextPassword`",
        ),
        is_refused(
            in_tls(Transcript::new("nor inside TLS with anybody"), unverified(), native, NATIVE)
                .target(packet(3, "FE 'mysql_clear_password' 00")),
            Denied::CleartextPassword,
            1105,
            "refusing to send the password in clear: the target asks for it outside verified TLS; see `config: \
             cleartextPassword`",
        ),
        is_refused(
            many,
            ServerMisbehaved::TooManySwitches,
            1429,
            "the target changed the method of authentication too often"
        ),
        is_refused(
            says("a word that fits no method", "01 03"),
            ServerMisbehaved::UnexpectedMessage,
            1429,
            "the target sent a message out of place",
        ),
        is_refused(
            says("a nonce that is too short", "FE 'client_ed25519' 00 'abc'"),
            ServerMisbehaved::MalformedMessage("the nonce"),
            1429,
            "the target sent a malformed message: the nonce",
        ),
        is_refused(
            on_unix("a packet out of order", native, NATIVE).target(packet(3, OK)),
            ServerMisbehaved::PacketOrder,
            1429,
            "the target sent packets out of order",
        ),
    ]
}
