//! What a client is told when we fail: one `ErrorResponse`.
//!
//! Owns the SQLSTATEs (documentation, appendix "PostgreSQL Error Codes").

use alloc::vec::Vec;

use super::messages::write_error;
use crate::words::sentence;
use crate::{BrokerFailed, Error, Failure, OverLimit, Unsupported};

/// Appends the `ErrorResponse` for `failure`.
pub(super) fn write_failure(out: &mut Vec<u8>, failure: &Failure<'_>) {
    write_error(out, sqlstate(failure.error), &sentence(failure));
}

/// The SQLSTATE by which programs tell failures apart.
fn sqlstate(error: &Error) -> &'static str {
    match error {
        // protocol_violation
        Error::Client(_) => "08P01",
        // connection_failure: the target breaks off or talks nonsense
        Error::Server(_) => "08006",
        // sqlclient_unable_to_establish_sqlconnection
        Error::Target(_) | Error::Unsupported(Unsupported::SslMode) => "08001",
        // feature_not_supported
        Error::Unsupported(_) => "0A000",
        // invalid_authorization_specification
        Error::Denied(_) => "28000",
        // program_limit_exceeded
        Error::Limit(OverLimit::StartupPacket) => "54000",
        // too_many_connections
        Error::Limit(_) => "53300",
        // admin_shutdown
        Error::Broker(BrokerFailed::Shutdown) => "57P01",
        // insufficient_resources
        Error::Broker(BrokerFailed::Resources) => "53000",
        // cannot_connect_now
        Error::Broker(_) => "57P03",
        // internal_error
        Error::Bug(_) => "XX000",
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{sqlstate, write_failure};
    use crate::{
        BrokerFailed, Bug, ClientMisbehaved, Denied, Error, Failure, OverLimit, RequestId, ServerMisbehaved,
        TargetFailed, Unsupported,
    };

    #[test]
    fn each_kind_of_failure_has_its_sqlstate() {
        let name = || TargetFailed::Name { host: "db".into(), reason: "no such host".into() };
        let cases: [(Error, &str); 26] = [
            (ClientMisbehaved::MalformedStartup.into(), "08P01"),
            (ClientMisbehaved::HandshakeTimeout.into(), "08P01"),
            (ServerMisbehaved::Closed.into(), "08006"),
            (ServerMisbehaved::WrongProof.into(), "08006"),
            (Unsupported::ClientVersion(4, 0).into(), "0A000"),
            (Unsupported::AuthenticationMethod("GSSAPI").into(), "0A000"),
            (Unsupported::SaslMechanisms.into(), "0A000"),
            (Unsupported::SslMode.into(), "08001"),
            (Denied::CleartextPassword.into(), "28000"),
            (Denied::ChannelBinding.into(), "28000"),
            (Denied::CredentialRefused.into(), "28000"),
            (Denied::PlaintextClient.into(), "28000"),
            (OverLimit::Sessions.into(), "53300"),
            (OverLimit::ServiceSessions.into(), "53300"),
            (OverLimit::StartupPacket.into(), "54000"),
            (name().into(), "08001"),
            (TargetFailed::DialTimeout { address: "db:5432".into() }.into(), "08001"),
            (TargetFailed::TlsNotOffered.into(), "08001"),
            (TargetFailed::Field { name: "port", reason: "no".into() }.into(), "08001"),
            (BrokerFailed::CredentialMissing.into(), "57P03"),
            (BrokerFailed::StoreUnreachable { store: "s".into(), since: "now".into() }.into(), "57P03"),
            (BrokerFailed::CredentialUnobtainable.into(), "57P03"),
            (BrokerFailed::FieldMissing("username").into(), "57P03"),
            (BrokerFailed::Shutdown.into(), "57P01"),
            (BrokerFailed::Resources.into(), "53000"),
            (Bug::UnexpectedEvent.into(), "XX000"),
        ];
        for (error, expected) in cases {
            assert_eq!(sqlstate(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn another_parser_takes_it_for_an_error() {
        use postgres_protocol::message::backend::Message;

        let error = Error::from(OverLimit::Sessions);
        let mut out = Vec::new();
        write_failure(&mut out, &Failure { service: "books", error: &error, request_id: RequestId(1) });
        let mut bytes = bytes::BytesMut::from(&*out);
        let message = Message::parse(&mut bytes).unwrap();
        assert!(matches!(message, Some(Message::ErrorResponse(_))) && bytes.is_empty());
    }
}
