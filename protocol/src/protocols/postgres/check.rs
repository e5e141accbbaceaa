//! What is wrong with a credential that can be seen without connecting.
//!
//! Owns the sentences. They name fields and remedies, never values.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::address;
use super::fields::{USER_HINT, defaults, tls_policy};
use crate::fields::{PEM_FIELDS, has_nul, pem_findings};
use crate::{Credential, Destination, Doubt};

/// A field that is missing is no finding: its value may come from elsewhere later.
pub(super) fn findings(credential: &Credential) -> Vec<Doubt> {
    let mut findings = Vec::new();
    if credential.field("user").is_some() {
        findings.push(Doubt::fatal(format!("credential 'user' is not used: {USER_HINT}")));
    }
    if credential.field("address").is_some() {
        findings.push(Doubt::harmless(
            "'address' has been deprecated for PG connector. Please use 'host' and 'port' instead.",
        ));
    }
    match address::destination(credential) {
        // Nothing is encrypted on a Unix socket, so sslmode means nothing there.
        Ok(Destination::Unix(_)) => {}
        Ok(Destination::Tcp { .. }) => {
            findings.extend(tls_policy(credential).err().map(|error| Doubt::fatal(error.to_string())));
        }
        Err(error) => findings.push(Doubt::fatal(error.to_string())),
    }
    findings.extend(pem_findings(credential, &PEM_FIELDS));
    for name in ["username", "password", "database"] {
        if credential.field(name).is_some_and(|secret| secret.expose(has_nul)) {
            findings.push(Doubt::fatal(format!(
                "credential '{name}' holds a NUL byte, which PostgreSQL cannot take; remove it"
            )));
        }
    }
    for (name, value) in defaults(credential) {
        if value.expose(has_nul) {
            findings.push(Doubt::fatal(format!(
                "credential '{}' is sent as a startup parameter and holds a NUL byte; remove it",
                name.escape_default()
            )));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::findings;
    use crate::testing::credential;

    const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n";

    fn found(fields: &[(&str, &[u8])]) -> Vec<String> {
        findings(&credential(fields)).into_iter().map(|doubt| doubt.words).collect()
    }

    #[test]
    fn a_sound_credential_has_no_findings_and_neither_has_one_that_is_not_complete() {
        assert!(found(&[]).is_empty());
        assert!(found(&[("username", b"svc"), ("password", b"\xFF secret"), ("port", b"5432")]).is_empty());
        let key = b"text before\n-----BEGIN EC PRIVATE KEY-----\nMHc=\n-----END EC PRIVATE KEY-----";
        assert!(found(&[("sslrootcert", CERTIFICATE), ("sslcert", CERTIFICATE), ("sslkey", key)]).is_empty());
    }

    #[test]
    fn each_finding_names_its_field_and_a_remedy() {
        let cases: [(&str, &[u8], &str); 13] = [
            (
                "user",
                b"x",
                "credential 'user' is not used: PostgreSQL services take the user name from the field 'username'",
            ),
            (
                "address",
                b"db",
                "'address' has been deprecated for PG connector. Please use 'host' and 'port' instead.",
            ),
            ("port", b"pg", "credential 'port': the port must be a number from 1 to 65535"),
            ("host", b"\xFF", "credential 'host': it must be UTF-8 without NUL bytes"),
            (
                "sslmode",
                b"prefer",
                "unsupported sslmode; only \"require\" (default), \"verify-ca\", \"verify-full\" and \"disable\" supported",
            ),
            ("sslhost", b"\xFF", "credential 'sslhost': it must be UTF-8"),
            (
                "sslrootcert",
                b"/etc/ssl/root.crt",
                "credential 'sslrootcert' holds no PEM block of the kind 'CERTIFICATE'; it must hold the content of the file, not its path",
            ),
            (
                "sslcert",
                b"-----BEGIN CERTIFICATE-----\nMIIB",
                "credential 'sslcert' holds no PEM block of the kind 'CERTIFICATE'; it must hold the content of the file, not its path",
            ),
            (
                "sslkey",
                CERTIFICATE,
                "credential 'sslkey' holds no PEM block of the kind 'PRIVATE KEY'; it must hold the content of the file, not its path",
            ),
            (
                "username",
                b"a\0b",
                "credential 'username' holds a NUL byte, which PostgreSQL cannot take; remove it",
            ),
            (
                "password",
                b"a\0b",
                "credential 'password' holds a NUL byte, which PostgreSQL cannot take; remove it",
            ),
            (
                "database",
                b"a\0b",
                "credential 'database' holds a NUL byte, which PostgreSQL cannot take; remove it",
            ),
            (
                "search_path",
                b"a\0b",
                "credential 'search_path' is sent as a startup parameter and holds a NUL byte; remove it",
            ),
        ];
        for (name, value, finding) in cases {
            assert_eq!(found(&[(name, value)]), [finding]);
        }
    }

    #[test]
    fn sslmode_means_nothing_on_a_unix_socket() {
        assert!(found(&[("host", b"/run/postgresql"), ("sslmode", b"prefer")]).is_empty());
    }

    #[test]
    fn everything_is_said_at_once() {
        assert_eq!(found(&[("user", b"x"), ("port", b"x"), ("sslcert", b"x"), ("password", b"\0")]).len(), 4);
    }
}
