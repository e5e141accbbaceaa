//! Trust, cleartext and MD5 passwords, and methods that we do not have.

use alloc::vec::Vec;

use super::{
    AUTHENTICATION_OK, BARE_STARTUP, BARE_STARTUP_FOR_TARGET, SSL_REQUEST, any_tls, fatal, unverified,
    verified,
};
use crate::testing::Transcript;
use crate::tls::TlsPeer;
use crate::{BrokerFailed, CleartextPassword, Denied, Error, ServerMisbehaved, Transport, Unsupported};

const CLEARTEXT_PASSWORD: &str = "'R' | 00000008 | 00000003";
const REFUSES_CLEARTEXT: &str = "refusing to send the password in clear: the target asks for it outside verified TLS; \
                                 see `config: cleartextPassword`";

/// The login has begun on a Unix socket.
fn on_unix(name: &'static str) -> Transcript {
    asks_on_unix(Transcript::new(name))
}

fn asks_on_unix(transcript: Transcript) -> Transcript {
    transcript
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Unix)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

/// The login has begun over TCP, in clear.
fn in_clear(name: &'static str, rule: CleartextPassword) -> Transcript {
    Transcript::new(name)
        .cleartext_password(rule)
        .field("sslmode", b"disable")
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Tcp)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

/// The login has begun inside TLS.
fn in_tls(name: &'static str, rule: CleartextPassword, peer: TlsPeer) -> Transcript {
    Transcript::new(name)
        .cleartext_password(rule)
        .field("host", b"db.example")
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Tcp)
        .to_target(SSL_REQUEST)
        .target("'S'")
        .tls(any_tls(), peer)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

fn sends_password(transcript: Transcript) -> Transcript {
    transcript
        .target(CLEARTEXT_PASSWORD)
        .to_target("'p' | 0000000B | 'pencil' 00")
        .to_client("")
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

fn refuses_password(transcript: Transcript) -> Transcript {
    transcript
        .target(CLEARTEXT_PASSWORD)
        .fails(Denied::CleartextPassword)
        .to_target("")
        .to_client(fatal("28000", REFUSES_CLEARTEXT))
}

fn refuses(
    name: &'static str,
    target: &str,
    error: impl Into<Error>,
    sqlstate: &str,
    cause: &str,
) -> Transcript {
    on_unix(name).target(target).fails(error).to_target("").to_client(fatal(sqlstate, cause))
}

fn refuses_method(name: &'static str, target: &str, error: Unsupported, cause: &str) -> Transcript {
    refuses(name, target, error, "0A000", cause)
}

pub(super) fn all() -> Vec<Transcript> {
    use CleartextPassword::{Always, Tls, Verified};
    alloc::vec![
        sends_password(on_unix("a password is sent in clear on a Unix socket")),
        sends_password(in_tls("a password is sent in clear inside verified TLS", Verified, verified())),
        sends_password(in_tls(
            "a password is sent in clear inside any TLS by the rule tls",
            Tls,
            unverified()
        )),
        sends_password(in_tls(
            "a password is sent in clear inside any TLS by the rule always",
            Always,
            unverified()
        )),
        sends_password(in_clear("a password is sent in clear anywhere by the rule always", Always)),
        refuses_password(in_tls(
            "no password is sent in clear inside unverified TLS",
            Verified,
            unverified()
        )),
        refuses_password(in_clear("no password is sent in clear outside TLS", Verified)),
        refuses_password(in_clear("no password is sent in clear outside TLS by the rule tls", Tls)),
        asks_on_unix(
            Transcript::new("a password that is not there is missed when it is asked for")
                .field("password", b"")
        )
        .target(CLEARTEXT_PASSWORD)
        .fails(BrokerFailed::FieldMissing("password"))
        .to_client(fatal("57P03", "the credential has no 'password'")),
        asks_on_unix(
            Transcript::new("a password with a NUL would end early, so it is refused")
                .field("password", b"a\0b")
        )
        .target(CLEARTEXT_PASSWORD)
        .fails(BrokerFailed::FieldUnusable("password"))
        .to_client(fatal("57P03", "the credential's 'password' cannot be sent")),
        on_unix("an MD5 password is hashed with the user name and the salt")
            .target("'R' | 0000000C | 00000005 | 01020304")
            .to_target("'p' | 00000028 | 'md59b031ce8751a3447ac2fd4de9d8037de' 00")
            .target(AUTHENTICATION_OK)
            .to_client(AUTHENTICATION_OK)
            .relays("", ""),
        on_unix("a target that has the hash may not ask for the password as well")
            .target("'R' | 0000000C | 00000005 | 01020304")
            .to_target("'p' | 00000028 | 'md59b031ce8751a3447ac2fd4de9d8037de' 00")
            .target(CLEARTEXT_PASSWORD)
            .fails(ServerMisbehaved::UnexpectedMessage)
            .to_target("")
            .to_client(fatal("08006", "the target sent a message out of place")),
        on_unix("a target that has the password may not begin SCRAM")
            .target(CLEARTEXT_PASSWORD)
            .to_target("'p' | 0000000B | 'pencil' 00")
            .target("'R' | 00000017 | 0000000A | 'SCRAM-SHA-256' 00 | 00")
            .fails(ServerMisbehaved::UnexpectedMessage)
            .to_target("")
            .to_client(fatal("08006", "the target sent a message out of place")),
        on_unix("notices before the target has let us in are read over")
            .target("'N' | 0000000D | 'Mhello' 00 | 00 | 00")
            .target(CLEARTEXT_PASSWORD)
            .to_target("'p' | 0000000B | 'pencil' 00")
            .target("'N' | 00000005 | 00 | 'R' | 00000008 | 00000000")
            .to_client(AUTHENTICATION_OK)
            .relays("", ""),
        on_unix("a target that sends nothing but notices is refused at the sixty-fifth")
            .whole("three hundred cuts show nothing new")
            .target(b"N\0\0\0\x05\0".repeat(65))
            .fails(ServerMisbehaved::UnexpectedMessage)
            .to_client(fatal("08006", "the target sent a message out of place")),
        on_unix("sixty-four notices are borne")
            .whole("three hundred cuts show nothing new")
            .target(b"N\0\0\0\x05\0".repeat(64))
            .target(AUTHENTICATION_OK)
            .to_client(AUTHENTICATION_OK)
            .relays("", ""),
        refuses_method(
            "GSSAPI is refused by its name",
            "'R' | 00000008 | 00000007",
            Unsupported::AuthenticationCode { code: 7, name: Some("GSSAPI") },
            "Authentication method 7 is not supported: GSSAPI",
        ),
        refuses_method(
            "SSPI is refused by its name",
            "'R' | 00000008 | 00000009",
            Unsupported::AuthenticationCode { code: 9, name: Some("SSPI") },
            "Authentication method 9 is not supported: SSPI",
        ),
        refuses_method(
            "Kerberos is refused by its name",
            "'R' | 00000008 | 00000002",
            Unsupported::AuthenticationCode { code: 2, name: Some("Kerberos V5") },
            "Authentication method 2 is not supported: Kerberos V5",
        ),
        refuses_method(
            "SCM credentials are refused by their name, whatever stands behind",
            "'R' | 0000000A | 00000006 | 0000",
            Unsupported::AuthenticationCode { code: 6, name: Some("SCM credential") },
            "Authentication method 6 is not supported: SCM credential",
        ),
        refuses_method(
            "a method that nobody knows is refused by its number",
            "'R' | 00000008 | FFFFFFFF",
            Unsupported::AuthenticationCode { code: u32::MAX, name: None },
            "Authentication method 4294967295 is not supported",
        ),
        refuses(
            "an authentication request without a method is malformed",
            "'R' | 00000007 | 000000",
            ServerMisbehaved::MalformedMessage("the authentication method"),
            "08006",
            "the target sent a malformed message: the authentication method",
        ),
        refuses(
            "an AuthenticationOk with something behind it is malformed",
            "'R' | 00000009 | 00000000 | 00",
            ServerMisbehaved::MalformedMessage("the end of the authentication request"),
            "08006",
            "the target sent a malformed message: the end of the authentication request",
        ),
        refuses(
            "an MD5 request with a short salt is malformed",
            "'R' | 0000000B | 00000005 | 010203",
            ServerMisbehaved::MalformedMessage("the salt"),
            "08006",
            "the target sent a malformed message: the salt",
        ),
        refuses(
            "a message shorter than its own length word is malformed",
            "'R' | 00000003",
            ServerMisbehaved::MalformedMessage("its length"),
            "08006",
            "the target sent a malformed message: its length",
        ),
        refuses(
            "a message longer than a handshake has use for is refused before it has come",
            "'R' | 00010000",
            ServerMisbehaved::MessageLength,
            "08006",
            "the target sent a message that is too long for a handshake",
        ),
        refuses(
            "a session's message before the target has let us in is out of place at its first byte",
            "'Z'",
            ServerMisbehaved::UnexpectedMessage,
            "08006",
            "the target sent a message out of place",
        ),
        on_unix("a target that goes away is named")
            .fails_outside(ServerMisbehaved::Closed)
            .to_client(fatal("08006", "the target closed the connection during the handshake")),
    ]
}
