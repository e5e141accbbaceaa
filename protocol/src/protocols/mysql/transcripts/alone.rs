//! A target whose client has gone, or is not waited for.

use alloc::vec::Vec;

use super::refusal::{DENIED, OTHER_PROOF, PROOF, begun};
use super::{
    CLIENT_FLAGS, NONCE, OK, SERVER_FLAGS, greeted, greeting, native_client, our_greeting, packet, response,
};
use crate::testing::Transcript;
use crate::{ClientMisbehaved, Denied, Transport};

/// The login of nobody: no database, no attributes, latin1.
fn nobody() -> Vec<u8> {
    let mut payload = response(0x0028_8201, "svc", PROOF, "mysql_native_password");
    // The character set is behind the flags and the longest packet.
    payload.splice(8..9, [8]);
    packet(1, payload)
}

fn again() -> Vec<u8> {
    packet(0, greeting(SERVER_FLAGS, "mysql_native_password", NONCE))
}

fn waiting(name: &'static str) -> Transcript {
    greeted(name, SERVER_FLAGS, "mysql_native_password")
}

/// The target lets us in, and we leave.
fn in_and_out(transcript: Transcript) -> Transcript {
    transcript.target(packet(2, OK)).to_target(packet(0, "01")).to_client("").relays("", "")
}

fn asks_permission(name: &'static str) -> Transcript {
    Transcript::new(name)
        .credential()
        .is_permitted()
        .connection(Transport::Unix)
        .target(again())
        .to_client(our_greeting(SERVER_FLAGS))
        .client(native_client())
}

pub(super) fn all() -> Vec<Transcript> {
    let left =
        |transcript: Transcript| transcript.fails_outside(ClientMisbehaved::Closed).goes_on_alone(true);
    alloc::vec![
        in_and_out(
            left(waiting("a target whose client has gone is logged in to and out of again"))
                .to_target(nobody())
        ),
        in_and_out(
            left(
                Transcript::new("a client may go before the target has greeted")
                    .credential()
                    .connection(Transport::Unix)
            )
            .target(again())
            .to_client("")
            .to_target(nobody())
        ),
        in_and_out(left(begun("a client may go when it has answered"))),
        left(begun("a client may go that has asked for what is not there"))
            .target(packet(2, "FF 1904 '#42000' 'Unknown database'"))
            .fails(Denied::ByTarget)
            .to_target(""),
        Transcript::new("nobody is connected to for a client that has gone").goes_on_alone(false),
        in_and_out(
            waiting("a client that is not waited for may go on later")
                .goes_on_alone(true)
                .to_target(nobody())
        )
        .client_goes_on()
        .client(native_client())
        .credential()
        .connection(Transport::Unix)
        .target(again())
        .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
        .target(packet(2, OK))
        .to_client(packet(2, OK))
        .relays("", ""),
        waiting("what is refused without the client is said to it")
            .goes_on_alone(true)
            .to_target(nobody())
            .target(packet(2, DENIED))
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client(packet(2, DENIED)),
        asks_permission("a newer credential takes the place of one that was not proven")
            .renews(&[("password", b"pen2")], true)
            .is_permitted()
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", OTHER_PROOF, "mysql_native_password")))
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
        asks_permission("a newer credential for another place does not")
            .renews(&[("host", b"elsewhere.example")], false)
            .is_permitted()
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
    ]
}
