//! Another login in the middle of a session.

use alloc::vec::Vec;

use super::{CLIENT_FLAGS, OK, SERVER_FLAGS, err, greeted, native_client, packet, response};
use crate::testing::{Transcript, Wire, wire};
use crate::{ClientMisbehaved, Denied, ServerMisbehaved};

const PROOF: &str = "14 3f55ad1159acbc82422872cba0fc0438b6e15355";
/// The proof for the nonce `ijklmnopqrstABCDEFGH`, and that of caching_sha2_password.
const NATIVE_AGAIN: &str = "fa06c529bb1bc79cca7cc32ba0cddbe0019674e2";
const SHA2_AGAIN: &str = "4adfaae4eba7ad6068330b7aeca3bafbdda1c26eabd65cc71e1a9ad64506d8a7";
const SWITCH: &str = "FE 'mysql_native_password' 00 'ijklmnopqrstABCDEFGH' 00";

/// What the target is to complain about, for entropy that is all zeros, and how it does.
const STATEMENT: &str = "03 ') 3aff7844944ecf86ee4e7420e3448c05'";
const COMPLAINS: &str = "FF 2804 '#42000' 'You have an error in your SQL syntax near ) 3aff7844944ecf86ee4e7420e3448c05 at line 1'";

/// A session that has begun.
fn session(name: &'static str) -> Transcript {
    greeted(name, SERVER_FLAGS, "mysql_native_password")
        .client(native_client())
        .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
        .target(packet(2, OK))
        .to_client(packet(2, OK))
        .relays("", "")
}

/// What the client says.
fn change(plugin: &str, auth: &str) -> Vec<u8> {
    let attributes = wire("0B 03 'foo' 06 'barbaz'");
    packet(
        0,
        [b"\x11nobody\0", &*wire(auth), b"other\0\x2D\0", plugin.as_bytes(), b"\0", &attributes].concat(),
    )
}

/// What the target is told.
fn our_change() -> Vec<u8> {
    packet(0, "11 'svc' 00 | 00 | 'other' 00 | 2D00 | 'mysql_native_password' 00 | 0B 03 'foo' 06 'barbaz'")
}

/// The target is asked something that only we can know the answer to, and answers it.
fn complains(transcript: Transcript) -> Transcript {
    transcript.credential().to_target(packet(0, STATEMENT)).target(packet(1, COMPLAINS))
}

/// The client has said it.
fn asked(name: &'static str) -> Transcript {
    session(name).passes(change("mysql_native_password", "14 'not a proof at all..'"), "")
}

/// The target is told, too.
fn changing(name: &'static str) -> Transcript {
    complains(asked(name)).to_target(our_change()).to_client("")
}

/// The target says something else before that.
fn is_early(name: &'static str, answer: impl Wire) -> Transcript {
    asked(name)
        .credential()
        .to_target(packet(0, STATEMENT))
        .target(answer)
        .fails(ClientMisbehaved::EarlyChangeOfUser)
        .to_target("")
        .to_client(err(
            1,
            1047,
            "08S01",
            "the client asked for another user before an earlier command was answered",
        ))
}

fn is_refused(name: &'static str, bytes: impl Wire, what: &'static str) -> Transcript {
    let cause = alloc::format!("the client sent a malformed packet: {what}");
    session(name)
        .passes(bytes, "")
        .fails(ClientMisbehaved::MalformedPacket(what))
        .to_target("")
        .to_client(err(1, 1043, "08S01", &cause))
}

pub(super) fn all() -> Vec<Transcript> {
    let query = || packet(0, "03 'SELECT 1'");
    let close = || packet(0, "19 01000000");
    alloc::vec![
        changing("a change of user is a login of ours")
            .target(packet(1, SWITCH))
            .to_target(packet(2, NATIVE_AGAIN))
            .to_client("")
            .target(packet(3, OK))
            .to_client(packet(1, OK))
            .relays("", "")
            // And the session goes on as before, with another one of it if need be.
            .passes(query(), query())
            .answers()
            .passes(change("mysql_native_password", "00"), "")
            .credential()
            .to_target(packet(0, STATEMENT))
            .target(packet(1, COMPLAINS))
            .to_target(our_change())
            .target(packet(1, OK))
            .to_client(packet(1, OK))
            .relays("", ""),
        changing("its method may change, and need all that a login needs")
            .target(packet(1, "FE 'caching_sha2_password' 00 'ijklmnopqrstABCDEFGH' 00"))
            .to_target(packet(2, SHA2_AGAIN))
            .target(packet(3, "01 04"))
            .to_target(packet(4, "'pencil' 00"))
            .target(packet(5, OK))
            .to_client(packet(1, OK))
            .relays("", ""),
        session("a client of caching_sha2_password waits for a word here, too")
            .passes(change("caching_sha2_password", "20 '0123456789abcdef0123456789abcdef'"), "")
            .credential()
            .to_target(packet(0, STATEMENT))
            .target(packet(1, COMPLAINS))
            .to_target(our_change())
            .target(packet(1, OK))
            .to_client([packet(1, "01 03"), packet(2, OK)].concat())
            .relays("", ""),
        session("an old client says no more than a database")
            .passes(packet(0, "11 'x' 00 00 'other' 00"), "")
            .credential()
            .to_target(packet(0, STATEMENT))
            .target(packet(1, COMPLAINS))
            .to_target(packet(0, "11 'svc' 00 | 00 | 'other' 00 | 0800 | 'mysql_native_password' 00 | 00"))
            .target(packet(1, OK))
            .to_client(packet(1, OK))
            .relays("", ""),
        session("what stands before it has passed, and what stands behind it goes on afterwards")
            .passes([close(), change("mysql_native_password", "00"), query()].concat(), close())
            .credential()
            .to_target(packet(0, STATEMENT))
            .target(packet(1, COMPLAINS))
            .to_target(our_change())
            .target(packet(1, OK))
            .to_client(packet(1, OK))
            .relays(query(), "")
            .passes("", query()),
        session("it comes in pieces")
            .passes(change("mysql_native_password", "00").get(..3).unwrap_or_default().to_vec(), "")
            .relays(change("mysql_native_password", "00").get(..3).unwrap_or_default().to_vec(), "")
            .passes(change("mysql_native_password", "00").split_off(3), "")
            .credential()
            .to_target(packet(0, STATEMENT))
            .target(packet(1, COMPLAINS))
            .to_target(our_change())
            .target(packet(1, OK))
            .to_client(packet(1, OK))
            .relays("", ""),
        session("one that does not wait for the answer to an earlier command is refused")
            .passes([query(), change("mysql_native_password", "00")].concat(), query())
            .fails(ClientMisbehaved::EarlyChangeOfUser)
            .to_target("")
            .to_client(err(
                1,
                1047,
                "08S01",
                "the client asked for another user before an earlier command was answered",
            )),
        changing("a target that refuses the credential is heard, and there is no second try")
            .target(packet(1, "FF 1504 '#28000' 'Access denied'"))
            .to_client("")
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client(packet(1, "FF 1504 '#28000' 'Access denied'")),
        changing("a target that refuses the database is heard")
            .target(packet(1, "FF 1904 '#42000' 'Unknown database'"))
            .fails(Denied::ByTarget)
            .to_client(packet(1, "FF 1904 '#42000' 'Unknown database'")),
        changing("a packet out of order is none")
            .target(packet(5, "'a row'"))
            .fails(ServerMisbehaved::PacketOrder)
            .to_client(err(1, 1429, "HY000", "the target sent packets out of order")),
        is_early("what is left of another answer is not one", packet(5, "'a row'")),
        is_early("neither is one that looks like a session", packet(1, OK)),
        is_early("nor one that looks like a refusal", packet(1, "FF 1504 '#28000' 'Access denied'")),
        is_early(
            "nor one that looks like a request for the password",
            packet(1, "FE 'mysql_clear_password' 00")
        ),
        is_early("nor another complaint", packet(1, COMPLAINS.replace("3aff", "3afe").as_str())),
        is_refused("one without a database is none", packet(0, "11 'x' 00 00"), "the database"),
        is_refused("one whose proof is cut off is none", packet(0, "11 'x' 00 14 'abc'"), "the proof"),
        greeted_without_plugins(),
    ]
}

/// A target that knows no plugins is not told one.
fn greeted_without_plugins() -> Transcript {
    let flags = SERVER_FLAGS & !(1 << 19 | 1 << 20 | 1 << 21);
    let told = CLIENT_FLAGS & flags;
    greeted("a target without plugins is not told of one", flags, "")
        .client(packet(1, response(CLIENT_FLAGS & !(1 << 20), "x", "00", "mysql_native_password")))
        .to_target(packet(1, response(told, "svc", PROOF, "")))
        .target(packet(2, OK))
        .to_client(packet(2, OK))
        .relays("", "")
        .passes(packet(0, "11 'x' 00 00 'other' 00 2D00 'mysql_native_password' 00"), "")
        .credential()
        .to_target(packet(0, STATEMENT))
        .target(packet(1, COMPLAINS))
        .to_target(packet(0, "11 'svc' 00 | 00 | 'other' 00 | 2D00"))
        .target(packet(1, OK))
        .to_client(packet(1, OK))
        .relays("", "")
}
