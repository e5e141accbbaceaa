//! TLS with the store.
//!
//! Owns which certificates are trusted and which one is shown. Both may lie in files, which are read for each fetch, so
//! that new ones are taken up.

use std::fs;
use std::sync::{Arc, OnceLock};

use dataplane::any_certificate;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};

use super::keys::CA_PATH;
use super::line::{Line, Roots};
use super::pem::Pem;

/// With the proxy: nothing is shown to it, and it is who it says.
pub(super) fn proxy_config() -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(system_roots()).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// What `line` says about TLS with the store.
pub(crate) fn config(line: &Line) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if line.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(any_certificate(provider))
    } else {
        builder.with_root_certificates(match &line.roots {
            Some(roots) => Arc::new(roots.read()?),
            None => system_roots(),
        })
    };
    let mut config = match &line.identity {
        Some((certificate, key)) => {
            let shown = builder.with_client_auth_cert(certificate.certificates()?, key.key()?);
            shown.map_err(|error| format!("{} and {}: {error}", certificate.name(), key.name()))?
        }
        None => builder.with_no_client_auth(),
    };
    // The client is gone after the fetch, and its sessions with it.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

impl Roots {
    fn read(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::Pem(pem) => add(&mut store, pem)?,
            Self::Folder(folder) => {
                let failed = |error| format!("open {}: {}", folder.display(), crate::os_words::words(&error));
                let mut paths = Vec::new();
                for entry in fs::read_dir(folder).map_err(failed)? {
                    let path = entry.map_err(failed)?.path();
                    if path.is_file() {
                        paths.push(path);
                    }
                }
                for path in paths {
                    add(&mut store, &Pem::file(CA_PATH, path))?;
                }
                if store.is_empty() {
                    return Err(format!("{} holds no certificate", folder.display()));
                }
            }
        }
        Ok(store)
    }
}

fn add(store: &mut RootCertStore, pem: &Pem) -> Result<(), String> {
    for certificate in pem.certificates()? {
        store.add(certificate).map_err(|error| format!("{}: {error}", pem.name()))?;
    }
    Ok(())
}

/// What is wrong with a line in TLS, without a word of the peer's: its certificate may name anything.
pub(super) fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, .. }) => {
            format!("invalid peer certificate: certificate not valid for name {:?}", expected.to_str())
        }
        // What has come is no record of TLS.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers there is not TLS: is it `http://`?".to_owned()
        }
        error => error.to_string(),
    }
}

/// What helps, if the peer is the store itself.
pub(super) fn hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => {
            ": `tlsServerName` says another"
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            ": `caCert` names the authority that it must come from"
        }
        _ => "",
    }
}

/// Read once: they are many, and change with the system.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // What cannot be used is said when the broker starts.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    Arc::clone(roots)
}
