//! What is taken from the credential, and the startup packet made of it and of the client's.
//!
//! Owns which field means what. Knows nothing of what is said with it.

use alloc::vec::Vec;

use super::address;
use super::messages::version_word;
use super::startup::Startup;
use crate::fields::{has_nul, required};
use crate::limits::POSTGRES_STARTUP_MAX;
use crate::tls::{RequireWithRoot, TlsPolicy};
use crate::wire::Writer;
use crate::{BrokerFailed, Credential, Destination, Error, KnownField, OverLimit, Secret, TargetFailed};

/// What has a meaning here. Any other value is a startup parameter.
pub(super) const KNOWN: [KnownField; 11] = [
    KnownField { is_required: true, ..KnownField::new("username") },
    KnownField::new("password"),
    KnownField::new("host"),
    KnownField::new("port"),
    KnownField::new("database"),
    KnownField::new("sslmode"),
    KnownField::new("sslhost"),
    KnownField { is_public: true, ..KnownField::new("sslrootcert") },
    KnownField { is_public: true, ..KnownField::new("sslcert") },
    KnownField::new("sslkey"),
    KnownField::new("address"),
];

/// The hint for the field that everybody gets wrong once.
pub(super) const USER_HINT: &str = "PostgreSQL services take the user name from the field 'username'";

/// Refuses a credential with which no login can succeed.
pub(super) fn check_credential(credential: &Credential) -> Result<(), Error> {
    if credential.field("user").is_some() {
        // As a startup parameter it would replace the real user: a server takes the last.
        return Err(TargetFailed::Field { name: "user", reason: USER_HINT.into() }.into());
    }
    username(credential)?;
    if defaults(credential).any(|(name, value)| has_nul(name.as_bytes()) || value.expose(has_nul)) {
        return Err(BrokerFailed::ParameterUnusable.into());
    }
    if credential.field("database").is_some_and(|database| database.expose(has_nul)) {
        return Err(BrokerFailed::FieldUnusable("database").into());
    }
    if let Destination::Tcp { .. } = address::destination(credential)? {
        tls_policy(credential)?;
    }
    Ok(())
}

/// Whether and how the connection is to be encrypted.
pub(super) fn tls_policy(credential: &Credential) -> Result<Option<TlsPolicy>, Error> {
    let host = match address::destination(credential)? {
        Destination::Tcp { host, .. } => host,
        // A session that was opened with another credential, over TCP.
        Destination::Unix(_) => "localhost".into(),
    };
    TlsPolicy::from_credential(credential, &host, RequireWithRoot::ChecksChain)
}

/// Who logs in.
pub(super) fn username(credential: &Credential) -> Result<&Secret, Error> {
    required(credential, "username")
}

/// With what.
pub(super) fn password(credential: &Credential) -> Result<&Secret, Error> {
    required(credential, "password")
}

/// Appends the `StartupMessage` for the target: our user, then the client's parameters in their order, then
/// defaults for what the client did not set.
pub(super) fn write_startup(
    out: &mut Vec<u8>,
    minor: u16,
    startup: &Startup,
    credential: &Credential,
) -> Result<(), Error> {
    let username = username(credential)?;
    let start = out.len();
    Writer::new(out).packet(|body| {
        body.u32(version_word(minor));
        body.cstr(b"user");
        username.expose(|username| body.cstr(username));
        for (name, value) in startup.parameters().filter(|(name, _)| *name != b"user") {
            body.cstr(name);
            body.cstr(value);
        }
        write_database(body, startup, credential);
        for (name, value) in defaults(credential).filter(|(name, _)| !startup.sets(name.as_bytes())) {
            body.cstr(name.as_bytes());
            value.expose(|value| body.cstr(value));
        }
        body.u8(0);
    });
    // The server counts its cap without the length word.
    if out.len() - start > POSTGRES_STARTUP_MAX + 4 {
        out.truncate(start);
        return Err(OverLimit::StartupPacket.into());
    }
    Ok(())
}

/// Names the database where the client did not. A server would take the user's name, which is ours now: the
/// client meant the credential's default, or its own user.
fn write_database(body: &mut Writer<'_>, startup: &Startup, credential: &Credential) {
    if startup.value(b"database").is_some() {
        return;
    }
    // Behind the client's own, so that an empty one of the client's does not count.
    if let Some(database) = credential.field("database") {
        body.cstr(b"database");
        database.expose(|database| body.cstr(database));
    } else if let Some(user) = startup.value(b"user") {
        body.cstr(b"database");
        body.cstr(user);
    }
    // Else the injected user's name, by the server's own rule.
}

/// The fields that are defaults for startup parameters: all that mean nothing else.
pub(super) fn defaults(credential: &Credential) -> impl Iterator<Item = (&str, &Secret)> {
    credential.fields().filter(|(name, _)| {
        !matches!(*name, "host" | "port" | "address" | "username" | "password" | "user" | "database")
            && !name.starts_with("ssl")
    })
}
