//! What a client is told when we fail: one ERR packet.
//!
//! Owns the codes (MySQL documentation, "Server Error Message Reference"). None is from 2000 to 2999, which are those that
//! clients make up themselves, and none of ours is 1045: tools ask for another password then, and the client's is not what
//! is wrong.

use alloc::string::String;
use alloc::vec::Vec;

use super::result::ERR;
use crate::wire::Writer;
use crate::words::{sentence, sentence_of};
use crate::{BrokerFailed, ClientMisbehaved, Denied, Error, Failure, OverLimit, TargetFailed, Unsupported};

/// Appends the ERR packet for `failure`, with its SQLSTATE if the client knows of those by now.
pub(super) fn write_failure(out: &mut Vec<u8>, sequence: u8, with_state: bool, failure: &Failure<'_>) {
    let (code, state) = code(failure.error);
    Writer::new(out).numbered_packet(sequence, |body| {
        body.u8(ERR);
        body.u16_le(code);
        if with_state {
            body.u8(b'#');
            body.bytes(state.as_bytes());
        }
        body.bytes(text(failure).as_bytes());
    });
}

/// The code and the SQLSTATE by which programs tell failures apart.
fn code(error: &Error) -> (u16, &'static str) {
    match error {
        // ER_NET_PACKETS_OUT_OF_ORDER
        Error::Client(ClientMisbehaved::PacketOrder) => (1156, "08S01"),
        // ER_UNKNOWN_COM_ERROR
        Error::Client(ClientMisbehaved::EarlyChangeOfUser) => (1047, "08S01"),
        // ER_NET_READ_INTERRUPTED
        Error::Client(ClientMisbehaved::HandshakeTimeout) => (1159, "08S01"),
        // ER_HANDSHAKE_ERROR
        Error::Client(_) => (1043, "08S01"),
        // ER_NOT_SUPPORTED_AUTH_MODE
        Error::Unsupported(Unsupported::ClientBefore41) => (1251, "08004"),
        // ER_CONNECT_TO_FOREIGN_DATA_SOURCE
        Error::Target(_) | Error::Server(_) | Error::Unsupported(Unsupported::SslMode) => (1429, "HY000"),
        // ER_CON_COUNT_ERROR
        Error::Limit(OverLimit::Sessions | OverLimit::ServiceSessions | OverLimit::Abandoned) => {
            (1040, "08004")
        }
        // ER_SERVER_SHUTDOWN
        Error::Broker(BrokerFailed::Shutdown) => (1053, "08S01"),
        // ER_OUT_OF_RESOURCES
        Error::Broker(BrokerFailed::Resources) => (1041, "HY000"),
        // ER_SECURE_TRANSPORT_REQUIRED
        Error::Denied(Denied::PlaintextClient) => (3159, "HY000"),
        // ER_UNKNOWN_ERROR
        Error::Unsupported(_) | Error::Denied(_) | Error::Limit(_) | Error::Broker(_) | Error::Bug(_) => {
            (1105, "HY000")
        }
    }
}

fn text(failure: &Failure<'_>) -> String {
    match failure.error {
        // What users of the Go broker know from it.
        Error::Target(TargetFailed::TlsNotOffered) => {
            sentence_of(failure, "SSL connection error: SSL is required but the server doesn't support it")
        }
        _ => sentence(failure),
    }
}
