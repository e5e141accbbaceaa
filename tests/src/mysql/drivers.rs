//! The programs that drive drivers of several languages, and what each of them does.
//!
//! A program prints a line for each step that gave what it must; [`Driver::drive`] checks that it did all of them. It
//! learns where to go from its environment, so that it runs the same directly and through the broker.

use std::process::Command;

use super::{Encryption, Endpoint, Kind, Server};
use crate::broker::Listen;
use crate::failure::{Failure, Result};
use crate::psql::clean;
use crate::{obtain, process};

/// One driver of one language.
#[derive(Debug)]
pub struct Driver {
    /// Its name.
    pub name: &'static str,
    /// What its program does, in this order.
    pub steps: &'static [&'static str],
    /// The authentication plugins that it knows.
    pub plugins: &'static [&'static str],
    /// Whether it sends a password in clear of TLS, encrypted with the server's RSA key.
    pub speaks_rsa: bool,
    /// What it does only with servers of MariaDB.
    pub only_mariadb: &'static [&'static str],
    command: fn() -> Result<Command>,
}

/// All of them but the one in Rust, which a test has to call.
pub const ALL: &[Driver] = &[
    Driver {
        name: "PyMySQL",
        steps: &[
            "user",
            "database",
            "rows",
            "error",
            "transaction",
            "large",
            "infile",
            "kill",
            "attributes",
            "concurrent",
        ],
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password", "client_ed25519"],
        speaks_rsa: true,
        only_mariadb: &[],
        command: || python("mysql_pymysql.py", &[]),
    },
    Driver {
        name: "mysql-connector-python",
        steps: CONNECTOR_PYTHON,
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password"],
        speaks_rsa: false,
        only_mariadb: &[],
        command: || python("mysql_connector.py", &["pure"]),
    },
    Driver {
        name: "mysql-connector-python in C",
        steps: CONNECTOR_PYTHON,
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password"],
        speaks_rsa: false,
        only_mariadb: &[],
        command: || python("mysql_connector.py", &["c"]),
    },
    Driver {
        name: "aiomysql",
        steps: &[
            "user",
            "database",
            "rows",
            "error",
            "transaction",
            "large",
            "kill",
            "attributes",
            "concurrent",
        ],
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password"],
        speaks_rsa: true,
        only_mariadb: &[],
        command: || python("mysql_aiomysql.py", &[]),
    },
    Driver {
        name: "mysql2",
        steps: &[
            "user",
            "database",
            "prepared",
            "error",
            "transaction",
            "multi",
            "large",
            "infile",
            "change user",
            "reset",
            "kill",
            "attributes",
            "compression",
            "concurrent",
        ],
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password"],
        speaks_rsa: true,
        only_mariadb: &[],
        command: || {
            let mut command = Command::new("node");
            command.arg(obtain::drivers().join("node/mysql.js")).arg(obtain::node_packages()?);
            Ok(command)
        },
    },
    Driver {
        name: "go-sql-driver",
        steps: &[
            "user",
            "database",
            "prepared",
            "error",
            "transaction",
            "multi",
            "large",
            "infile",
            "pool",
            "kill",
            "attributes",
            "concurrent",
        ],
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password", "client_ed25519"],
        speaks_rsa: true,
        only_mariadb: &[],
        command: || {
            let mut command = Command::new(obtain::go_driver()?);
            command.arg("mysql");
            Ok(command)
        },
    },
    Driver {
        name: "MySQL Connector/J",
        steps: JDBC,
        plugins: &["mysql_native_password", "caching_sha2_password", "sha256_password"],
        speaks_rsa: true,
        only_mariadb: &[],
        command: || java("mysql"),
    },
    Driver {
        name: "MariaDB Connector/J",
        steps: JDBC_MARIADB,
        plugins: &["mysql_native_password", "caching_sha2_password", "client_ed25519", "parsec"],
        speaks_rsa: true,
        only_mariadb: &["reset"],
        command: || java("mariadb"),
    },
];

const CONNECTOR_PYTHON: &[&str] = &[
    "user",
    "database",
    "prepared",
    "error",
    "transaction",
    "multi",
    "large",
    "infile",
    "change user",
    "reset",
    "kill",
    "attributes",
    "compression",
    "concurrent",
];

const JDBC: &[&str] = &[
    "user",
    "database",
    "prepared",
    "error",
    "transaction",
    "multi",
    "large",
    "infile",
    "change user",
    "reset",
    "kill",
    "attributes",
    "compression",
    "concurrent",
];

/// MariaDB's has no way to change the user.
const JDBC_MARIADB: &[&str] = &[
    "user",
    "database",
    "prepared",
    "error",
    "transaction",
    "multi",
    "large",
    "infile",
    "reset",
    "kill",
    "attributes",
    "compression",
    "concurrent",
];

impl Driver {
    /// The steps that it cannot do on this server.
    pub fn cannot_do_on(&self, server: &Server) -> Vec<&'static str> {
        let mut steps = Vec::new();
        if !server.has_performance_schema() {
            steps.push("attributes");
        }
        if server.kind() == Kind::MySql {
            steps.extend(self.only_mariadb);
        }
        steps.retain(|step| self.steps.contains(step));
        steps
    }

    /// The command that runs its program against `endpoint`, leaving out the steps `without`.
    pub fn command(&self, endpoint: &Endpoint, without: &[&str]) -> Result<Command> {
        let mut command = (self.command)()?;
        clean(&mut command);
        match &endpoint.listen {
            Listen::Tcp(port) => command.env("DB_HOST", "127.0.0.1").env("DB_PORT", port.to_string()),
            Listen::Unix(path) => command.env("DB_SOCKET", path),
        };
        command
            .env("DB_USER", &endpoint.user)
            .env("DB_PASSWORD", endpoint.password.as_deref().unwrap_or_default())
            .env("DB_NAME", endpoint.database.as_deref().unwrap_or_default())
            .env("DB_TLS", if endpoint.encryption == Encryption::On { "on" } else { "off" })
            .env("DB_WITHOUT", without.join(","))
            .env("EXPECTED_USER", &endpoint.expected_user);
        Ok(command)
    }

    /// Runs its program against `endpoint`, and checks that it did every step but those `without`.
    pub fn drive(&self, endpoint: &Endpoint, without: &[&str]) -> Result<()> {
        let finished = process::run(&mut self.command(endpoint, without)?)?;
        let steps = self.steps.iter().filter(|step| !without.contains(step));
        let expected: String = steps.map(|step| format!("ok: {step}\n")).collect();
        if finished.status.success() && finished.stdout == expected {
            return Ok(());
        }
        Err(Failure::new(format!("{}: {finished}", self.name)))
    }
}

fn python(program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(obtain::python()?);
    command.arg(obtain::drivers().join("python").join(program)).args(arguments);
    Ok(command)
}

fn java(driver: &str) -> Result<Command> {
    let mut command = Command::new("java");
    command.arg("-cp").arg(obtain::java_classpath()?).arg("-Xmx512m").args(["Session", driver]);
    Ok(command)
}
