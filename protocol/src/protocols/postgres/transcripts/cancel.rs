//! Cancel requests.

use alloc::format;
use alloc::vec::Vec;

use super::{GSSENC_REQUEST, SSL_REQUEST, any_tls, unverified};
use crate::testing::Transcript;
use crate::{ClientMisbehaved, ServerMisbehaved, Transport};

pub(super) const CANCEL: &str = "00000010 | 04D2162E | 11223344 | 55667788";

fn forwards(transcript: Transcript, packet: &str) -> Transcript {
    transcript
        .client(packet)
        .credential()
        .connection_of_open_sessions(Transport::Unix)
        .to_target(packet)
        .lingers()
        .to_client("")
}

/// A key of `bytes` bytes.
fn with_key(bytes: usize) -> alloc::string::String {
    format!("{:08X} | 04D2162E | 11223344 | {}", 12 + bytes, "A5".repeat(bytes))
}

fn refuses(name: &'static str, packet: &str) -> Transcript {
    Transcript::new(name).client(packet).fails(ClientMisbehaved::MalformedCancel).to_client("")
}

pub(super) fn all() -> Vec<Transcript> {
    alloc::vec![
        forwards(Transcript::new("a cancel request of protocol 3.0 is forwarded unread"), CANCEL),
        forwards(
            Transcript::new("a cancel request with a key of 32 bytes is forwarded unread"),
            &with_key(32)
        ),
        forwards(
            Transcript::new("a cancel request with a key of 256 bytes is forwarded unread"),
            &with_key(256)
        ),
        refuses("a cancel request with a key of 257 bytes is dropped without an answer", &with_key(257)),
        refuses("a cancel request with a key of 3 bytes is dropped without an answer", &with_key(3)),
        refuses(
            "a cancel request without a key is dropped without an answer",
            "0000000C | 04D2162E | 11223344"
        ),
        forwards(
            Transcript::new("a cancel request may follow requests for encryption")
                .client(GSSENC_REQUEST)
                .to_client("'N'")
                .client(SSL_REQUEST)
                .to_client("'N'"),
            CANCEL
        ),
        Transcript::new("a cancel request goes the way of the sessions, with TLS")
            .field("host", b"db.example")
            .client(CANCEL)
            .credential()
            .connection_of_open_sessions(Transport::Tcp)
            .to_target(SSL_REQUEST)
            .target("'S'")
            .tls(any_tls(), unverified())
            .to_target(CANCEL)
            .lingers(),
        Transcript::new("a cancel request goes to each address on which there are sessions")
            .client(CANCEL)
            .credential()
            .connection_of_open_sessions(Transport::Unix)
            .to_target(CANCEL)
            .next_address()
            .credential()
            .connection_of_open_sessions(Transport::Unix)
            .to_target(CANCEL)
            .lingers(),
        Transcript::new("what a client sends behind its cancel request is not read")
            .client("00000010 | 04D2162E | 11223344 | 55667788 | 'X' | 00000004")
            .credential()
            .connection_of_open_sessions(Transport::Unix)
            .to_target(CANCEL)
            .lingers(),
        Transcript::new("a cancel request has no answer, not even an error")
            .client(CANCEL)
            .credential()
            .fails_outside(ServerMisbehaved::Closed)
            .to_client(""),
    ]
}
