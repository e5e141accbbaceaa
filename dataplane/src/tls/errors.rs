//! What is said about a TLS session that did not come up.
//!
//! Owns the translation into the words that users of the Go broker search for.

use protocol::limits::ERROR_CAUSE_MAX;
use protocol::tls::Verification;
use protocol::{ClientMisbehaved, Error, TargetFailed};
use rustls::{AlertDescription, CertificateError};

/// A failure of TLS in these words.
pub(super) fn tls(words: impl Into<String>) -> Error {
    TargetFailed::Tls(words.into()).into()
}

/// What came is not TLS.
pub(super) fn malformed() -> Error {
    tls("tls: first record does not look like a TLS handshake")
}

/// The failure that `error` is, for a session that checks certificates so far.
pub(super) fn describe(error: &rustls::Error, verification: Verification) -> Error {
    match error {
        rustls::Error::InvalidCertificate(cause) => {
            let words = certificate(cause);
            // The Go broker checks the chain by itself under verify-ca, and its TLS library under verify-full.
            let prefix = match verification {
                Verification::ChainAndName => "tls: failed to verify certificate: ",
                Verification::Chain | Verification::Nothing => "",
            };
            tls(format!("{prefix}{words}"))
        }
        rustls::Error::AlertReceived(alert) => tls(format!("remote error: tls: {}", alert_words(*alert))),
        rustls::Error::InvalidMessage(_) => malformed(),
        rustls::Error::PeerIncompatible(cause) => {
            tls(format!("tls: the target offers nothing that we accept: {cause:?}"))
        }
        other => tls(format!("tls: {other}")),
    }
}

/// What came from a client is not TLS.
pub(super) fn malformed_client() -> Error {
    client("it does not speak TLS")
}

/// The failure that `error` is, for a session with a client.
pub(super) fn describe_client(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => client(format!("remote error: tls: {}", alert_words(*alert))),
        rustls::Error::InvalidMessage(_) => malformed_client(),
        rustls::Error::PeerIncompatible(cause) => {
            client(format!("it offers nothing that we accept: {cause:?}"))
        }
        other => client(other.to_string()),
    }
}

/// A failure in these words, or as many of them as a line of the log should have: a client may have a say in them.
fn client(words: impl Into<String>) -> Error {
    let words: String = words.into().chars().take(ERROR_CAUSE_MAX).collect();
    ClientMisbehaved::Tls(words).into()
}

fn certificate(cause: &CertificateError) -> String {
    match cause {
        CertificateError::UnknownIssuer => "x509: certificate signed by unknown authority".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "x509: certificate has expired or is not yet valid: it has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid: it is not yet valid".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return if expected.parse::<std::net::IpAddr>().is_ok() {
                    format!("x509: cannot validate certificate for {expected} because it doesn't contain any IP SANs")
                } else {
                    "x509: certificate relies on legacy Common Name field, use SANs instead".into()
                };
            }
            format!("x509: certificate is valid for {}, not {expected}", names(presented))
        }
        CertificateError::NotValidForName => "x509: certificate is not valid for this name".into(),
        CertificateError::BadSignature => "x509: certificate signature is wrong".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".into()
        }
        CertificateError::Other(other) if format!("{other:?}").contains("UnsupportedCertVersion") => {
            "x509: certificate is of X.509 version 1, which is not supported; issue one of version 3".into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "x509: certificate uses a signature that is not supported: RSA keys need 2048 bits or more, and SHA-1 is refused".into()
        }
        other => format!("x509: {other}"),
    }
}

/// The names that a certificate carries, as the TLS library lists them: `DnsName("localhost")`, `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let names = presented.iter().map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        inner.trim_matches('"').to_owned()
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Go's words for an alert (RFC 8446 section 6.2).
fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown certificate authority".into(),
        AlertDescription::BadCertificate => "bad certificate".into(),
        AlertDescription::CertificateRequired => "certificate required".into(),
        AlertDescription::CertificateExpired => "expired certificate".into(),
        AlertDescription::CertificateRevoked => "revoked certificate".into(),
        AlertDescription::CertificateUnknown => "unknown certificate".into(),
        AlertDescription::HandshakeFailure => "handshake failure".into(),
        AlertDescription::ProtocolVersion => "protocol version not supported".into(),
        AlertDescription::NoApplicationProtocol => "no application protocol".into(),
        AlertDescription::AccessDenied => "access denied".into(),
        AlertDescription::DecryptError => "error decrypting message".into(),
        AlertDescription::InternalError => "internal error".into(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_of_a_certificate_read_as_in_go() {
        let presented =
            [r#"DnsName("localhost")"#, r#"DnsName("pg")"#, "IpAddress(127.0.0.1)"].map(String::from);
        assert_eq!(names(&presented), "localhost, pg, 127.0.0.1");
    }
}
