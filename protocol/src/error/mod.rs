//! Everything that can end a connection, sorted by who is to blame.
//!
//! Owns the causes and their metric labels; the words that may be said about them are in [`words`]. Does not know how a protocol
//! puts them on the wire: each protocol file maps them in one function.
//!
//! No variant may hold a secret or the injected user's name. Strings come from the outside world only (a
//! resolver, a TLS library, the kernel).

mod words;

use alloc::string::String;
use alloc::sync::Arc;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The application broke its protocol.
    Client(ClientMisbehaved),
    /// The target broke its protocol.
    Server(ServerMisbehaved),
    /// Somebody asked for something that we do not do.
    Unsupported(Unsupported),
    /// Somebody said no.
    Denied(Denied),
    /// A limit was reached.
    Limit(OverLimit),
    /// The target could not be reached.
    Target(TargetFailed),
    /// We could not do our part.
    Broker(BrokerFailed),
    /// Our own mistake.
    Bug(Bug),
}

/// The application broke its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMisbehaved {
    /// Plaintext sent behind a request for encryption (CVE-2021-23214).
    BytesBehindTlsRequest,
    /// A second request for encryption on one connection.
    SecondTlsRequest,
    /// A first packet shorter or longer than the protocol allows.
    StartupLength,
    /// A first packet that is not well formed.
    MalformedStartup,
    /// A packet that is not well formed: what was missing or too much.
    MalformedPacket(&'static str),
    /// A packet whose number is not the one behind its predecessor's.
    PacketOrder,
    /// Another login asked for before an earlier command was answered.
    EarlyChangeOfUser,
    /// An out-of-band request of a wrong length.
    MalformedCancel,
    /// It closed before the handshake was over: a health probe does that, so it is no alarm.
    Closed,
    /// It did not finish its part in time.
    HandshakeTimeout,
    /// Its TLS session did not come up, or broke before it was served: the TLS library's words. It may have refused our
    /// certificate.
    Tls(String),
}

/// The target broke its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMisbehaved {
    /// Plaintext sent behind the answer to a request for encryption (CVE-2021-23222).
    BytesBehindTlsAnswer,
    /// An answer to a request for encryption that is neither yes nor no.
    TlsAnswer,
    /// A message that has no place where it came.
    UnexpectedMessage,
    /// A message whose inside does not fit its length: what was missing or too much.
    MalformedMessage(&'static str),
    /// A message longer than a handshake has use for.
    MessageLength,
    /// A packet whose number is not the one behind its predecessor's.
    PacketOrder,
    /// It changed its mind about the method of authentication again and again.
    TooManySwitches,
    /// Its RSA key is none, or too short for the password.
    ServerKey,
    /// A second connection led to a server of another kind than the client was told of.
    OtherKind,
    /// It declared success without having proved that it knows the password.
    NoProof,
    /// Its proof is wrong: it does not know the password.
    WrongProof,
    /// A SCRAM message that breaks RFC 5802: what is wrong in it.
    Scram(&'static str),
    /// It asked for more SCRAM iterations than we compute for anybody.
    ScramIterations,
    /// It closed before the handshake was over.
    Closed,
    /// It did not finish its part in time.
    HandshakeTimeout,
    /// Its TLS session ended in the middle of a relayed session, and not by its own word.
    CutOff,
}

/// Somebody asked for something that we do not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The client speaks a major version of the protocol that we do not: `major.minor`.
    ClientVersion(u16, u16),
    /// The client speaks the protocol of MySQL before 4.1.
    ClientBefore41,
    /// The target speaks another version of the handshake: which.
    ServerHandshake(u8),
    /// The target wants a plugin for authentication that we do not have: its name, in printable ASCII.
    AuthenticationPlugin(String),
    /// The client opened with TLS, and this listener has none.
    ClientTls,
    /// The target wants a method of authentication that we do not have; its name in the protocol's words.
    AuthenticationMethod(&'static str),
    /// The target wants a method that its protocol numbers.
    AuthenticationCode {
        /// The number.
        code: u32,
        /// What the protocol calls it, if we know.
        name: Option<&'static str>,
    },
    /// The target offers SASL mechanisms, and none that we have.
    SaslMechanisms,
    /// The credential's `sslmode` is none of ours.
    SslMode,
}

/// Somebody said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The target refused the credential; its own words reached the client.
    CredentialRefused,
    /// The target refused the session for another reason; its own words reached the client.
    ByTarget,
    /// We refuse to send a password where others could read it.
    CleartextPassword,
    /// We refuse to encrypt a password with a key that anybody may have sent.
    ServerKeyUnknown,
    /// The target's key is not the one that it should have.
    ServerKeyMismatch,
    /// The session is with another target than the one that the credential is for by now.
    OtherTarget,
    /// We refuse to log in to a target that does not do channel binding.
    ChannelBinding,
    /// We refuse a client that speaks in clear where it must not.
    PlaintextClient,
}

/// A limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The service has as many sessions as it may have.
    ServiceSessions,
    /// The broker has as many sessions as it may have.
    Sessions,
    /// The service forwards as many cancel requests as it may.
    CancelRate,
    /// Clients of the service connect and leave, one after the other, and the target would block us for it.
    Abandoned,
    /// The client's startup parameters and the credential's together are more than the target reads.
    StartupPacket,
}

/// The target could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetFailed {
    /// Its name does not resolve: the name, and the resolver's words.
    Name {
        /// What was looked up.
        host: String,
        /// Why it failed.
        reason: String,
    },
    /// No address of it took the connection: the last address tried, and the kernel's words.
    Dial {
        /// `address:port`, or a socket's path.
        address: String,
        /// Why it failed.
        reason: String,
    },
    /// No address of it answered in time: the last address tried.
    DialTimeout {
        /// `address:port`, or a socket's path.
        address: String,
    },
    /// No address of it has answered lately, and it is not time to dial one again: the last address.
    Silent {
        /// `address:port`, or a socket's path.
        address: String,
    },
    /// It does not do TLS, and the service requires it.
    TlsNotOffered,
    /// The TLS handshake failed or the certificate was not accepted: the cause, in words that Go users know.
    Tls(String),
    /// A value of the credential that TLS or the address is made from is unusable: the field, and what it must be.
    Field {
        /// The credential's field.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// We could not do our part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerFailed {
    /// The service's credential has not come.
    CredentialMissing,
    /// There is no credential, because its store does not answer.
    StoreUnreachable {
        /// What the configuration calls the store.
        store: Arc<str>,
        /// Since when it does not.
        since: Arc<str>,
    },
    /// There is no credential, because its store does not give it.
    NotGiven {
        /// What the configuration calls the store.
        store: Arc<str>,
        /// Since when it does not.
        since: Arc<str>,
    },
    /// The service's credential never will come: its provider is none of ours, or will never have it.
    CredentialUnobtainable,
    /// A value that the protocol cannot do without is not in the credential: its name.
    FieldMissing(&'static str),
    /// A value of the credential cannot be sent: a text with NUL, or not UTF-8. The field's name.
    FieldUnusable(&'static str),
    /// A value of the credential that is a default for a startup parameter holds a NUL byte, or its name does.
    ParameterUnusable,
    /// The broker is stopping.
    Shutdown,
    /// The kernel would not give us what the session needs.
    Resources,
}

/// Our own mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A machine was given an answer that it had not asked for.
    UnexpectedEvent,
}

impl Error {
    /// The cause as one bounded word: a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Client(ClientMisbehaved::Closed) => "client_closed",
            Self::Client(ClientMisbehaved::HandshakeTimeout) => "client_timeout",
            Self::Client(ClientMisbehaved::Tls(_)) => "client_tls",
            Self::Client(_) => "client_protocol",
            Self::Server(ServerMisbehaved::Closed) => "target_closed",
            Self::Server(ServerMisbehaved::HandshakeTimeout) => "target_timeout",
            Self::Server(ServerMisbehaved::CutOff) => "target_cut_off",
            Self::Server(ServerMisbehaved::NoProof | ServerMisbehaved::WrongProof) => "target_proof",
            Self::Server(_) => "target_protocol",
            Self::Unsupported(_) => "unsupported",
            Self::Denied(Denied::CredentialRefused) => "credential_refused",
            Self::Denied(Denied::ByTarget) => "target_refused",
            Self::Denied(Denied::CleartextPassword) => "cleartext_password",
            Self::Denied(Denied::ServerKeyUnknown | Denied::ServerKeyMismatch) => "server_key",
            Self::Denied(Denied::OtherTarget) => "other_target",
            Self::Denied(Denied::ChannelBinding) => "channel_binding",
            Self::Denied(Denied::PlaintextClient) => "client_plaintext",
            Self::Limit(OverLimit::CancelRate) => "cancel_rate",
            Self::Limit(OverLimit::Abandoned) => "abandoned",
            Self::Limit(OverLimit::StartupPacket) => "startup_packet",
            Self::Limit(_) => "session_limit",
            Self::Target(TargetFailed::Name { .. }) => "name",
            Self::Target(TargetFailed::Dial { .. }) => "dial",
            Self::Target(TargetFailed::DialTimeout { .. } | TargetFailed::Silent { .. }) => "dial_timeout",
            Self::Target(TargetFailed::TlsNotOffered | TargetFailed::Tls(_)) => "tls",
            Self::Target(TargetFailed::Field { .. }) => "credential_field",
            Self::Broker(
                BrokerFailed::CredentialMissing
                | BrokerFailed::NotGiven { .. }
                | BrokerFailed::CredentialUnobtainable,
            ) => "credential_missing",
            Self::Broker(BrokerFailed::StoreUnreachable { .. }) => "store_unreachable",
            Self::Broker(
                BrokerFailed::FieldMissing(_)
                | BrokerFailed::FieldUnusable(_)
                | BrokerFailed::ParameterUnusable,
            ) => "credential_field",
            Self::Broker(BrokerFailed::Shutdown) => "shutdown",
            Self::Broker(BrokerFailed::Resources) => "resources",
            Self::Bug(_) => "bug",
        }
    }

    /// Every label that [`Error::label`] can give, in alphabetical order.
    pub const LABELS: &'static [&'static str] = &[
        "abandoned",
        "bug",
        "cancel_rate",
        "channel_binding",
        "cleartext_password",
        "client_closed",
        "client_plaintext",
        "client_protocol",
        "client_timeout",
        "client_tls",
        "credential_field",
        "credential_missing",
        "credential_refused",
        "dial",
        "dial_timeout",
        "name",
        "other_target",
        "resources",
        "server_key",
        "session_limit",
        "shutdown",
        "startup_packet",
        "store_unreachable",
        "target_closed",
        "target_cut_off",
        "target_proof",
        "target_protocol",
        "target_refused",
        "target_timeout",
        "tls",
        "unsupported",
    ];
}

impl core::error::Error for Error {}

macro_rules! from_cause {
    ($($cause:ident => $variant:ident),* $(,)?) => {
        $(impl From<$cause> for Error {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })*
    };
}

from_cause! {
    ClientMisbehaved => Client,
    ServerMisbehaved => Server,
    Unsupported => Unsupported,
    Denied => Denied,
    OverLimit => Limit,
    TargetFailed => Target,
    BrokerFailed => Broker,
    Bug => Bug,
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::{
        BrokerFailed, Bug, ClientMisbehaved, Denied, Error, OverLimit, ServerMisbehaved, TargetFailed,
        Unsupported,
    };

    #[test]
    fn every_label_is_in_the_list_and_the_list_has_no_other() {
        let errors: [Error; 41] = [
            ClientMisbehaved::BytesBehindTlsRequest.into(),
            ClientMisbehaved::Closed.into(),
            ClientMisbehaved::HandshakeTimeout.into(),
            ClientMisbehaved::Tls("no TLS".into()).into(),
            ServerMisbehaved::UnexpectedMessage.into(),
            ServerMisbehaved::MalformedMessage("x").into(),
            ServerMisbehaved::Scram("x").into(),
            ServerMisbehaved::NoProof.into(),
            ServerMisbehaved::WrongProof.into(),
            ServerMisbehaved::Closed.into(),
            ServerMisbehaved::CutOff.into(),
            ServerMisbehaved::HandshakeTimeout.into(),
            Unsupported::ClientTls.into(),
            Unsupported::AuthenticationCode { code: 99, name: None }.into(),
            Denied::CredentialRefused.into(),
            Denied::ByTarget.into(),
            Denied::CleartextPassword.into(),
            Denied::ChannelBinding.into(),
            Denied::ServerKeyUnknown.into(),
            Denied::OtherTarget.into(),
            Denied::PlaintextClient.into(),
            OverLimit::Sessions.into(),
            OverLimit::CancelRate.into(),
            OverLimit::Abandoned.into(),
            OverLimit::StartupPacket.into(),
            TargetFailed::Name { host: "h".into(), reason: "r".into() }.into(),
            TargetFailed::Dial { address: "a".into(), reason: "r".into() }.into(),
            TargetFailed::DialTimeout { address: "a".into() }.into(),
            TargetFailed::Silent { address: "a".into() }.into(),
            TargetFailed::TlsNotOffered.into(),
            TargetFailed::Tls("x509".into()).into(),
            TargetFailed::Field { name: "port", reason: "r".into() }.into(),
            BrokerFailed::CredentialMissing.into(),
            BrokerFailed::StoreUnreachable { store: "vault".into(), since: "noon".into() }.into(),
            BrokerFailed::NotGiven { store: "vault".into(), since: "noon".into() }.into(),
            BrokerFailed::CredentialUnobtainable.into(),
            BrokerFailed::FieldMissing("username").into(),
            BrokerFailed::ParameterUnusable.into(),
            BrokerFailed::Shutdown.into(),
            BrokerFailed::Resources.into(),
            Bug::UnexpectedEvent.into(),
        ];
        let labels: BTreeSet<_> = errors.iter().map(Error::label).collect();
        assert!(labels.into_iter().eq(Error::LABELS.iter().copied()), "in alphabetical order, each once");
        assert!(errors.iter().all(|error| !error.to_string().is_empty()));
    }
}
