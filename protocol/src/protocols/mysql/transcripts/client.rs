//! Clients of every kind, none of which knows the password.

use alloc::vec::Vec;

use super::{CLIENT_FLAGS, OK, OUR_NONCE, SERVER_FLAGS, TARGET_FLAGS, err, greeted, packet, response};
use crate::testing::{Transcript, Wire};
use crate::{ClientMisbehaved, Unsupported};

/// What `mysql_native_password` makes of the nonce and `pencil`.
const PROOF: &str = "14 3f55ad1159acbc82422872cba0fc0438b6e15355";

/// The client answers the greeting with these.
fn says(name: &'static str, flags: u32, auth: &str, plugin: &str) -> Transcript {
    greeted(name, SERVER_FLAGS, "mysql_native_password")
        .client(packet(1, response(flags, "nobody", auth, plugin)))
}

/// We log in for it.
fn is_served(transcript: Transcript, flags: u32, answers: impl Wire) -> Transcript {
    transcript
        .to_client("")
        .to_target(packet(1, response(flags, "svc", PROOF, "mysql_native_password")))
        .target(packet(2, OK))
        .to_client(answers.into_bytes())
        .relays("", "")
}

fn is_refused(name: &'static str, payload: impl Wire, what: &'static str) -> Transcript {
    let cause = alloc::format!("the client sent a malformed packet: {what}");
    greeted(name, SERVER_FLAGS, "mysql_native_password")
        .client(packet(1, payload))
        .fails(ClientMisbehaved::MalformedPacket(what))
        .to_target("")
        .to_client(err(2, 1043, "08S01", &cause))
}

pub(super) fn all() -> Vec<Transcript> {
    let served =
        |name, auth, plugin| is_served(says(name, CLIENT_FLAGS, auth, plugin), TARGET_FLAGS, packet(2, OK));
    let sha2 = "20 '0123456789abcdef0123456789abcdef'";
    let fast = [packet(2, "01 03"), packet(3, OK)].concat();
    let switch = alloc::format!("FE 'mysql_native_password' 00 {OUR_NONCE} 00");
    let switched = |name, auth, plugin, answer: &str| {
        is_served(
            says(name, CLIENT_FLAGS, auth, plugin).to_client(packet(2, &*switch)).client(packet(3, answer)),
            TARGET_FLAGS,
            packet(4, OK),
        )
    };
    let whole = || response(CLIENT_FLAGS, "nobody", "00", "mysql_native_password");
    let cut = |len: usize| whole().get(..len).expect("it is longer").to_vec();
    let attributes = whole().len() - 12;
    alloc::vec![
        served("a client without a password is in", "00", "mysql_native_password"),
        served("a client of caching_sha2_password without a password is in", "00", "caching_sha2_password"),
        served("a NUL is no password either", "01 00", "caching_sha2_password"),
        is_served(
            says(
                "a client of caching_sha2_password with a password waits for a word",
                CLIENT_FLAGS,
                sha2,
                "caching_sha2_password"
            ),
            TARGET_FLAGS,
            fast,
        ),
        served("a password in clear is left unread", "07 'secret' 00", "mysql_clear_password"),
        served("a client of sha256_password is in", "01 01", "sha256_password"),
        served("a client of a method that nobody knows is in", "03 'abc'", "dialog"),
        switched(
            "a client of client_ed25519 is asked for another method",
            "00",
            "client_ed25519",
            "'whatever it says..'"
        ),
        switched("a client of parsec is asked for another method, too", "00", "parsec", ""),
        is_served(
            says(
                "a client that knows one method is not asked for another",
                CLIENT_FLAGS & !(1 << 19),
                "00",
                ""
            ),
            // The target knows many.
            TARGET_FLAGS,
            packet(2, OK),
        ),
        is_served(
            says(
                "a client of before 4.1.1 ends its proof with a NUL",
                CLIENT_FLAGS & !(1 << 15 | 1 << 21 | 1 << 19),
                "'abcdefgh' 00",
                ""
            ),
            TARGET_FLAGS,
            packet(2, OK),
        ),
        is_served(
            says(
                "flags that were not offered do not count",
                CLIENT_FLAGS | 1 << 5 | 1 << 26,
                "00",
                "mysql_native_password"
            ),
            TARGET_FLAGS,
            packet(2, OK),
        ),
        greeted("a client of before 4.1 is told so", SERVER_FLAGS, "")
            .client(packet(1, "0500 FFFFFF 'root' 00"))
            .fails(Unsupported::ClientBefore41)
            .to_client(err(
                2,
                1251,
                "08004",
                "client does not support the authentication protocol: MySQL 4.1 or newer is needed",
            )),
        greeted("packets come in their order", SERVER_FLAGS, "")
            .client(packet(0, whole()))
            .fails(ClientMisbehaved::PacketOrder)
            .to_client(err(2, 1156, "08S01", "the client sent packets out of order")),
        greeted("a packet longer than any response is refused as soon as it can be", SERVER_FLAGS, "")
            .client("010002 01")
            .fails(ClientMisbehaved::MalformedPacket("a packet of this length"))
            .to_client(err(2, 1043, "08S01", "the client sent a malformed packet: a packet of this length")),
        is_refused("a response without a user is none", cut(32), "the user's name"),
        is_refused("a response without a proof is none", cut(39), "the proof"),
        is_refused(
            "a response whose attributes are cut off is none",
            cut(attributes + 5),
            "the connection attributes"
        ),
        is_refused(
            "a user's name has an end",
            [cut(32), alloc::vec![b'x'; 65_536], whole().split_off(38)].concat(),
            "the end of the user's name",
        ),
        is_refused(
            "a length of more than there is is none",
            [cut(39), b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec()].concat(),
            "the proof",
        ),
    ]
}
