//! What a TLS session is made from.
//!
//! Owns the reading of a credential's PEM values. A value that cannot be used is an error of each connection that
//! needs it, in the words that the Go broker's users know.

use std::net::IpAddr;
use std::sync::Arc;

use protocol::tls::{TlsPolicy, Verification};
use protocol::{Credential, Error, Secret, TargetFailed};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

use super::errors;
use super::identity::Identity;
use super::verifier::Verifier;

/// The system's trusted roots, shared by all workers.
#[derive(Clone)]
pub(crate) struct SystemRoots(Arc<RootCertStore>);

impl SystemRoots {
    /// Roots from DER; what is no certificate is left out.
    pub(crate) fn new(certificates: Vec<Vec<u8>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
        Self(Arc::new(store))
    }
}

/// The name that the handshake runs under. An address is never announced to the server (RFC 6066 section 3).
pub(super) fn server_name(policy: &TlsPolicy) -> Result<ServerName<'static>, Error> {
    if let Ok(address) = policy.server_name.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    match ServerName::try_from(policy.server_name.clone()) {
        Ok(name) => Ok(name),
        // Nobody checks the name, so one that cannot be announced is replaced by one that is not.
        Err(_) if policy.verification != Verification::ChainAndName => {
            Ok(ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into()))
        }
        Err(_) => Err(TargetFailed::Field {
            name: "sslhost",
            reason: "it, or 'host' in its place, must be a host name or an address".into(),
        }
        .into()),
    }
}

/// Settings for `policy` with the certificates of `credential`.
pub(super) fn build(
    credential: &Credential,
    policy: &TlsPolicy,
    system: &SystemRoots,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let own_roots = credential.field("sslrootcert").map(root_certificates).transpose()?;
    let (roots, pinned) = match own_roots {
        None => (Arc::clone(&system.0), Vec::new()),
        Some(certificates) => {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates.iter().cloned());
            (Arc::new(store), certificates)
        }
    };
    let verifier = Verifier::new(policy.verification, roots, pinned, Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| errors::describe(&error, policy.verification))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (credential.field("sslcert"), credential.field("sslkey")) {
        (None, None) => builder.with_no_client_auth(),
        (certificate, key) => {
            let identity = identity(certificate, key, &provider)?;
            builder.with_client_cert_resolver(Arc::new(Identity::new(identity)))
        }
    };
    config.enable_sni = policy.server_name.parse::<IpAddr>().is_err();
    // Early data can be replayed, and a login is nothing to be replayed.
    config.enable_early_data = false;
    config.alpn_protocols = policy.alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn root_certificates(pem: &Secret) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = certificates(pem);
    let mut probe = RootCertStore::empty();
    let (usable, _) = probe.add_parsable_certificates(certificates.iter().cloned());
    if usable == 0 { Err(errors::tls("couldn't parse pem in sslrootcert")) } else { Ok(certificates) }
}

/// Every certificate of `pem`; none if it is malformed.
fn certificates(pem: &Secret) -> Vec<CertificateDer<'static>> {
    pem.expose(|pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()).unwrap_or_default()
}

/// The client certificate and its key.
fn identity(
    certificate: Option<&Secret>,
    key: Option<&Secret>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let chain = certificate.map(certificates).unwrap_or_default();
    if chain.is_empty() {
        return Err(errors::tls("tls: failed to find any PEM data in certificate input"));
    }
    let Some(key) = key else {
        return Err(errors::tls("tls: failed to find any PEM data in key input"));
    };
    let encrypted = key.expose(|pem| {
        let text = String::from_utf8_lossy(pem);
        text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    });
    if encrypted {
        return Err(errors::tls(
            "tls: failed to parse private key: sslkey is encrypted; give it without a passphrase",
        ));
    }
    let key = key
        .expose(PrivateKeyDer::from_pem_slice)
        .map_err(|_| errors::tls("tls: failed to find any PEM data in key input"))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| errors::tls("tls: failed to parse private key: sslkey must be an RSA key of 2048 bits or more, an ECDSA or an Ed25519 key"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(errors::tls("tls: private key does not match public key")),
    }
}
