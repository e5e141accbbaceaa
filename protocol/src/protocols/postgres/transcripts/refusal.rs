//! A target that says no in its own words.

use alloc::vec::Vec;

use super::{BARE_STARTUP, BARE_STARTUP_FOR_TARGET, fatal};
use crate::testing::Transcript;
use crate::{Denied, ServerMisbehaved, TargetFailed, Transport};

const WRONG_PASSWORD: &str = "'E' | 0000000C | 'C28P01' 00 | 00";

fn has_begun(name: &'static str) -> Transcript {
    Transcript::new(name)
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Unix)
        .to_target(BARE_STARTUP_FOR_TARGET)
}

fn passes(name: &'static str, error: &str) -> Transcript {
    has_begun(name).target(error).fails(Denied::ByTarget).to_client(error)
}

fn refuses(name: &'static str, error: &str, missing: &'static str, cause: &str) -> Transcript {
    has_begun(name)
        .target(error)
        .fails(ServerMisbehaved::MalformedMessage(missing))
        .to_client(fatal("08006", cause))
}

pub(super) fn all() -> Vec<Transcript> {
    alloc::vec![
        passes(
            "a target that has no room says so itself",
            "'E' | 0000003B | 'SFATAL' 00 | 'VFATAL' 00 | 'C53300' 00 | 'Msorry, too many clients already' 00 | 00",
        ),
        passes(
            "a target that starts up says so itself, with fields that we do not know",
            "'E' | 00000025 | 'VFATAL' 00 | '!' FF 00 | 'C57P03' 00 | 'Mstarting up' 00 | 'R' 00 | 00",
        ),
        passes("an error without an SQLSTATE passes", "'E' | 00000009 | 'Mno' 00 | 00"),
        passes("an error without anything passes", "'E' | 00000005 | 00"),
        has_begun("a target without a line for us may mean the session, not the credential")
            .target("'E' | 0000000C | 'C28000' 00 | 00")
            .is_refused(false)
            .gives_up(Denied::CredentialRefused)
            .to_client("'E' | 0000000C | 'C28000' 00 | 00"),
        has_begun("what LDAP or PAM say of a wrong password is the credential's fault")
            .target("'R' | 00000008 | 00000003")
            .to_target("'p' | 0000000B | 'pencil' 00")
            .target("'E' | 0000000C | 'C28000' 00 | 00")
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client("'E' | 0000000C | 'C28000' 00 | 00"),
        has_begun("a password is not sent before it may be")
            .target("'R' | 00000008 | 00000003")
            .to_target("")
            .is_permitted()
            .to_target("'p' | 0000000B | 'pencil' 00")
            .target("'R' | 00000008 | 00000000")
            .to_client("'R' | 00000008 | 00000000")
            .relays("", ""),
        has_begun("an answer to an MD5 salt is not sent before it may be")
            .target("'R' | 0000000C | 00000005 | 01020304")
            .to_target("")
            .is_not_permitted(WRONG_PASSWORD, Denied::CredentialRefused)
            .to_target("")
            .to_client(WRONG_PASSWORD),
        has_begun("SCRAM does not begin before it may, and what was said to somebody else passes")
            .target("'R' | 00000017 | 0000000A | 'SCRAM-SHA-256' 00 | 00")
            .to_target("")
            .is_not_permitted(WRONG_PASSWORD, Denied::CredentialRefused)
            .to_target("")
            .to_client(WRONG_PASSWORD),
        has_begun("a target that asks for no proof needs no permission")
            .target("'R' | 00000008 | 00000000")
            .to_client("'R' | 00000008 | 00000000")
            .relays("", ""),
        has_begun("only the first SQLSTATE of an error counts")
            .target("'E' | 00000013 | 'C53300' 00 | 'C28P01' 00 | 00")
            .fails(Denied::ByTarget)
            .to_client("'E' | 00000013 | 'C53300' 00 | 'C28P01' 00 | 00"),
        has_begun("what the target says behind its refusal is not read")
            .target("'E' | 00000005 | 00 | 'R' | 00000008 | 00000000")
            .fails(Denied::ByTarget)
            .to_client("'E' | 00000005 | 00"),
        refuses(
            "an error without an end is malformed",
            "'E' | 00000008 | 'Mno' 00",
            "the end of the error",
            "the target sent a malformed message: the end of the error",
        ),
        refuses(
            "an error whose field has no end is malformed",
            "'E' | 00000007 | 'Mno'",
            "a field of the error",
            "the target sent a malformed message: a field of the error",
        ),
        refuses(
            "an error with something behind its end is malformed",
            "'E' | 00000006 | 00 | 'x'",
            "the end of the error",
            "the target sent a malformed message: the end of the error",
        ),
        Transcript::new("a target that cannot be reached is told with its address")
            .client(BARE_STARTUP)
            .credential()
            .fails_outside(TargetFailed::Dial {
                address: "127.0.0.1:5433".into(),
                reason: "connection refused".into(),
            })
            .to_client(fatal("08001", "dial 127.0.0.1:5433: connect: connection refused")),
    ]
}
