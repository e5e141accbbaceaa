//! What a person may read of an error.

use core::fmt;

use super::{
    BrokerFailed, Bug, ClientMisbehaved, Denied, Error, OverLimit, ServerMisbehaved, TargetFailed,
    Unsupported,
};

impl fmt::Display for Error {
    /// What a person may read of it. Where the Go broker has a phrase that its users search for, it is in here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(ClientMisbehaved::Tls(reason)) => write!(f, "TLS with the client failed: {reason}"),
            Self::Client(ClientMisbehaved::MalformedPacket(what)) => {
                write!(f, "the client sent a malformed packet: {what}")
            }
            Self::Client(cause) => f.write_str(match cause {
                ClientMisbehaved::MalformedPacket(_) => "the client broke its protocol",
                ClientMisbehaved::PacketOrder => "the client sent packets out of order",
                ClientMisbehaved::EarlyChangeOfUser => {
                    "the client asked for another user before an earlier command was answered"
                }
                ClientMisbehaved::Tls(_) => "TLS with the client failed",
                ClientMisbehaved::BytesBehindTlsRequest => "the client sent bytes behind its request for encryption",
                ClientMisbehaved::SecondTlsRequest => "the client asked for encryption twice",
                ClientMisbehaved::StartupLength => "invalid length of startup packet",
                ClientMisbehaved::MalformedStartup => "invalid startup packet layout",
                ClientMisbehaved::MalformedCancel => "invalid length of cancel request",
                ClientMisbehaved::Closed => "the client closed the connection during the handshake",
                ClientMisbehaved::HandshakeTimeout => "the client did not finish its handshake in time",
            }),
            Self::Server(ServerMisbehaved::MalformedMessage(what)) => {
                write!(f, "the target sent a malformed message: {what}")
            }
            Self::Server(ServerMisbehaved::Scram(what)) => {
                write!(f, "the target broke the SCRAM exchange: {what}")
            }
            Self::Server(cause) => f.write_str(match cause {
                ServerMisbehaved::MalformedMessage(_) | ServerMisbehaved::Scram(_) => "the target broke its protocol",
                ServerMisbehaved::BytesBehindTlsAnswer => "the target sent bytes behind its answer to the TLS request",
                ServerMisbehaved::TlsAnswer => "the target answered the TLS request with neither yes nor no",
                ServerMisbehaved::UnexpectedMessage => "the target sent a message out of place",
                ServerMisbehaved::MessageLength => "the target sent a message that is too long for a handshake",
                ServerMisbehaved::PacketOrder => "the target sent packets out of order",
                ServerMisbehaved::TooManySwitches => "the target changed the method of authentication too often",
                ServerMisbehaved::ServerKey => "the target's RSA key is unusable, or too short for the password",
                ServerMisbehaved::OtherKind => {
                    "a second connection led to a server of another version or with other capabilities"
                }
                ServerMisbehaved::NoProof => "the target declared success without proving that it knows the password",
                ServerMisbehaved::WrongProof => "the target does not know the password: its SCRAM signature is wrong",
                ServerMisbehaved::ScramIterations => "the target asked for too many SCRAM iterations",
                ServerMisbehaved::Closed => "the target closed the connection during the handshake",
                ServerMisbehaved::HandshakeTimeout => "the target did not finish the handshake in time",
                ServerMisbehaved::CutOff => "the target's TLS session was cut off",
            }),
            Self::Unsupported(cause) => match cause {
                Unsupported::ClientVersion(major, minor) => {
                    write!(f, "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")
                }
                Unsupported::ClientBefore41 => f.write_str(
                    "client does not support the authentication protocol: MySQL 4.1 or newer is needed",
                ),
                Unsupported::ServerHandshake(version) => {
                    write!(f, "the target speaks version {version} of the handshake, which is not supported")
                }
                Unsupported::AuthenticationPlugin(name) => write!(
                    f,
                    "Unknown auth plugin: {name}: the target asks for it for this account, and it is not supported"
                ),
                Unsupported::ClientTls => f.write_str("TLS towards the client is not supported on this listener"),
                Unsupported::AuthenticationMethod(name) => {
                    write!(f, "the target asks for {name} authentication, which is not supported")
                }
                Unsupported::AuthenticationCode { code, name: None } => {
                    write!(f, "Authentication method {code} is not supported")
                }
                Unsupported::AuthenticationCode { code, name: Some(name) } => {
                    write!(f, "Authentication method {code} is not supported: {name}")
                }
                Unsupported::SaslMechanisms => f.write_str("the target offers no SASL mechanism that is supported"),
                Unsupported::SslMode => f.write_str(
                    "unsupported sslmode; only \"require\" (default), \"verify-ca\", \"verify-full\" and \"disable\" supported",
                ),
            },
            Self::Denied(cause) => f.write_str(match cause {
                Denied::CredentialRefused => "the target refused the credential",
                Denied::ByTarget => "the target refused the session",
                Denied::CleartextPassword => {
                    "refusing to send the password in clear: the target asks for it outside verified TLS; \
                     see `config: cleartextPassword`"
                }
                Denied::ServerKeyUnknown => {
                    "refusing to encrypt the password with a key that anybody may have sent: use TLS, or give credential \
                     'serverPublicKey', or set `config: allowPublicKeyRetrieval: true`"
                }
                Denied::OtherTarget => {
                    "the service's target has changed since this session began, or how it is to be reached: connect again"
                }
                Denied::ServerKeyMismatch => {
                    "the target's RSA key is not the one in credential 'serverPublicKey'"
                }
                Denied::ChannelBinding => {
                    "refusing to log in without channel binding: the target does not offer it, or not over TLS; \
                     see `config: channelBinding`"
                }
                Denied::PlaintextClient => {
                    "this service takes clients in TLS only (`clientTls: required`): turn TLS on in the client \
                     (sslmode=require, --ssl-mode=REQUIRED, --ssl)"
                }
            }),
            Self::Limit(cause) => f.write_str(match cause {
                OverLimit::ServiceSessions => "too many sessions of this service; see `limits: sessions`",
                OverLimit::Sessions => "too many sessions in this broker; see `broker: limits: sessions`",
                OverLimit::CancelRate => "too many cancel requests",
                OverLimit::Abandoned => {
                    "too many clients have connected and left without a word, for which the target would block the broker \
                     (max_connect_errors); is something probing this port?"
                }
                OverLimit::StartupPacket => {
                    "the client's startup parameters and the credential's together are too long for the target"
                }
            }),
            Self::Target(cause) => match cause {
                TargetFailed::Name { host, reason } => write!(f, "dial tcp: lookup {host}: {reason}"),
                TargetFailed::Dial { address, reason } => write!(f, "dial {address}: connect: {reason}"),
                TargetFailed::DialTimeout { address } => write!(f, "dial {address}: i/o timeout"),
                TargetFailed::Silent { address } => write!(
                    f,
                    "dial {address}: i/o timeout, three times in a row a moment ago: it is dialled again every few seconds"
                ),
                TargetFailed::TlsNotOffered => f.write_str("the backend does not allow SSL connections"),
                TargetFailed::Tls(reason) => f.write_str(reason),
                TargetFailed::Field { name, reason } => write!(f, "credential '{name}': {reason}"),
            },
            Self::Broker(cause) => match cause {
                BrokerFailed::CredentialMissing => f.write_str("the credential is not there yet"),
                BrokerFailed::StoreUnreachable { store, since } => {
                    write!(f, "there is no credential: store '{store}' has been unreachable since {since}")
                }
                BrokerFailed::NotGiven { store, since } => {
                    write!(f, "there is no credential: store '{store}' has not given it since {since}")
                }
                BrokerFailed::CredentialUnobtainable => {
                    f.write_str("the credential cannot be had: its provider is not supported, or does not have it")
                }
                BrokerFailed::FieldMissing(name) => write!(f, "the credential has no '{name}'"),
                BrokerFailed::FieldUnusable(name) => write!(f, "the credential's '{name}' cannot be sent"),
                BrokerFailed::ParameterUnusable => {
                    f.write_str("a value of the credential cannot be sent as a startup parameter: it holds a NUL byte")
                }
                BrokerFailed::Shutdown => f.write_str("the broker is shutting down"),
                BrokerFailed::Resources => f.write_str("the broker is out of descriptors or memory"),
            },
            Self::Bug(Bug::UnexpectedEvent) => f.write_str("internal error: unexpected event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::super::{Error, TargetFailed, Unsupported};

    #[test]
    fn says_what_users_of_the_go_broker_search_for() {
        let cases: [(Error, &str); 6] = [
            (
                Unsupported::AuthenticationCode { code: 7, name: Some("GSSAPI") }.into(),
                "Authentication method 7 is not supported",
            ),
            (TargetFailed::TlsNotOffered.into(), "the backend does not allow SSL connections"),
            (
                Unsupported::AuthenticationCode { code: 99, name: None }.into(),
                "Authentication method 99 is not supported",
            ),
            (
                Unsupported::SslMode.into(),
                "only \"require\" (default), \"verify-ca\", \"verify-full\" and \"disable\" supported",
            ),
            (
                TargetFailed::Dial { address: "127.0.0.1:1".into(), reason: "connection refused".into() }
                    .into(),
                "dial 127.0.0.1:1: connect: connection refused",
            ),
            (
                TargetFailed::Name { host: "nosuch".into(), reason: "no such host".into() }.into(),
                "dial tcp: lookup nosuch: no such host",
            ),
        ];
        for (error, phrase) in cases {
            assert!(error.to_string().contains(phrase), "{error}");
        }
    }
}
