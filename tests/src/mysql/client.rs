//! The command-line clients, which read nobody's settings.

use std::path::Path;
use std::process::Command;

use super::{Encryption, Endpoint, Which};
use crate::broker::Listen;
use crate::failure::{Failure, Result};
use crate::obtain::{self, Unpacked};
use crate::process::{self, Finished};
use crate::psql::clean;

/// One of the programs that come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `mariadb` or `mysql`: runs statements.
    Shell,
    /// `mariadb-dump` or `mysqldump`.
    Dump,
    /// `mariadb-admin` or `mysqladmin`.
    Admin,
    /// `mariadb-slap` or `mysqlslap`: a load.
    Slap,
}

/// The clients of one version, going to one endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    which: Which,
    unpacked: Option<Unpacked>,
    endpoint: Endpoint,
    options: Vec<String>,
}

impl Client {
    /// The distribution's.
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        obtain::check_mariadb()?;
        Ok(Self::at(Which::Distribution, None, endpoint))
    }

    /// The newer MariaDB's, which want encryption unless they are told otherwise.
    pub fn newer(endpoint: &Endpoint) -> Result<Self> {
        Ok(Self::at(Which::Newer, Some(obtain::newer_mariadb()?), endpoint))
    }

    /// MySQL's, if they could be obtained; if not, that is noted.
    pub fn mysql(endpoint: &Endpoint) -> Option<Self> {
        let Some(unpacked) = obtain::mysql() else {
            super::not_run("MySQL");
            return None;
        };
        Some(Self::at(Which::MySql, Some(unpacked), endpoint))
    }

    fn at(which: Which, unpacked: Option<Unpacked>, endpoint: &Endpoint) -> Self {
        Self { which, unpacked, endpoint: endpoint.clone(), options: Vec::new() }
    }

    /// The same with more options.
    #[must_use]
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// The command that runs `tool`, which knows how to connect and nothing else.
    pub fn command(&self, tool: Tool) -> Command {
        let name = match (self.which, tool) {
            (Which::MySql, Tool::Shell) => "usr/bin/mysql",
            (Which::MySql, Tool::Dump) => "usr/bin/mysqldump",
            (Which::MySql, Tool::Admin) => "usr/bin/mysqladmin",
            (Which::MySql, Tool::Slap) => "usr/bin/mysqlslap",
            (_, Tool::Shell) => "usr/bin/mariadb",
            (_, Tool::Dump) => "usr/bin/mariadb-dump",
            (_, Tool::Admin) => "usr/bin/mariadb-admin",
            (_, Tool::Slap) => "usr/bin/mariadb-slap",
        };
        let mut command = match &self.unpacked {
            Some(unpacked) => unpacked.command(name),
            None => Command::new(Path::new("/").join(name)),
        };
        clean(&mut command).arg("--no-defaults");
        if let Some(unpacked) = &self.unpacked {
            // What a server asks for may be a file of its own here, and they know only their own paths.
            let plugins = match self.which {
                Which::MySql => unpacked.root.join("usr/lib/mysql/plugin"),
                _ => unpacked.libraries().join("libmariadb3/plugin"),
            };
            command.arg(super::installation::option("plugin-dir", &plugins));
        }
        self.connect(&mut command);
        if tool == Tool::Shell {
            command.args(["--batch", "--skip-column-names"]);
            command.args(self.endpoint.database.iter().map(|name| format!("--database={name}")));
        }
        command.args(&self.options);
        command
    }

    fn connect(&self, command: &mut Command) {
        match &self.endpoint.listen {
            Listen::Tcp(port) => {
                command.args(["--protocol=TCP", "--host=127.0.0.1"]).arg(format!("--port={port}"))
            }
            Listen::Unix(path) => {
                command.arg("--protocol=SOCKET").arg(super::installation::option("socket", path))
            }
        };
        command.arg(format!("--user={}", self.endpoint.user));
        // Not in the environment: newer clients of MariaDB would take that for no password, and ask for less.
        command.args(self.endpoint.password.iter().map(|password| format!("--password={password}")));
        let encryption: &[&str] = match (self.endpoint.encryption, self.which) {
            (Encryption::Unsaid, _) => &[],
            (Encryption::Off, Which::MySql) => &["--ssl-mode=DISABLED"],
            (Encryption::On, Which::MySql) => &["--ssl-mode=REQUIRED"],
            (Encryption::Off, _) => &["--skip-ssl"],
            (Encryption::On, Which::Newer) => &["--ssl", "--skip-ssl-verify-server-cert"],
            (Encryption::On, Which::Distribution) => &["--ssl"],
        };
        command.args(encryption);
    }

    /// Runs statements.
    pub fn run(&self, statements: &str) -> Result<Finished> {
        process::run_with_input(&mut self.command(Tool::Shell), statements.as_bytes())
    }

    /// Runs statements that must succeed; gives their rows, columns separated by tabs.
    pub fn query(&self, statements: &str) -> Result<String> {
        Ok(self.run(statements)?.succeeded()?.trim_end().to_owned())
    }

    /// Runs another tool, which must succeed, with these arguments.
    pub fn tool(&self, tool: Tool, arguments: &[&str]) -> Result<String> {
        process::run(self.command(tool).args(arguments))?.succeeded()
    }

    /// Connects, which must fail; gives what the client says about it.
    pub fn refusal(&self) -> Result<String> {
        let finished = self.run("SELECT 'connected'")?;
        if finished.status.success() {
            return Err(Failure::new(format!("the client connected: {finished}")));
        }
        Ok(finished.stderr)
    }
}

/// sysbench, which makes a load, at this endpoint. It asks for no encryption: MySQL must have seen the password before.
pub fn sysbench(endpoint: &Endpoint) -> Command {
    let mut command = Command::new("sysbench");
    clean(&mut command).args(["--db-driver=mysql"]);
    match &endpoint.listen {
        Listen::Tcp(port) => {
            command.arg("--mysql-host=127.0.0.1").arg(format!("--mysql-port={port}"));
        }
        Listen::Unix(path) => {
            command.arg(super::installation::option("mysql-socket", path));
        }
    }
    command
        .arg(format!("--mysql-user={}", endpoint.user))
        .arg(format!("--mysql-password={}", endpoint.password.as_deref().unwrap_or_default()))
        .arg(format!("--mysql-db={}", endpoint.database.as_deref().unwrap_or_default()));
    command
}
