//! What is taken from the credential, and what is wrong with it that can be seen without connecting.
//!
//! Owns which field means what.

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use sha2::{Digest, Sha256};

use super::dialogue::SERVER_KEY;
use crate::fields::{
    PEM_FIELDS, has_nul, parse_port, pem_findings, required, sendable, text, without_brackets,
};
use crate::limits::MYSQL_CLEAR_PASSWORD_MAX;
use crate::tls::{RequireWithRoot, TlsPolicy, Verification};
use crate::{Credential, Destination, Doubt, Error, KnownField, Secret};

/// Registered with IANA.
pub(super) const DEFAULT_PORT: u16 = 3306;

/// What has a meaning here. Any other value is nobody's.
pub(super) const KNOWN: [KnownField; 10] = [
    KnownField { is_required: true, ..KnownField::new("username") },
    KnownField::new("password"),
    KnownField::new("host"),
    KnownField::new("port"),
    KnownField::new("sslmode"),
    KnownField::new("sslhost"),
    KnownField { is_public: true, ..KnownField::new("sslrootcert") },
    KnownField { is_public: true, ..KnownField::new("sslcert") },
    KnownField::new("sslkey"),
    KnownField { is_public: true, ..KnownField::new(SERVER_KEY) },
];

/// The target of `credential`: a host that begins with a slash is the path of a Unix socket.
pub(super) fn destination(credential: &Credential) -> Result<Destination, Error> {
    let host = text(credential, "host")?.unwrap_or_else(|| "localhost".into());
    if host.starts_with('/') {
        return Ok(Destination::Unix(host));
    }
    let port = match text(credential, "port")? {
        Some(digits) => parse_port("port", &digits)?,
        None => DEFAULT_PORT,
    };
    Ok(Destination::Tcp { host: without_brackets(host), port })
}

/// Whether and how a TCP connection is to be encrypted.
pub(super) fn tls_policy(credential: &Credential) -> Result<Option<TlsPolicy>, Error> {
    let host = match destination(credential)? {
        Destination::Tcp { host, .. } => host,
        // A session that was opened with another credential, over TCP.
        Destination::Unix(_) => "localhost".into(),
    };
    TlsPolicy::from_credential(credential, &host, RequireWithRoot::IgnoresIt)
}

/// Whose ears a password that a credential holds is for: what somebody must not have changed who has it said over a
/// connection that is there already.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    destination: Destination,
    tls: Option<TlsPolicy>,
    /// Of the certificates that the target's must come from.
    roots: Option<[u8; 32]>,
}

impl Place {
    pub(super) fn of(credential: &Credential) -> Result<Self, Error> {
        let destination = destination(credential)?;
        if let Destination::Unix(_) = destination {
            return Ok(Self { destination, tls: None, roots: None });
        }
        let tls = tls_policy(credential)?;
        let roots = credential.field("sslrootcert");
        let roots = roots.map(|roots| roots.expose(|pem| Sha256::digest(pem).into()));
        Ok(Self { destination, tls, roots })
    }
}

/// Who logs in.
pub(super) fn username(credential: &Credential) -> Result<&Secret, Error> {
    required(credential, "username")
}

/// Refuses a credential with which no login can succeed. One without a password is none: accounts may be without.
pub(super) fn check_credential(credential: &Credential) -> Result<(), Error> {
    username(credential)?;
    sendable(credential, "password")?;
    if let Destination::Tcp { .. } = destination(credential)? {
        tls_policy(credential)?;
    }
    Ok(())
}

/// A field that is missing is no finding: its value may come from elsewhere later.
pub(super) fn findings(credential: &Credential) -> Vec<Doubt> {
    let mut findings = vec![];
    match destination(credential) {
        // The kernel says who listens there.
        Ok(Destination::Unix(_)) => {}
        Ok(Destination::Tcp { .. }) => match tls_policy(credential) {
            Ok(Some(policy))
                if policy.verification == Verification::Nothing
                    && credential.field("sslrootcert").is_some() =>
            {
                findings.push(Doubt::harmless(
                    "credential 'sslrootcert' is not looked at with sslmode \"require\", which takes any certificate: use \
                     \"verify-full\" or \"verify-ca\"",
                ));
            }
            Ok(_) => {}
            Err(error) => findings.push(Doubt::fatal(error.to_string())),
        },
        Err(error) => findings.push(Doubt::fatal(error.to_string())),
    }
    findings.extend(pem_findings(credential, &PEM_FIELDS));
    findings.extend(pem_findings(credential, &[(SERVER_KEY, "PUBLIC KEY")]));
    for name in ["username", "password"] {
        if credential.field(name).is_some_and(|secret| secret.expose(has_nul)) {
            findings.push(Doubt::fatal(format!(
                "credential '{name}' holds a NUL byte, which MySQL cannot take; remove it"
            )));
        }
    }
    if credential.field("password").is_some_and(|password| password.len() > MYSQL_CLEAR_PASSWORD_MAX) {
        findings.push(Doubt::fatal(format!(
            "credential 'password' is longer than {MYSQL_CLEAR_PASSWORD_MAX} bytes, which is more than a token has"
        )));
    }
    findings
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{check_credential, destination, findings};
    use crate::testing::credential;
    use crate::{BrokerFailed, Destination};

    fn tcp(host: &str, port: u16) -> Destination {
        Destination::Tcp { host: host.into(), port }
    }

    #[test]
    fn reads_host_and_port_with_their_defaults() {
        let read = |fields: &[(&str, &[u8])]| destination(&credential(fields)).unwrap();
        assert_eq!(read(&[]), tcp("localhost", 3306));
        assert_eq!(read(&[("host", b"db.example"), ("port", b"3307")]), tcp("db.example", 3307));
        assert_eq!(read(&[("host", b"[::1]")]), tcp("::1", 3306));
        let socket = Destination::Unix("/run/mysqld/mysqld.sock".into());
        assert_eq!(read(&[("host", b"/run/mysqld/mysqld.sock"), ("port", b"3307")]), socket);
        assert!(destination(&credential(&[("port", b"mysql")])).is_err());
    }

    #[test]
    fn a_login_needs_a_name_and_perhaps_no_password() {
        assert_eq!(check_credential(&credential(&[])), Err(BrokerFailed::FieldMissing("username").into()));
        assert_eq!(check_credential(&credential(&[("username", b"svc")])), Ok(()));
        let nul = credential(&[("username", b"svc"), ("password", b"a\0b")]);
        assert_eq!(check_credential(&nul), Err(BrokerFailed::FieldUnusable("password").into()));
        assert!(check_credential(&credential(&[("username", b"svc"), ("sslmode", b"prefer")])).is_err());
        let socket = [("username", &b"svc"[..]), ("host", b"/run/x.sock"), ("sslmode", b"prefer")];
        assert_eq!(check_credential(&credential(&socket)), Ok(()));
    }

    #[test]
    fn each_finding_names_its_field_and_a_remedy() {
        let words = |fields: &[(&str, &[u8])]| -> Vec<(alloc::string::String, bool)> {
            let found = findings(&credential(fields)).into_iter();
            found.map(|doubt| (doubt.words, doubt.is_fatal)).collect()
        };
        let found = |name, value| -> Vec<alloc::string::String> {
            let found = words(&[(name, value)]).into_iter();
            found.inspect(|(_, is_fatal)| assert!(is_fatal, "{name}")).map(|(words, _)| words).collect()
        };
        let none: Vec<&str> = Vec::new();
        assert_eq!(found("password", b"secret"), none);
        assert_eq!(found("host", b"/run/x.sock"), none);
        assert_eq!(found("port", b"x"), ["credential 'port': the port must be a number from 1 to 65535"]);
        assert_eq!(
            found("serverPublicKey", b"/etc/key.pem"),
            [
                "credential 'serverPublicKey' holds no PEM block of the kind 'PUBLIC KEY'; it must hold the content of \
                 the file, not its path"
            ]
        );
        assert_eq!(
            found("password", b"a\0"),
            ["credential 'password' holds a NUL byte, which MySQL cannot take; remove it"]
        );
        assert_eq!(found("password", &[b'x'; 16 * 1024 + 1]).len(), 1);
        assert_eq!(found("sslmode", b"prefer").len(), 1);
        let root = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        let ignored = words(&[("sslrootcert", root)]);
        assert!(matches!(&*ignored, [(words, false)] if words.contains("'sslrootcert' is not looked at")));
        assert_eq!(words(&[("sslrootcert", root), ("sslmode", b"verify-ca")]), []);
    }
}
