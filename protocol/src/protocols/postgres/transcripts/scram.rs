//! SCRAM, as PostgreSQL carries it. The target's nonce is ours and `%server`, its salt `salt`, its count 2.

use alloc::format;
use alloc::vec::Vec;

use super::{
    AUTHENTICATION_OK, BARE_STARTUP, BARE_STARTUP_FOR_TARGET, SSL_REQUEST, any_tls, fatal, unverified,
    verified,
};
use crate::testing::{Transcript, wire};
use crate::tls::TlsPeer;
use crate::{ChannelBinding, Denied, Error, ServerMisbehaved, Side, Transport, Unsupported};

const PLAIN: &str = "'R' | 00000017 | 0000000A | 'SCRAM-SHA-256' 00 | 00";
const PLUS: &str = "'R' | 0000001C | 0000000A | 'SCRAM-SHA-256-PLUS' 00 | 00";
const BOTH: &str = "'R' | 0000002A | 0000000A | 'SCRAM-SHA-256-PLUS' 00 | 'SCRAM-SHA-256' 00 | 00";

/// `SASLInitialResponse`, without channel binding.
const CLIENT_FIRST: &str =
    "'p' | 0000003E | 'SCRAM-SHA-256' 00 | 00000028 | 'n,,n=,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'";
const SERVER_FIRST: &str =
    "'R' | 00000040 | 0000000B | 'r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=2'";
const CLIENT_FINAL: &str = "'p' | 00000063 | 'c=biws,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,\
                            p=d9PPExnqFvxPt0J5OFDzMbA3OxKcRIk1bet6JiO3F7c='";
const SERVER_FINAL: &str = "'R' | 00000036 | 0000000C | 'v=YPhs6SXivUucn+9qloWVqtB9jOuQQ0XzmxZXd3ILniI='";
/// The same for the password `crayon`.
const CLIENT_FINAL_CRAYON: &str = "'p' | 00000063 | 'c=biws,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,\
                                   p=0uJU3Brj1Hd5IgvqxqBtGY6xzG4tzrcq6ErcHK+NMaM='";
const SERVER_FINAL_CRAYON: &str =
    "'R' | 00000036 | 0000000C | 'v=52pkAK6J75TPvyboZjb7eha0d7SuJJyA4xpkLFIMj6w='";
/// `ErrorResponse`, 28P01.
const WRONG_PASSWORD: &str =
    "'E' | 0000003B | 'SFATAL' 00 | 'C28P01' 00 | 'Mpassword authentication failed for svc' 00 | 00";

/// The startup packet has been sent over a Unix socket.
fn on_unix(name: &'static str) -> Transcript {
    Transcript::new(name)
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Unix)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

/// The same inside TLS.
fn in_tls(name: &'static str, peer: TlsPeer) -> Transcript {
    Transcript::new(name)
        .field("host", b"db.example")
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Tcp)
        .to_target(SSL_REQUEST)
        .target("'S'")
        .tls(any_tls(), peer)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

fn has_begun(name: &'static str) -> Transcript {
    on_unix(name).target(PLAIN).to_target(CLIENT_FIRST)
}

fn has_proved(name: &'static str) -> Transcript {
    has_begun(name).target(SERVER_FIRST).keys(b"salt", 2).to_target(CLIENT_FINAL)
}

fn is_let_in(transcript: Transcript) -> Transcript {
    transcript.to_client("").target(AUTHENTICATION_OK).to_client(AUTHENTICATION_OK).relays("", "")
}

fn refuses(transcript: Transcript, target: &str, error: impl Into<Error>, cause: &str) -> Transcript {
    transcript.target(target).fails(error).to_target("").to_client(fatal("08006", cause))
}

/// A `server-first-message` that breaks a rule.
fn refuses_first(name: &'static str, message: &str, error: ServerMisbehaved, cause: &str) -> Transcript {
    let length = 8 + message.len();
    refuses(has_begun(name), &format!("'R' | {length:08X} | 0000000B | '{message}'"), error, cause)
}

/// A list of mechanisms none of which can be used.
fn refuses_offer(transcript: Transcript, target: &str) -> Transcript {
    transcript
        .target(target)
        .fails(Unsupported::SaslMechanisms)
        .to_target("")
        .to_client(fatal("0A000", "the target offers no SASL mechanism that is supported"))
}

pub(super) fn all() -> Vec<Transcript> {
    [exchanges(), bindings(), refusals(), violations()].into_iter().flatten().collect()
}

fn exchanges() -> Vec<Transcript> {
    alloc::vec![
        is_let_in(has_proved("SCRAM without TLS says n").target(SERVER_FINAL)),
        is_let_in(
            in_tls("SCRAM inside TLS says y where the target does not offer channel binding", unverified())
                .target(PLAIN)
                .to_target("'p' | 0000003E | 'SCRAM-SHA-256' 00 | 00000028 | 'y,,n=,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'")
                .target(SERVER_FIRST)
                .keys(b"salt", 2)
                .to_target(
                    "'p' | 00000063 | 'c=eSws,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,\
                     p=cs/j12WG9/GAOawyx0HAW3WPiY5/eVgi4M+cVkxdoaA='"
                )
                .target("'R' | 00000036 | 0000000C | 'v=x+lLU5RAnr4ORki6fl8HxetRPFeA5D87nQDxSkX9mbM='")
        ),
        is_let_in(
            in_tls("SCRAM inside TLS is bound to the certificate where the target offers it", unverified())
                .target(BOTH)
                .to_target(
                    "'p' | 00000058 | 'SCRAM-SHA-256-PLUS' 00 | 0000003D | \
                     'p=tls-server-end-point,,n=,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'"
                )
                .target(SERVER_FIRST)
                .keys(b"salt", 2)
                .to_target(
                    "'p' | 000000AB | 'c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,\
                     r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,p=t0wRuQjIb3fjh2DPtuJAFwOZlppoeA7AfqvND+MGr7Y='"
                )
                .target("'R' | 00000036 | 0000000C | 'v=gKW8rcqGwwm3ozd3BdrNGZYmlZIFw+QiXpOktc7L1Vo='")
        ),
        is_let_in(
            in_tls(
                "SCRAM inside TLS says n where the certificate has no defined hash",
                TlsPeer { verified: true, end_point: None }
            )
            .target(BOTH)
            .to_target(CLIENT_FIRST)
            .target(SERVER_FIRST)
            .keys(b"salt", 2)
            .to_target(CLIENT_FINAL)
            .target(SERVER_FINAL)
        ),
        is_let_in(
            on_unix("mechanisms that we do not know are read over")
                .target("'R' | 00000022 | 0000000A | 'GS2-KRB5-X' 00 | 'SCRAM-SHA-256' 00 | 00")
                .to_target(CLIENT_FIRST)
                .target(SERVER_FIRST)
                .keys(b"salt", 2)
                .to_target(CLIENT_FINAL)
                .target(SERVER_FINAL)
        ),
        has_begun("what the target says behind its nonce waits until the keys are there")
            .target([&wire(SERVER_FIRST)[..], b"N\0\0\0\x05\0"].concat())
            .keys(b"salt", 2)
            .to_target(CLIENT_FINAL)
            .target(SERVER_FINAL)
            .target("'R' | 00000008 | 00000000 | 'Z' | 00000005 | 'I'")
            .to_client(AUTHENTICATION_OK)
            .relays("", "'Z' | 00000005 | 'I'"),
    ]
}

/// A service that wants channel binding, and a target that does not do it: nothing is proven.
fn refuses_unbound(transcript: Transcript, target: &str) -> Transcript {
    transcript
        .channel_binding(ChannelBinding::Require)
        .target(target)
        .fails(Denied::ChannelBinding)
        .to_target("")
        .to_client(fatal(
            "28000",
            "refusing to log in without channel binding: the target does not offer it, or not over TLS; \
             see `config: channelBinding`",
        ))
}

fn bindings() -> Vec<Transcript> {
    let without_hash = || TlsPeer { verified: true, end_point: None };
    alloc::vec![
        in_tls(
            "a target that does channel binding is good enough for a service that requires it",
            verified()
        )
        .channel_binding(ChannelBinding::Require)
        .target(BOTH)
        .to_target(
            "'p' | 00000058 | 'SCRAM-SHA-256-PLUS' 00 | 0000003D | \
                 'p=tls-server-end-point,,n=,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'"
        )
        .waits(Side::Target),
        refuses_unbound(
            in_tls("SCRAM without -PLUS is refused where channel binding is required", verified()),
            PLAIN
        ),
        refuses_unbound(
            in_tls(
                "a certificate without a defined hash is refused where channel binding is required",
                without_hash()
            ),
            BOTH
        ),
        refuses_unbound(
            in_tls("MD5 is refused where channel binding is required", verified()),
            "'R' | 0000000C | 00000005 | 01020304"
        ),
        refuses_unbound(
            in_tls("a password in clear is refused where channel binding is required", verified()),
            "'R' | 00000008 | 00000003"
        ),
        refuses_unbound(
            in_tls("a target that trusts everybody is refused where channel binding is required", verified()),
            AUTHENTICATION_OK
        ),
        refuses_unbound(on_unix("a Unix socket is refused where channel binding is required"), PLAIN),
    ]
}

fn refusals() -> Vec<Transcript> {
    alloc::vec![
        has_proved("a target that refuses the password gets a better one on a new connection, and the client never knows")
            .target(WRONG_PASSWORD)
            .is_refused(true)
            .retry(&[("password", b"crayon")])
            .credential()
            .connection(Transport::Unix)
            .to_target(BARE_STARTUP_FOR_TARGET)
            .target(PLAIN)
            .to_target(CLIENT_FIRST)
            .target(SERVER_FIRST)
            .keys(b"salt", 2)
            .to_target(CLIENT_FINAL_CRAYON)
            .target(SERVER_FINAL_CRAYON)
            .target(AUTHENTICATION_OK)
            .to_client(AUTHENTICATION_OK)
            .relays("", ""),
        has_proved("where there is no better password, the target's words pass byte for byte, and nothing of ours")
            .target(WRONG_PASSWORD)
            .is_refused(true)
            .to_client("")
            .gives_up(Denied::CredentialRefused)
            .to_client(WRONG_PASSWORD),
        has_proved("a retry that is refused as well passes the second refusal")
            .target("'E' | 0000000C | 'C28000' 00 | 00")
            .is_refused(true)
            .retry(&[])
            .credential()
            .connection(Transport::Unix)
            .to_target(BARE_STARTUP_FOR_TARGET)
            .target(WRONG_PASSWORD)
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client(WRONG_PASSWORD),
        has_proved("a target that refuses the proof inside SCRAM has no words, so we find some")
            .target("'R' | 00000017 | 0000000C | 'e=invalid-proof'")
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client(fatal("28000", "the target refused the credential")),
    ]
}

fn violations() -> Vec<Transcript> {
    let no_proof = "the target declared success without proving that it knows the password";
    let out_of_place = "the target sent a message out of place";
    alloc::vec![
        refuses(
            has_begun("AuthenticationOk instead of a nonce proves nothing"),
            AUTHENTICATION_OK,
            ServerMisbehaved::NoProof,
            no_proof,
        ),
        refuses(
            has_proved("AuthenticationOk instead of a signature proves nothing"),
            AUTHENTICATION_OK,
            ServerMisbehaved::NoProof,
            no_proof,
        ),
        refuses(
            has_begun("AuthenticationOk behind the nonce proves nothing, however soon it comes")
                .target([&wire(SERVER_FIRST)[..], &wire(AUTHENTICATION_OK)].concat())
                .keys(b"salt", 2)
                .to_target(CLIENT_FINAL),
            "",
            ServerMisbehaved::NoProof,
            no_proof,
        ),
        refuses(
            has_proved("a wrong signature is a target that does not know the password"),
            SERVER_FINAL_CRAYON,
            ServerMisbehaved::WrongProof,
            "the target does not know the password: its SCRAM signature is wrong",
        ),
        refuses(
            has_proved("an empty end of SCRAM is no signature"),
            "'R' | 00000008 | 0000000C",
            ServerMisbehaved::Scram("no signature"),
            "the target broke the SCRAM exchange: no signature",
        ),
        refuses(
            has_proved("a second signature is out of place").target(SERVER_FINAL),
            SERVER_FINAL,
            ServerMisbehaved::UnexpectedMessage,
            out_of_place,
        ),
        refuses(
            has_begun("a second list of mechanisms is out of place"),
            PLAIN,
            ServerMisbehaved::UnexpectedMessage,
            out_of_place,
        ),
        refuses(
            has_begun("a request for the password in the middle of SCRAM is out of place"),
            "'R' | 00000008 | 00000003",
            ServerMisbehaved::UnexpectedMessage,
            out_of_place,
        ),
        refuses(
            on_unix("a nonce without a list of mechanisms is out of place"),
            SERVER_FIRST,
            ServerMisbehaved::UnexpectedMessage,
            out_of_place,
        ),
        refuses(
            on_unix("a list of mechanisms without an end is malformed"),
            "'R' | 00000016 | 0000000A | 'SCRAM-SHA-256' 00",
            ServerMisbehaved::MalformedMessage("the end of the mechanisms"),
            "the target sent a malformed message: the end of the mechanisms",
        ),
        refuses_first(
            "a nonce that is just ours is refused",
            "r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,s=c2FsdA==,i=2",
            ServerMisbehaved::Scram("the nonce adds nothing to ours"),
            "the target broke the SCRAM exchange: the nonce adds nothing to ours",
        ),
        refuses_first(
            "a nonce that does not begin with ours is refused",
            "r=BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=2",
            ServerMisbehaved::Scram("the nonce does not begin with ours"),
            "the target broke the SCRAM exchange: the nonce does not begin with ours",
        ),
        refuses_first(
            "a mandatory extension is refused",
            "m=ext,r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=2",
            ServerMisbehaved::Scram("a mandatory extension"),
            "the target broke the SCRAM exchange: a mandatory extension",
        ),
        refuses_first(
            "no iterations are refused",
            "r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=0",
            ServerMisbehaved::Scram("the iteration count is not a positive number"),
            "the target broke the SCRAM exchange: the iteration count is not a positive number",
        ),
        refuses_first(
            "two billion iterations are refused before one is computed",
            "r=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=2147483647",
            ServerMisbehaved::ScramIterations,
            "the target asked for too many SCRAM iterations",
        ),
        refuses_offer(on_unix("channel binding cannot be had without TLS"), PLUS),
        refuses_offer(
            in_tls(
                "channel binding cannot be had for a certificate without a defined hash",
                TlsPeer { verified: true, end_point: None }
            ),
            PLUS
        ),
        refuses_offer(on_unix("an empty list of mechanisms is refused"), "'R' | 00000009 | 0000000A | 00"),
        refuses_offer(
            on_unix("a list without SCRAM-SHA-256 is refused"),
            "'R' | 00000015 | 0000000A | 'OAUTHBEARER' 00 | 00"
        ),
    ]
}
