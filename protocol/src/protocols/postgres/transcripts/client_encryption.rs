//! TLS towards the client.

use alloc::vec::Vec;

use super::cancel::CANCEL;
use super::{AUTHENTICATION_OK, BARE_STARTUP, BARE_STARTUP_FOR_TARGET, GSSENC_REQUEST, SSL_REQUEST, fatal};
use crate::testing::Transcript;
use crate::{BrokerFailed, ClientMisbehaved, ClientTls, Denied, Transport, Unsupported};

/// How a TLS record begins that holds a ClientHello.
const CLIENT_HELLO: &str = "16 | 0301 | 0200";

const PLAINTEXT: &str = "this service takes clients in TLS only (`clientTls: required`): turn TLS on in the client \
                 (sslmode=require, --ssl-mode=REQUIRED, --ssl)";

/// A session, once the startup packet may come.
fn logs_in(transcript: Transcript) -> Transcript {
    transcript
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Unix)
        .to_target(BARE_STARTUP_FOR_TARGET)
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

fn cancels(transcript: Transcript) -> Transcript {
    transcript
        .client(CANCEL)
        .credential()
        .connection_of_open_sessions(Transport::Unix)
        .to_target(CANCEL)
        .lingers()
        .to_client("")
}

fn refuses_plaintext(transcript: Transcript) -> Transcript {
    transcript.client(BARE_STARTUP).fails(Denied::PlaintextClient).to_client(fatal("28000", PLAINTEXT))
}

pub(super) fn all() -> Vec<Transcript> {
    let required = |name| Transcript::new(name).client_tls(ClientTls::Required);
    let requested = |name| required(name).client(SSL_REQUEST).to_client("'S'").accepts_tls();
    let off = |name| Transcript::new(name).client_tls(ClientTls::Off);
    alloc::vec![
        logs_in(requested("a client that asks for TLS where it is required gets it, and then its session")),
        logs_in(required("TLS may begin at once").client(CLIENT_HELLO).accepts_tls()),
        logs_in(
            required("TLS may follow a GSSENCRequest")
                .client(GSSENC_REQUEST)
                .to_client("'N'")
                .client(SSL_REQUEST)
                .to_client("'S'")
                .accepts_tls()
        ),
        refuses_plaintext(required("a startup packet in clear is refused where TLS is required")),
        refuses_plaintext(
            required("a startup packet in clear behind a GSSENCRequest is refused too")
                .client(GSSENC_REQUEST)
                .to_client("'N'")
        ),
        cancels(required("a cancel request in clear is taken even where TLS is required")),
        cancels(requested("a cancel request is taken inside TLS")),
        cancels(
            required("a cancel request is taken inside TLS that began at once")
                .client(CLIENT_HELLO)
                .accepts_tls()
        ),
        required("bytes in clear behind an SSLRequest never reach the TLS session")
            .whole("a client that sends them apart may have read the S")
            .client("00000008 | 04D2162F | 16 | 0301 | 0200")
            .fails(ClientMisbehaved::BytesBehindTlsRequest)
            .to_client(fatal("08P01", "the client sent bytes behind its request for encryption")),
        required("TLS that begins behind an answered GSSENCRequest gets an alert")
            .client(GSSENC_REQUEST)
            .to_client("'N'")
            .client(CLIENT_HELLO)
            .fails(Unsupported::ClientTls)
            .to_client("15 | 0303 | 0002 | 02 28"),
        requested("an SSLRequest inside TLS is a violation")
            .client(SSL_REQUEST)
            .fails(ClientMisbehaved::SecondTlsRequest)
            .to_client(fatal("08P01", "the client asked for encryption twice")),
        requested("a GSSENCRequest inside TLS is a violation")
            .client(GSSENC_REQUEST)
            .fails(ClientMisbehaved::SecondTlsRequest)
            .to_client(fatal("08P01", "the client asked for encryption twice")),
        requested("TLS inside TLS is a violation")
            .client(CLIENT_HELLO)
            .fails(ClientMisbehaved::SecondTlsRequest)
            .to_client(fatal("08P01", "the client asked for encryption twice")),
        requested("before its startup packet a client inside TLS can be told what is wrong")
            .fails_outside(BrokerFailed::Shutdown)
            .to_client(fatal("57P01", "the broker is shutting down")),
        required("a client whose TLS did not come up cannot be told anything")
            .client(SSL_REQUEST)
            .to_client("'S'")
            .fails_outside(ClientMisbehaved::Tls("no".into()))
            .to_client(""),
        logs_in(required("a client of a Unix socket may go on in clear").client_transport(Transport::Unix)),
        logs_in(
            required("a client of a Unix socket that asks for TLS is told that there is none")
                .client_transport(Transport::Unix)
                .client(SSL_REQUEST)
                .to_client("'N'")
        ),
        logs_in(Transcript::new("nobody gets TLS who does not have to").client(SSL_REQUEST).to_client("'N'")),
        logs_in(off("nobody gets TLS where it is off").client(SSL_REQUEST).to_client("'N'")),
        off("a client that opens with TLS where it is off gets an alert")
            .client(CLIENT_HELLO)
            .fails(Unsupported::ClientTls)
            .to_client("15 | 0303 | 0002 | 02 28"),
    ]
}
