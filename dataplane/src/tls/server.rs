//! What clients are shown in TLS.
//!
//! Owns the settings of one service: its certificate, and that nothing is kept of a session once it is over, so that
//! no worker waits for another. Reads no file: the PEM texts are the control plane's.

use std::sync::Arc;

use protocol::{Error, Secret};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::TlsSession;
use super::errors::describe_client;

/// What the clients of a service are shown in TLS.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// From a certificate, which comes first, with those that it was issued by, and its key, both PEM. `alpn` is the
    /// protocol that clients may ask for. Says what is wrong with either.
    pub fn new(
        certificates_pem: &[u8],
        key_pem: &Secret,
        alpn: Option<&'static [u8]>,
    ) -> Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(certificates_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "the certificate is not PEM")?;
        if chain.is_empty() {
            return Err("there is no certificate in PEM form".to_owned());
        }
        let key = key_pem
            .expose(PrivateKeyDer::from_pem_slice)
            .map_err(|_| "there is no private key in PEM form that is not encrypted")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = provider.key_provider.load_private_key(key).map_err(
            |_| "the key must be an RSA key of 2048 bits or more, an ECDSA or an Ed25519 key, in good order",
        )?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
            _ => "the certificate is malformed".to_owned(),
        })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // A cache of sessions is a lock that workers share, and tickets need keys that change.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// A session with a client that has sent nothing.
    pub(crate) fn session(&self) -> Result<Box<TlsSession>, Error> {
        let connection =
            ServerConnection::new(Arc::clone(&self.0)).map_err(|error| describe_client(&error))?;
        Ok(Box::new(TlsSession::towards_client(connection)))
    }
}

#[cfg(test)]
mod tests {
    use protocol::Secret;

    use super::ServerTls;

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn refusal(certificate: &str, key: &str) -> Option<String> {
        ServerTls::new(certificate.as_bytes(), &Secret::from_heap(key.as_bytes().to_vec()), None).err()
    }

    #[test]
    fn a_certificate_and_its_key_are_taken_and_anything_else_is_told_apart() {
        let (certificate, key) = made();
        let (other_certificate, other_key) = made();
        assert_eq!(refusal(&certificate, &key), None);
        assert_eq!(refusal(&[certificate.as_str(), &other_certificate].concat(), &key), None);
        assert_eq!(
            refusal(&certificate, &other_key).as_deref(),
            Some("the key is not that of the certificate")
        );
        assert!(refusal("", &key).unwrap().contains("no certificate"));
        assert!(refusal(&key, &key).unwrap().contains("no certificate"));
        assert!(refusal(&certificate, &certificate).unwrap().contains("no private key"));
        let broken = certificate.replacen('M', "!", 1);
        assert!(refusal(&broken, &key).is_some());
        let truncated = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(refusal(truncated, &key).as_deref(), Some("the certificate is malformed"));
    }
}
