//! Which client certificate is shown to which server.
//!
//! Owns the filter that the Go broker's TLS library has: a certificate is shown only to a server that names its
//! issuer, or names none.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// A client certificate and its key.
#[derive(Debug)]
pub(super) struct Identity(Arc<CertifiedKey>);

impl Identity {
    pub(super) fn new(key: CertifiedKey) -> Self {
        Self(Arc::new(key))
    }

    /// Whether a certificate of the chain was issued by one of `issuers` (DER-encoded names).
    fn is_issued_by(&self, issuers: &[&[u8]]) -> bool {
        // An issuer's name stands in the certificate byte for byte as the server sends it (RFC 5280 section 4.1.2.4),
        // outside of which no certificate holds it but for the subject of a self-signed one, its own issuer.
        self.0.cert.iter().any(|certificate| {
            issuers.iter().any(|issuer| {
                !issuer.is_empty() && certificate.windows(issuer.len()).any(|part| part == *issuer)
            })
        })
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let known_issuer = root_hint_subjects.is_empty() || self.is_issued_by(root_hint_subjects);
        (known_issuer && self.0.key.choose_scheme(schemes).is_some()).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
