//! The client's first packets.

use alloc::vec::Vec;

use super::{
    AUTHENTICATION_OK, BARE_STARTUP, BARE_STARTUP_FOR_TARGET, GSSENC_REQUEST, READY_FOR_QUERY, SSL_REQUEST,
    fatal, startup,
};
use crate::testing::{Transcript, wire};
use crate::{BrokerFailed, ClientMisbehaved, OverLimit, Side, Transport, Unsupported};

/// Up to the point where the target is asked for a session.
fn logs_in(transcript: Transcript) -> Transcript {
    transcript
        .credential()
        .connection(Transport::Unix)
        .to_target(BARE_STARTUP_FOR_TARGET)
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

pub(super) fn all() -> Vec<Transcript> {
    alloc::vec![
        logs_in(
            Transcript::new("a client that asks for nothing but a session gets one").client(BARE_STARTUP)
        ),
        Transcript::new("what both sides send behind the handshake is left for the relay")
            .client("00000009 | 0003 0000 | 00 | 'Q' | 0000000D | 'SELECT 1' 00")
            .credential()
            .connection(Transport::Unix)
            .to_target(BARE_STARTUP_FOR_TARGET)
            .target("'R' | 00000008 | 00000000 | 'K' | 0000000C | 00000001 | 00000002 | 'Z' | 00000005 | 'I'")
            .to_client(AUTHENTICATION_OK)
            .relays(
                "'Q' | 0000000D | 'SELECT 1' 00",
                "'K' | 0000000C | 00000001 | 00000002 | 'Z' | 00000005 | 'I'",
            ),
        Transcript::new("the client is not let in before the target has let us in")
            .client(BARE_STARTUP)
            .to_client("")
            .credential()
            .connection(Transport::Unix)
            .to_target(BARE_STARTUP_FOR_TARGET)
            .to_client("")
            .waits(Side::Target)
            .target(AUTHENTICATION_OK)
            .to_client(AUTHENTICATION_OK)
            .target(READY_FOR_QUERY)
            .relays("", READY_FOR_QUERY),
        logs_in(
            Transcript::new("encryption is refused in either form, one after the other")
                .client(GSSENC_REQUEST)
                .to_client("'N'")
                .client(SSL_REQUEST)
                .to_client("'N'")
                .client(BARE_STARTUP)
        ),
        logs_in(
            Transcript::new("encryption is refused in either form, the other way round")
                .client(SSL_REQUEST)
                .to_client("'N'")
                .client(GSSENC_REQUEST)
                .to_client("'N'")
                .client(BARE_STARTUP)
        ),
        Transcript::new("a second SSLRequest is a violation")
            .client(SSL_REQUEST)
            .to_client("'N'")
            .client(SSL_REQUEST)
            .fails(ClientMisbehaved::SecondTlsRequest)
            .to_client(fatal("08P01", "the client asked for encryption twice")),
        Transcript::new("a second GSSENCRequest is a violation, also behind an SSLRequest")
            .client(GSSENC_REQUEST)
            .to_client("'N'")
            .client(SSL_REQUEST)
            .to_client("'N'")
            .client(GSSENC_REQUEST)
            .fails(ClientMisbehaved::SecondTlsRequest)
            .to_client(fatal("08P01", "the client asked for encryption twice")),
        Transcript::new("a startup packet behind an SSLRequest in one segment is refused")
            .whole("a client that sends them apart may have read the N")
            .client("00000008 | 04D2162F | 00000009 | 0003 0000 | 00")
            .fails(ClientMisbehaved::BytesBehindTlsRequest)
            .to_client(
                [&b"N"[..], &fatal("08P01", "the client sent bytes behind its request for encryption")]
                    .concat()
            ),
        Transcript::new("a single byte behind a GSSENCRequest in one segment is refused")
            .whole("a client that sends them apart may have read the N")
            .client("00000008 | 04D21630 | 00")
            .fails(ClientMisbehaved::BytesBehindTlsRequest)
            .to_client(
                [&b"N"[..], &fatal("08P01", "the client sent bytes behind its request for encryption")]
                    .concat()
            ),
        Transcript::new("an SSLRequest of another length is refused")
            .client("00000009 | 04D2162F | 00")
            .fails(ClientMisbehaved::MalformedStartup)
            .to_client(fatal("08P01", "invalid startup packet layout")),
        Transcript::new("a client that opens with TLS gets an alert")
            .client("16 | 0301 | 0200")
            .fails(Unsupported::ClientTls)
            .to_client("15 | 0303 | 0002 | 02 28"),
        Transcript::new("a client that goes on with TLS after N gets an alert")
            .client(SSL_REQUEST)
            .to_client("'N'")
            .client("16 | 0301 | 0200")
            .fails(Unsupported::ClientTls)
            .to_client("15 | 0303 | 0002 | 02 28"),
        Transcript::new("an HTTP request is refused at its first byte")
            .client("'GET / HTTP/1.1' 0D0A")
            .fails(ClientMisbehaved::StartupLength)
            .to_client(fatal("08P01", "invalid length of startup packet")),
        Transcript::new("version 2 is refused as soon as it is named")
            .client("00000128 | 0002 0000 | 'books' 00")
            .fails(Unsupported::ClientVersion(2, 0))
            .to_client(fatal("0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2")),
        Transcript::new("version 4 is refused as soon as it is named")
            .client("00000009 | 0004 0001 | 00")
            .fails(Unsupported::ClientVersion(4, 1))
            .to_client(fatal("0A000", "unsupported frontend protocol 4.1: server supports 3.0 to 3.2")),
        Transcript::new("a request code that nobody knows is a version that nobody speaks")
            .client("00000008 | 04D2162D")
            .fails(Unsupported::ClientVersion(1234, 5677))
            .to_client(fatal("0A000", "unsupported frontend protocol 1234.5677: server supports 3.0 to 3.2")),
        refuses_length("a startup packet of length 0 is refused", "00000000"),
        refuses_length("a startup packet of length 7 is refused", "00000007 | 000300"),
        refuses_length("a startup packet of 10,001 bytes is refused before it has come", "00002711"),
        refuses_length("a startup packet of 16 MiB is refused before it has come", "00FFFFFF"),
        refuses_length("a startup packet of 2 GiB is refused before it has come", "7FFFFFFF"),
        refuses_layout(
            "a startup packet without anything behind the version is refused",
            "00000008 | 0003 0000"
        ),
        refuses_layout(
            "a startup packet without a terminator is refused",
            "00000010 | 0003 0000 | 'user' 00 'u' 00 'x'"
        ),
        refuses_layout(
            "a startup packet that ends with a value is refused",
            "0000000F | 0003 0000 | 'user' 00 'u' 00"
        ),
        refuses_layout(
            "a startup packet that ends with a name is refused",
            "0000000E | 0003 0000 | 'user' 00 | 00"
        ),
        refuses_layout(
            "a startup packet with bytes behind the terminator is refused",
            "00000012 | 0003 0000 | 'user' 00 'u' 00 | 00 | 0000"
        ),
        refuses_layout(
            "a startup packet that is one byte but a terminator is refused",
            "00000009 | 0003 0000 | 'x'"
        ),
        longest_startup(),
        too_long_startup(),
        longest_startup_of_a_client(),
        Transcript::new("a client that goes away before its startup packet is told nothing")
            .client("00000009 | 0003")
            .waits(Side::Client)
            .fails_outside(ClientMisbehaved::Closed)
            .to_client(""),
        Transcript::new("a client that goes away behind its startup packet is told nothing")
            .client(BARE_STARTUP)
            .fails_outside(ClientMisbehaved::Closed)
            .to_client(""),
        Transcript::new("before its startup packet a client cannot read an error")
            .client(SSL_REQUEST)
            .to_client("'N'")
            .fails_outside(OverLimit::ServiceSessions)
            .to_client(""),
        Transcript::new("behind its startup packet a client can read an error, once")
            .client(BARE_STARTUP)
            .fails_outside(BrokerFailed::Shutdown)
            .to_client(wire(
                "'E' | 00000066 | 'SFATAL' 00 | 'VFATAL' 00 | 'C57P01' 00 | \
                 'Msecretless-broker books: the broker is shutting down (id=0123456789abcdef)' 00 | 00"
            ))
            .fails_outside(BrokerFailed::Shutdown)
            .to_client(""),
        logs_in(
            Transcript::new("behind AuthenticationOk nothing of ours reaches the client")
                .client(BARE_STARTUP)
        )
        .fails_outside(BrokerFailed::Shutdown)
        .to_client(""),
    ]
}

fn refuses_length(name: &'static str, bytes: &str) -> Transcript {
    Transcript::new(name)
        .client(bytes)
        .fails(ClientMisbehaved::StartupLength)
        .to_client(fatal("08P01", "invalid length of startup packet"))
}

fn refuses_layout(name: &'static str, bytes: &str) -> Transcript {
    Transcript::new(name)
        .client(bytes)
        .fails(ClientMisbehaved::MalformedStartup)
        .to_client(fatal("08P01", "invalid startup packet layout"))
}

/// A packet of `bytes` bytes, and what we make of it.
fn long_startup(name: &'static str, bytes: usize) -> (Transcript, Vec<u8>) {
    // Length, version, the name and its NUL, the value's NUL, the terminator.
    let value = "x".repeat(bytes - (4 + 4 + 8 + 1 + 1));
    let packet = startup(0, &[("options", &value)]);
    assert_eq!(packet.len(), bytes);
    let transcript = Transcript::new(name)
        .whole("ten thousand cuts show nothing new")
        .client(packet)
        .credential()
        .connection(Transport::Unix);
    (transcript, startup(0, &[("user", "svc"), ("options", &value)]))
}

fn longest_startup() -> Transcript {
    let (transcript, packet) =
        long_startup("a startup packet of 10,004 bytes with ours in it is read by the target", 9_995);
    assert_eq!(packet.len(), 10_004);
    transcript.to_target(packet).target(AUTHENTICATION_OK).to_client(AUTHENTICATION_OK).relays("", "")
}

fn too_long_startup() -> Transcript {
    let (transcript, packet) = long_startup(
        "a startup packet of 10,005 bytes with ours in it is longer than the target reads",
        9_996,
    );
    assert_eq!(packet.len(), 10_005);
    transcript.fails(OverLimit::StartupPacket).to_target("").to_client(fatal(
        "54000",
        "the client's startup parameters and the credential's together are too long for the target",
    ))
}

fn longest_startup_of_a_client() -> Transcript {
    let (transcript, _) = long_startup("a startup packet of 10,000 bytes is read", 10_000);
    transcript.fails(OverLimit::StartupPacket).to_client(fatal(
        "54000",
        "the client's startup parameters and the credential's together are too long for the target",
    ))
}
