//! What a machine asks of TLS towards the target, and what it learns from it.
//!
//! Owns the `sslmode` family that PostgreSQL and MySQL services share. Knows no TLS library: the data plane
//! turns a [`TlsPolicy`] and the credential's PEM values into a session.

use alloc::boxed::Box;
use alloc::string::String;

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

/// What a machine learns about the peer of a TLS session that has come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// Whether the certificate was checked ([`Verification::Chain`] or more).
    pub verified: bool,
    /// `tls-server-end-point` channel binding data (RFC 5929 section 4.1): the hash of the leaf certificate,
    /// or `None` where its signature algorithm defines no hash (Ed25519).
    pub end_point: Option<Box<[u8]>>,
}
