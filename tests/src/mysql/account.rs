//! Accounts of a server: how each proves who it is.

use super::{Kind, Server};
use crate::failure::Result;
use crate::postgres::unguessable;
use std::sync::atomic::{AtomicU32, Ordering};

/// How an account proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// SHA-1 of a challenge: what every MariaDB has, and MySQL no longer.
    NativePassword,
    /// MySQL's default: quick once the server has seen the password, in full over TLS or RSA before that.
    CachingSha2Password,
    /// MySQL's older one: in full each time, over TLS or RSA.
    Sha256Password,
    /// Ed25519 signatures of MariaDB.
    Ed25519,
    /// Ed25519 with a key that is derived at some cost: MariaDB since 11.6.
    Parsec,
    /// No password at all.
    Nothing,
}

impl Plugin {
    /// Those that servers of `kind` and `version` have.
    pub fn of(kind: Kind, version: (u32, u32)) -> &'static [Self] {
        match kind {
            Kind::MySql => &[Self::CachingSha2Password, Self::Sha256Password, Self::Nothing],
            Kind::MariaDb if version >= (11, 6) => {
                &[Self::NativePassword, Self::Ed25519, Self::Parsec, Self::Nothing]
            }
            Kind::MariaDb => &[Self::NativePassword, Self::Ed25519, Self::Nothing],
        }
    }

    /// The one that a server of `kind` takes when none is named.
    pub fn usual(kind: Kind) -> Self {
        match kind {
            Kind::MariaDb => Self::NativePassword,
            Kind::MySql => Self::CachingSha2Password,
        }
    }

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::NativePassword | Self::Nothing => "mysql_native_password",
            Self::CachingSha2Password => "caching_sha2_password",
            Self::Sha256Password => "sha256_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
        }
    }

    /// What stands behind `IDENTIFIED` for this password.
    fn clause(self, kind: Kind, password: &str) -> String {
        match (self, kind) {
            (Self::Nothing, _) => String::new(),
            (_, Kind::MySql) => format!("IDENTIFIED WITH {} BY '{password}'", self.name()),
            (Self::Ed25519, _) => format!("IDENTIFIED VIA ed25519 USING PASSWORD('{password}')"),
            (_, _) => format!("IDENTIFIED VIA {} USING PASSWORD('{password}')", self.name()),
        }
    }
}

/// An account, and the database of the same name, in which it may do everything.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name, and its database's.
    pub name: String,
    /// Its password; empty if it has none.
    pub password: String,
    /// How it proves who it is.
    pub plugin: Plugin,
}

impl Account {
    /// What `CURRENT_USER()` says of it.
    pub fn current_user(&self) -> String {
        format!("{}@%", self.name)
    }

    pub(super) fn make(server: &Server, plugin: Plugin) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("user_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let password = if plugin == Plugin::Nothing { String::new() } else { unguessable() };
        let identified = plugin.clause(server.kind(), &password);
        server.sql(&format!(
            "CREATE USER {name}@'%' {identified};\n\
             CREATE DATABASE {name} CHARACTER SET utf8mb4;\n\
             GRANT ALL ON {name}.* TO {name}@'%';\n\
             GRANT SELECT ON performance_schema.* TO {name}@'%';"
        ))?;
        Ok(Self { name, password, plugin })
    }

    /// Gives it another password.
    pub fn change_password(&mut self, server: &Server) -> Result<()> {
        let password = unguessable();
        let identified = self.plugin.clause(server.kind(), &password);
        server.sql(&format!("ALTER USER {}@'%' {identified};", self.name))?;
        self.password = password;
        Ok(())
    }
}
