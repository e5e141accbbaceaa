//! The certificate that a service's clients are shown.
//!
//! Owns the one that is shown where the file names none: one key and one certificate for as long as the process runs, made
//! when the first service needs them. The key is written nowhere. Whoever wants to know a broker by its certificate gives
//! it one.

use std::fmt::Write;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use dataplane::{SecretArena, ServerTls};
use protocol::{ClientTls, Protocol, Secret};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use sha2::{Digest, Sha256};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::{ClientTlsConfig, ServiceConfig, transport};

/// What the service's clients are shown in TLS, if any of them may speak it.
pub(crate) fn shown_by(config: &ServiceConfig) -> Option<ServerTls> {
    let ClientTlsConfig { mode, shown } = &config.client_tls;
    if *mode == ClientTls::Off || !config.protocol.offers_client_tls(*mode, transport(&config.listen_on)) {
        return None;
    }
    let shown = shown.clone().map_or_else(|| of_process(config.protocol), Ok);
    shown
        .inspect_err(|reason| {
            warn!(service = config.name, "there is no certificate to show to clients: {reason}");
        })
        .ok()
}

struct Made {
    certificate_pem: String,
    key_pem: Secret,
}

/// What clients of `protocol` are shown, or why there is nothing.
fn of_process(protocol: &dyn Protocol) -> Result<ServerTls, String> {
    static MADE: OnceLock<Result<Made, String>> = OnceLock::new();
    match MADE.get_or_init(|| make().map_err(|error| error.to_string())) {
        Ok(made) => ServerTls::new(made.certificate_pem.as_bytes(), &made.key_pem, protocol.alpn()),
        Err(reason) => Err(reason.clone()),
    }
}

fn make() -> Result<Made, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "secretless-broker");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clocks differ.
    let yesterday = SystemTime::now() - DAY;
    params.not_before = yesterday.into();
    params.not_after = (yesterday + TEN_YEARS).into();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    info!(
        "clients in TLS are shown a certificate of this process where the file names none, SHA-256 fingerprint {}",
        fingerprint(certificate.der())
    );
    Ok(Made {
        certificate_pem: certificate.pem(),
        key_pem: SecretArena::of_process().secret(Zeroizing::new(key.serialize_pem()).as_bytes()),
    })
}

/// As `openssl x509 -fingerprint -sha256` writes it.
fn fingerprint(der: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(der) {
        let separator = if text.is_empty() { "" } else { ":" };
        write!(text, "{separator}{byte:02X}").expect("a String takes all text");
    }
    text
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const TEN_YEARS: Duration = Duration::from_secs(3652 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_that_can_be_shown() {
        let protocol = protocol::protocols::by_name("pg").expect("it is listed");
        assert!(of_process(protocol).is_ok());
    }

    #[test]
    fn fingerprints_read_as_other_tools_write_them() {
        // The digest of nothing (FIPS 180-4).
        assert!(fingerprint(b"").starts_with("E3:B0:C4:42:98:FC:1C:14:"));
    }
}
