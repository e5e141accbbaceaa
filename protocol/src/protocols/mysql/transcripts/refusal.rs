//! A target that says no in its own words, and a second try.

use alloc::vec::Vec;

use super::{
    CLIENT_FLAGS, NONCE, OK, SERVER_FLAGS, err, greeted, greeting, native_client, our_greeting, packet,
    response,
};
use crate::testing::Transcript;
use crate::{Denied, ServerMisbehaved, Transport};

pub(super) const PROOF: &str = "14 3f55ad1159acbc82422872cba0fc0438b6e15355";
/// The same for the password `pen2`.
pub(super) const OTHER_PROOF: &str = "14 5946c4b047e6060b855b00d2678cd4b0e24a9d84";
pub(super) const DENIED: &str = "FF 1504 '#28000' 'Access denied for user svc'";

fn asked(name: &'static str) -> Transcript {
    greeted(name, SERVER_FLAGS, "mysql_native_password").client(native_client())
}

pub(super) fn begun(name: &'static str) -> Transcript {
    asked(name).to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
}

fn passes(name: &'static str, payload: &str) -> Transcript {
    begun(name).target(packet(2, payload)).fails(Denied::ByTarget).to_client(packet(2, payload))
}

/// Refused, and tried again with another password.
fn retried(name: &'static str) -> Transcript {
    begun(name)
        .target(packet(2, DENIED))
        .to_client("")
        .is_refused(true)
        .retry(&[("password", b"pen2")])
        .credential()
        .connection(Transport::Unix)
}

pub(super) fn all() -> Vec<Transcript> {
    let again = || packet(0, greeting(SERVER_FLAGS, "mysql_native_password", NONCE));
    alloc::vec![
        passes("a database that is not there", "FF 1904 '#42000' 'Unknown database'"),
        passes("a password that has expired", "FF 1C07 '#HY000' 'must reset'"),
        passes("too many connections of this user", "FF 4607 '#42000' 'max_user_connections'"),
        begun("an error has any number")
            .target(packet(7, "FF 1904 '#42000' 'x'"))
            .fails(Denied::ByTarget)
            .to_client(packet(2, "FF 1904 '#42000' 'x'")),
        begun("the target's own words reach the client when nobody has a better credential")
            .target(packet(2, DENIED))
            .to_client("")
            .is_refused(true)
            .gives_up(Denied::CredentialRefused)
            .to_client(packet(2, DENIED)),
        retried("a second try goes unnoticed")
            .target(again())
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", OTHER_PROOF, "mysql_native_password")))
            .to_client("")
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
        retried("a second try that finds no room says so with an SQLSTATE")
            .target(packet(0, "FF 1004 'Too many connections'"))
            .fails(Denied::ByTarget)
            .to_client(packet(2, "FF 1004 '#08004' 'Too many connections'")),
        retried("a second server of another kind is not the one that the client knows")
            .target(packet(0, greeting(SERVER_FLAGS & !(1 << 24), "mysql_native_password", NONCE)))
            .fails(ServerMisbehaved::OtherKind)
            .to_target("")
            .to_client(err(
                2,
                1429,
                "HY000",
                "a second connection led to a server of another version or with other capabilities",
            )),
        Transcript::new("nothing is dialled before a password may be proven")
            .client(native_client())
            .credential()
            .is_permitted()
            .connection(Transport::Unix)
            .target(again())
            .to_client(our_greeting(SERVER_FLAGS))
            .to_target("")
            .is_permitted()
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
        Transcript::new("what was said to others counts where nothing was said to us")
            .credential()
            .is_not_permitted(DENIED, Denied::CredentialRefused)
            .to_client(packet(0, "FF 1504 'Access denied for user svc'")),
        asked("where nobody remembers what was said, we say it")
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
            .target(packet(2, "00 00 00"))
            .fails(ServerMisbehaved::MalformedMessage("the status"))
            .to_client(err(2, 1429, "HY000", "the target sent a malformed message: the status")),
    ]
}
