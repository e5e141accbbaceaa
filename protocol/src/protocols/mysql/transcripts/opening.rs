//! What comes before the client's response: the order of things, and a target that cannot be had or says no at once.

use alloc::vec::Vec;

use super::{
    CLIENT_FLAGS, NONCE, OK, OUR_NONCE, SERVER_FLAGS, TLS, any_tls, err, greeted, greeting, native_client,
    our_greeting, packet, response, tls_request, unverified,
};
use crate::testing::Transcript;
use crate::{
    BrokerFailed, ClientMisbehaved, ClientTls, Denied, ServerMisbehaved, Side, TargetFailed, Transport,
    Unsupported,
};

/// What `mysql_native_password` makes of the nonce and `pencil`.
const PROOF: &str = "14 3f55ad1159acbc82422872cba0fc0438b6e15355";

pub(super) fn all() -> Vec<Transcript> {
    [sessions(), early_ends(), encryption()].into_iter().flatten().collect()
}

fn sessions() -> Vec<Transcript> {
    alloc::vec![
        Transcript::new(
            "the target is dialled before the client is greeted, and the client is in when we are"
        )
        .client(native_client())
        .credential()
        .connection(Transport::Unix)
        .to_client("")
        .target(packet(0, greeting(SERVER_FLAGS, "mysql_native_password", NONCE)))
        .to_client(our_greeting(SERVER_FLAGS))
        .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
        .target(packet(2, OK))
        .to_client(packet(2, OK))
        .relays("", ""),
        Transcript::new("what stands behind each side's last packet is relayed")
            .client([native_client(), packet(0, "03 'SELECT 1'")].concat())
            .credential()
            .connection(Transport::Unix)
            .target(packet(0, greeting(SERVER_FLAGS, "mysql_native_password", NONCE)))
            .to_client(our_greeting(SERVER_FLAGS))
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
            .target([packet(2, OK), b"what comes next".to_vec()].concat())
            .to_client(packet(2, OK))
            .relays(packet(0, "03 'SELECT 1'"), "'what comes next'"),
        greeted("a MariaDB server's flags and its client's own pass", 0x81FF_F7DE, "mysql_native_password")
            .client(packet(1, response(0x013A_A28C, "x", "00", "mysql_native_password")))
            .to_target(packet(1, response(0x013A_A28C, "svc", PROOF, "mysql_native_password")))
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
        greeted("what a target does not have, it is not told", 0x0000_A20F, "")
            .client(packet(1, response(0x0000_A28D, "x", "00", "")))
            .to_target(packet(1, response(0x0000_A20D, "svc", PROOF, "")))
            .target(packet(2, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
    ]
}

fn early_ends() -> Vec<Transcript> {
    let connected = |name| Transcript::new(name).credential().connection(Transport::Unix);
    let too_many = "FF 1004 'Too many connections'";
    alloc::vec![
        connected("a target that has no room says so in the place of its greeting")
            .target(packet(0, too_many))
            .fails(Denied::ByTarget)
            .to_client(packet(0, too_many)),
        greeted(
            "a target that has no room may say so behind the response",
            SERVER_FLAGS,
            "mysql_native_password"
        )
        .client(native_client())
        .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
        .target(packet(2, too_many))
        .fails(Denied::ByTarget)
        .to_client(packet(2, "FF 1004 '#08004' 'Too many connections'")),
        connected("a target of another age is refused")
            .target(packet(0, "09 '3.20' 00"))
            .fails(Unsupported::ServerHandshake(9))
            .to_client(err(
                0,
                1105,
                "",
                "the target speaks version 9 of the handshake, which is not supported"
            )),
        connected("a greeting has the number 0")
            .target(packet(1, greeting(SERVER_FLAGS, "mysql_native_password", NONCE)))
            .fails(ServerMisbehaved::PacketOrder)
            .to_client(err(0, 1429, "", "the target sent packets out of order")),
        connected("a greeting that is none is refused")
            .target(packet(0, "0A '9.7.4' 00 2A"))
            .fails(ServerMisbehaved::MalformedMessage("the connection id"))
            .to_client(err(0, 1429, "", "the target sent a malformed message: the connection id")),
        connected("a greeting longer than any is refused as soon as it can be")
            .target("010002 00")
            .fails(ServerMisbehaved::MessageLength)
            .to_client(err(0, 1429, "", "the target sent a message that is too long for a handshake")),
        Transcript::new("a target that cannot be reached is named in the place of its greeting")
            .credential()
            .fails_outside(TargetFailed::Dial {
                address: "tcp 192.0.2.1:3306".into(),
                reason: "connection refused".into(),
            })
            .to_client(err(0, 1429, "", "dial tcp 192.0.2.1:3306: connect: connection refused")),
        Transcript::new("a credential without a name dials nothing")
            .field("username", b"")
            .credential()
            .fails(BrokerFailed::FieldMissing("username"))
            .to_client(err(0, 1105, "", "the credential has no 'username'")),
        greeted("a client that says nothing is told why behind what it says next", SERVER_FLAGS, "parsec")
            .waits(Side::Client)
            .fails_outside(BrokerFailed::Shutdown)
            .to_client(err(2, 1053, "08S01", "the broker is shutting down")),
        greeted("a client that leaves is told nothing", SERVER_FLAGS, "parsec")
            .fails_outside(ClientMisbehaved::Closed)
            .to_client(""),
    ]
}

fn encryption() -> Vec<Transcript> {
    let over_tcp = |name, flags| {
        Transcript::new(name)
            .field("host", b"db.example")
            .credential()
            .connection(Transport::Tcp)
            .target(packet(0, greeting(flags, "mysql_native_password", NONCE)))
            .to_client(our_greeting(flags & !TLS))
            .client(native_client())
    };
    let offered = |name, transport, mode| {
        Transcript::new(name)
            .client_transport(transport)
            .client_tls(mode)
            .credential()
            .connection(Transport::Unix)
            .target(packet(0, greeting(SERVER_FLAGS, "mysql_native_password", NONCE)))
            .to_client(packet(0, greeting(SERVER_FLAGS | TLS, "mysql_native_password", OUR_NONCE)))
    };
    let logged_in = |transcript: Transcript, number| {
        transcript
            .to_client("")
            .to_target(packet(1, response(CLIENT_FLAGS, "svc", PROOF, "mysql_native_password")))
            .target(packet(2, OK))
            .to_client(packet(number, OK))
            .relays("", "")
    };
    let in_tls = packet(2, response(CLIENT_FLAGS | TLS, "x", "00", "mysql_native_password"));
    alloc::vec![
        over_tcp("the target's leg is encrypted unless somebody says otherwise", SERVER_FLAGS | TLS)
            .to_target(tls_request(CLIENT_FLAGS))
            .tls(any_tls(), unverified())
            .to_target(packet(2, response(CLIENT_FLAGS | TLS, "svc", PROOF, "mysql_native_password")))
            .target(packet(3, OK))
            .to_client(packet(2, OK))
            .relays("", ""),
        over_tcp("a target without TLS is not told who we are", SERVER_FLAGS)
            .fails(TargetFailed::TlsNotOffered)
            .to_target("")
            .to_client(err(
                2,
                1429,
                "HY000",
                "SSL connection error: SSL is required but the server doesn't support it"
            )),
        logged_in(
            offered("a client on a Unix socket may have TLS", Transport::Unix, ClientTls::Auto)
                .client(tls_request(CLIENT_FLAGS))
                .accepts_tls()
                .client(in_tls.clone()),
            3,
        ),
        logged_in(
            offered("a client on a Unix socket may do without TLS", Transport::Unix, ClientTls::Required)
                .client(native_client()),
            2,
        ),
        logged_in(
            offered("TLS may begin right behind the request for it", Transport::Tcp, ClientTls::Required)
                .client([tls_request(CLIENT_FLAGS), b"\x16".to_vec()].concat())
                .accepts_tls()
                .client(in_tls),
            3,
        ),
        offered("a client that must have TLS and has none is told so", Transport::Tcp, ClientTls::Required)
            .client(native_client())
            .fails(Denied::PlaintextClient)
            .to_target("")
            .to_client(err(
                2,
                3159,
                "HY000",
                "this service takes clients in TLS only (`clientTls: required`): turn TLS on in the client \
                 (sslmode=require, --ssl-mode=REQUIRED, --ssl)",
            )),
        greeted("a client that was not offered TLS and wants it is told so", SERVER_FLAGS, "")
            .client(tls_request(CLIENT_FLAGS))
            .fails(ClientMisbehaved::MalformedPacket("the user's name: TLS was not offered"))
            .to_client(err(
                2,
                1043,
                "08S01",
                "the client sent a malformed packet: the user's name: TLS was not offered"
            )),
    ]
}
