//! What a machine asks of TLS towards the target, and what it learns from it of either side.
//!
//! Owns the `sslmode` family that PostgreSQL and MySQL services share. Knows no TLS library: the data plane
//! turns a [`TlsPolicy`] and the credential's PEM values into a session.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;

use crate::{Credential, Error, TargetFailed, Unsupported};

/// How far the target's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// Encrypted, but to nobody in particular. Signatures of the TLS handshake are still checked, else channel
    /// binding would prove nothing.
    Nothing,
    /// The certificate chains up to a trusted root.
    Chain,
    /// The chain, and the certificate is for the host's name.
    ChainAndName,
}

/// What a machine wants of the TLS session it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicy {
    /// How far the certificate is checked.
    pub verification: Verification,
    /// The name that the certificate must carry and that SNI announces; an address is never announced.
    pub server_name: String,
    /// The ALPN protocol to offer (RFC 7301), for targets that take TLS without an opening of their own.
    pub alpn: Option<&'static [u8]>,
}

/// What `sslmode=require` does with an `sslrootcert`: the protocols differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireWithRoot {
    /// The chain is checked against it, as libpq does: "if a root CA file exists, the behavior of sslmode=require
    /// will be the same as that of verify-ca" (PostgreSQL documentation, "SSL Support").
    ChecksChain,
    /// Nothing.
    IgnoresIt,
}

impl TlsPolicy {
    /// Reads `sslmode` and `sslhost`. `None` is `disable`; a credential that says nothing requires TLS. `host` is
    /// the target's.
    pub fn from_credential(
        credential: &Credential,
        host: &str,
        require: RequireWithRoot,
    ) -> Result<Option<Self>, Error> {
        let mode = credential.text("sslmode", Mode::parse).unwrap_or(Ok(Some(Mode::Require)));
        let verification = match mode.ok().flatten().ok_or(Unsupported::SslMode)? {
            Mode::Disable => return Ok(None),
            Mode::Require
                if require == RequireWithRoot::ChecksChain && credential.field("sslrootcert").is_some() =>
            {
                Verification::Chain
            }
            Mode::Require => Verification::Nothing,
            Mode::VerifyCa => Verification::Chain,
            Mode::VerifyFull => Verification::ChainAndName,
        };
        let server_name = match credential.text("sslhost", ToOwned::to_owned) {
            None => host.to_owned(),
            Some(Ok(name)) => name,
            Some(Err(_)) => {
                return Err(TargetFailed::Field { name: "sslhost", reason: "it must be UTF-8".into() }.into());
            }
        };
        Ok(Some(Self { verification, server_name, alpn: None }))
    }
}

/// The values of `sslmode`. `allow` and `prefer` are missing on purpose: they let whoever sits between us and the
/// target take the encryption away.
enum Mode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "disable" => Some(Self::Disable),
            "require" => Some(Self::Require),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }
}

/// What a machine learns about the peer of a TLS session that has come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// Whether the certificate was checked ([`Verification::Chain`] or more).
    pub verified: bool,
    /// `tls-server-end-point` channel binding data (RFC 5929 section 4.1): the hash of the leaf certificate,
    /// or `None` where its signature algorithm defines no hash (Ed25519).
    pub end_point: Option<Box<[u8]>>,
}

impl TlsPeer {
    /// Somebody who has shown no certificate: a client.
    pub const UNKNOWN: Self = Self { verified: false, end_point: None };
}

#[cfg(test)]
mod tests {
    use super::{RequireWithRoot, TlsPolicy, Verification};
    use crate::testing::credential;
    use crate::{Error, TargetFailed, Unsupported};

    fn policy(fields: &[(&str, &[u8])]) -> Result<Option<(Verification, alloc::string::String)>, Error> {
        TlsPolicy::from_credential(&credential(fields), "db.example", RequireWithRoot::ChecksChain)
            .map(|policy| policy.map(|policy| (policy.verification, policy.server_name)))
    }

    #[test]
    fn encryption_is_required_unless_it_is_disabled() {
        assert_eq!(policy(&[]), Ok(Some((Verification::Nothing, "db.example".into()))));
        assert_eq!(policy(&[("sslmode", b"")]), Ok(Some((Verification::Nothing, "db.example".into()))));
        assert_eq!(
            policy(&[("sslmode", b"require")]),
            Ok(Some((Verification::Nothing, "db.example".into())))
        );
        assert_eq!(policy(&[("sslmode", b"disable")]), Ok(None));
        assert_eq!(
            policy(&[("sslmode", b"verify-ca")]),
            Ok(Some((Verification::Chain, "db.example".into())))
        );
        assert_eq!(
            policy(&[("sslmode", b"verify-full"), ("sslhost", b"pg")]),
            Ok(Some((Verification::ChainAndName, "pg".into())))
        );
    }

    #[test]
    fn a_root_certificate_makes_require_check_the_chain_where_libpq_does() {
        let fields: &[(&str, &[u8])] =
            &[("sslmode", b"require"), ("sslrootcert", b"-----BEGIN CERTIFICATE-----")];
        assert_eq!(policy(fields), Ok(Some((Verification::Chain, "db.example".into()))));
        let elsewhere = TlsPolicy::from_credential(&credential(fields), "h", RequireWithRoot::IgnoresIt);
        assert_eq!(elsewhere.unwrap().unwrap().verification, Verification::Nothing);
    }

    #[test]
    fn modes_that_fall_back_to_plaintext_are_refused() {
        for mode in [&b"prefer"[..], b"allow", b"Require", b"require ", b"\xFF"] {
            assert_eq!(policy(&[("sslmode", mode)]), Err(Unsupported::SslMode.into()));
        }
        assert!(matches!(
            policy(&[("sslhost", b"\xFF")]),
            Err(Error::Target(TargetFailed::Field { name: "sslhost", .. }))
        ));
    }
}
