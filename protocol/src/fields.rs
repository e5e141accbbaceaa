//! What protocols take from a credential in the same way: texts, ports, PEM.
//!
//! Owns the sentences about values that cannot be used. They name the field and the remedy, never the value.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::{BrokerFailed, Credential, Doubt, Error, Secret, TargetFailed};

/// A field that the target is sent as it is. An empty one is none.
pub(crate) fn sendable<'a>(
    credential: &'a Credential,
    name: &'static str,
) -> Result<Option<&'a Secret>, Error> {
    match credential.field(name) {
        Some(secret) if secret.expose(has_nul) => Err(BrokerFailed::FieldUnusable(name).into()),
        field => Ok(field),
    }
}

/// The same, of a field that must be there.
pub(crate) fn required<'a>(credential: &'a Credential, name: &'static str) -> Result<&'a Secret, Error> {
    sendable(credential, name)?.ok_or_else(|| BrokerFailed::FieldMissing(name).into())
}

/// A field that we read ourselves.
pub(crate) fn text(credential: &Credential, name: &'static str) -> Result<Option<String>, Error> {
    match credential.text(name, ToOwned::to_owned) {
        None => Ok(None),
        Some(Ok(text)) if !text.contains('\0') => Ok(Some(text)),
        Some(_) => Err(unusable(name, "it must be UTF-8 without NUL bytes")),
    }
}

/// A port. A sign is a number to `parse`, and none to anybody else.
pub(crate) fn parse_port(name: &'static str, digits: &str) -> Result<u16, Error> {
    match digits.parse() {
        Ok(port) if port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(unusable(name, "the port must be a number from 1 to 65535")),
    }
}

/// A host without the brackets that an IPv6 address may stand in.
pub(crate) fn without_brackets(host: String) -> String {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(ToOwned::to_owned).unwrap_or(host)
}

pub(crate) fn unusable(name: &'static str, reason: &str) -> Error {
    TargetFailed::Field { name, reason: reason.to_owned() }.into()
}

pub(crate) fn has_nul(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

/// The fields of TLS that hold PEM, and the end of the label of what must be in them.
pub(crate) const PEM_FIELDS: [(&str, &str); 3] =
    [("sslrootcert", "CERTIFICATE"), ("sslcert", "CERTIFICATE"), ("sslkey", "PRIVATE KEY")];

/// What is wrong with the PEM in `fields`.
pub(crate) fn pem_findings(credential: &Credential, fields: &[(&str, &str)]) -> impl Iterator<Item = Doubt> {
    fields.iter().filter_map(|(field, marker)| {
        let is_pem = credential.field(field)?.expose(|pem| has_pem_block(pem, marker));
        let finding = || {
            Doubt::fatal(format!(
                "credential '{field}' holds no PEM block of the kind '{marker}'; it must hold the content of the \
                 file, not its path"
            ))
        };
        (!is_pem).then(finding)
    })
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
