//! What is wrong with a credential that can be seen without connecting.
//!
//! Owns the sentences. They name fields and remedies, never values.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::login::{USER_HINT, defaults, has_nul};
use super::{address, login};
use crate::{Credential, Destination};

/// One sentence per finding. A field that is missing is not one: its value may come from elsewhere later.
pub(super) fn findings(credential: &Credential) -> Vec<String> {
    let mut findings = Vec::new();
    if credential.field("user").is_some() {
        findings.push(format!("credential 'user' is not used: {USER_HINT}"));
    }
    if credential.field("address").is_some() {
        findings.push(
            "'address' has been deprecated for PG connector. Please use 'host' and 'port' instead."
                .to_string(),
        );
    }
    match address::destination(credential) {
        // Nothing is encrypted on a Unix socket, so sslmode means nothing there.
        Ok(Destination::Unix(_)) => {}
        Ok(Destination::Tcp { .. }) => {
            findings.extend(login::tls_policy(credential).err().map(|error| error.to_string()));
        }
        Err(error) => findings.push(error.to_string()),
    }
    for (field, marker) in PEM_FIELDS {
        let Some(pem) = credential.field(field) else { continue };
        if !pem.expose(|pem| has_pem_block(pem, marker)) {
            findings.push(format!(
                "credential '{field}' holds no PEM block of the kind '{marker}'; it must hold the content of the \
                 file, not its path"
            ));
        }
    }
    for name in ["username", "password", "database"] {
        if credential.field(name).is_some_and(|secret| secret.expose(has_nul)) {
            findings.push(format!(
                "credential '{name}' holds a NUL byte, which PostgreSQL cannot take; remove it"
            ));
        }
    }
    for (name, value) in defaults(credential) {
        if value.expose(has_nul) {
            findings.push(format!(
                "credential '{}' is sent as a startup parameter and holds a NUL byte; remove it",
                name.escape_default()
            ));
        }
    }
    findings
}

/// Whether there is a block `-----BEGIN … <marker>-----` that also ends (RFC 7468 section 2).
fn has_pem_block(pem: &[u8], marker: &str) -> bool {
    let ending = format!("{marker}-----");
    let labels = |boundary: &'static str| {
        pem.split(|&byte| byte == b'\n')
            .filter_map(move |line| line.trim_ascii().strip_prefix(boundary.as_bytes()))
    };
    labels("-----BEGIN ")
        .any(|label| label.ends_with(ending.as_bytes()) && labels("-----END ").any(|other| other == label))
}

const PEM_FIELDS: [(&str, &str); 3] =
    [("sslrootcert", "CERTIFICATE"), ("sslcert", "CERTIFICATE"), ("sslkey", "PRIVATE KEY")];
