//! One running server with a data directory of its own, gone when it is dropped.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;

use super::installation::option;
use super::{Account, Client, Endpoint, Installation, Kind, Plugin};
use crate::certificates::{Authority, Identity};
use crate::failure::{Doing, Failure, Result};
use crate::process::{Process, User};
use crate::{places, ports, unprivileged};

/// Nothing here needs to survive a power failure, or to hold much. A value of 20 MiB must pass, and as many sessions
/// as tests want.
const SETTINGS: [&str; 13] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=200",
    "--max-allowed-packet=64M",
    "--local-infile=ON",
    "--secure-file-priv=",
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
    "--sync-binlog=0",
    "--skip-log-bin",
    "--back-log=200",
];

/// How a server differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its certificate; without, it offers no TLS.
    pub tls: Option<Identity>,
    /// Whether it has a performance schema, where connection attributes can be seen.
    pub performance_schema: bool,
    /// After how many broken handshakes it refuses a host.
    pub max_connect_errors: Option<u32>,
    /// More options of its command line.
    pub settings: Vec<String>,
}

impl Options {
    /// With TLS, by a certificate of [`Authority::shared`] for `localhost` and `db`.
    pub fn with_tls() -> Self {
        Self { tls: Some(Authority::shared().server(&["localhost", "db", "127.0.0.1"])), ..Self::default() }
    }
}

/// A running server.
pub struct Server {
    installation: Installation,
    options: Options,
    directory: PathBuf,
    /// Where it listens on loopback.
    pub port: u16,
    server: Mutex<Option<Process>>,
}

impl Server {
    /// Makes a data directory and starts a server on it.
    pub fn start(installation: &Installation, options: &Options) -> Result<Self> {
        let server = Self {
            installation: installation.clone(),
            options: options.clone(),
            directory: places::fresh("my")?,
            port: ports::free(),
            server: Mutex::new(None),
        };
        server.initialise()?;
        server.resume()?;
        if server.kind() == Kind::MariaDb {
            // These have no password, and the network is not a way in without one.
            server.sql("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost'; FLUSH PRIVILEGES;")?;
        }
        Ok(server)
    }

    /// Whose server it is.
    pub fn kind(&self) -> Kind {
        self.installation.kind
    }

    /// Its version: major and minor.
    pub fn version(&self) -> (u32, u32) {
        self.installation.version
    }

    /// The plugins that its accounts may have.
    pub fn plugins(&self) -> &'static [Plugin] {
        Plugin::of(self.kind(), self.version())
    }

    /// Whether connection attributes can be seen.
    pub fn has_performance_schema(&self) -> bool {
        self.options.performance_schema
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Its address on loopback.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its temporary files: at its start MariaDB removes those of any server that has the same directory.
    fn temporary(&self) -> PathBuf {
        self.directory.join("temporary")
    }

    fn initialise(&self) -> Result<()> {
        for directory in [self.data(), self.temporary()] {
            fs::create_dir(&directory).doing(format_args!("create {}", directory.display()))?;
        }
        let mut command = self.program();
        match self.kind() {
            Kind::MySql => {
                command.arg("--initialize-insecure");
            }
            Kind::MariaDb => {
                let tables = self.directory.join("tables.sql");
                fs::write(&tables, self.installation.system_tables()?).doing("write tables.sql")?;
                command = bootstrapped_by(&command, &tables);
            }
        }
        if let Some(Identity { certificate, key }) = &self.options.tls {
            for (name, content) in [
                ("server.crt", certificate),
                ("server.key", key),
                ("root.crt", &Authority::shared().certificate),
            ] {
                let path = self.directory.join(name);
                fs::write(&path, content).doing(format_args!("write {name}"))?;
                fs::set_permissions(&path, Permissions::from_mode(0o600))
                    .doing(format_args!("close {name}"))?;
            }
        }
        unprivileged::give(&self.directory, &user())?;
        let run = Process::start("the server's initialisation", &command, &user(), Signal::KILL)?;
        if run.wait()?.success() {
            return Ok(());
        }
        Err(Failure::new(format!("cannot make a data directory:\n{}", run.said())))
    }

    /// The command that runs it, or makes its data directory.
    fn program(&self) -> Command {
        let mut command = self.installation.server(&self.data());
        command.args(SETTINGS).arg(option("tmpdir", &self.temporary()));
        command.arg(match self.kind() {
            Kind::MariaDb => "--innodb-log-file-size=32M",
            Kind::MySql => "--innodb-redo-log-capacity=32M",
        });
        command
    }

    /// The command that runs it as a server.
    fn command(&self) -> Command {
        let mut command = self.program();
        command
            .arg(format!("--port={}", self.port))
            .arg(option("socket", &self.socket()))
            .arg(option("pid-file", &self.directory.join("pid")))
            .arg(format!("--performance-schema={}", u8::from(self.options.performance_schema)));
        match (self.kind(), self.options.tls.is_some()) {
            (_, true) => {
                for (name, file) in
                    [("ssl-cert", "server.crt"), ("ssl-key", "server.key"), ("ssl-ca", "root.crt")]
                {
                    command.arg(option(name, &self.directory.join(file)));
                }
            }
            (Kind::MariaDb, false) => {
                command.arg("--skip-ssl");
            }
            (Kind::MySql, false) => {
                command.args(["--tls-version=", "--auto-generate-certs=OFF"]);
            }
        }
        match self.kind() {
            Kind::MySql => {
                command.arg("--mysqlx=OFF");
            }
            Kind::MariaDb => {
                command.arg("--plugin-load-add=auth_ed25519");
                if self.plugins().contains(&Plugin::Parsec) {
                    command.arg("--plugin-load-add=auth_parsec");
                }
            }
        }
        if let Some(count) = self.options.max_connect_errors {
            command.arg(format!("--max-connect-errors={count}"));
        }
        command.args(&self.options.settings);
        command
    }

    /// Starts it again after [`Server::kill`], on the same port.
    pub fn resume(&self) -> Result<()> {
        // Asked politely it tidies up, and what it tidies is removed by the next run of tests: MySQL then never ends.
        let server = Process::start("the server", &self.command(), &user(), Signal::KILL)?;
        server.wait_for_words("that it is ready", |said| {
            // The line names the port; a start that only repairs has none.
            said.split("ready for connections").nth(1).is_some_and(|rest| rest.contains("port: "))
        })?;
        *self.server() = Some(server);
        Ok(())
    }

    /// Ends it at once, as a crash of its machine would: every connection is cut.
    pub fn kill(&self) -> Result<()> {
        match self.server().take() {
            Some(server) => server.stop().map(drop),
            None => Ok(()),
        }
    }

    /// Asks it to end, waits for that, and starts it again: what it keeps in memory is lost, such as the passwords
    /// that `caching_sha2_password` has seen.
    pub fn restart(&self) -> Result<()> {
        if let Some(server) = self.server().take() {
            server.signal(Signal::TERM);
            server.wait()?;
        }
        self.resume()
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        self.server().as_ref().map(Process::said).unwrap_or_default()
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs statements as its administrator, on its own socket; gives their rows, columns separated by tabs.
    pub fn sql(&self, statements: &str) -> Result<String> {
        Client::new(&Endpoint::administrator(self))?.query(statements)
    }

    /// A counter of its own, such as `Aborted_connects`.
    pub fn status(&self, name: &str) -> Result<u64> {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'"))?;
        let number = row.split('\t').nth(1).and_then(|number| number.parse().ok());
        number.ok_or_else(|| Failure::new(format!("the server has no counter {name}: {row:?}")))
    }

    /// A fresh account with a password that nothing else has, and a database of the same name.
    pub fn user(&self, plugin: Plugin) -> Result<Account> {
        Account::make(self, plugin)
    }

    /// How `account` gets to it over TCP, in clear.
    pub fn endpoint(&self, account: &Account) -> Endpoint {
        Endpoint::tcp(self.port, account)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What cannot be removed now goes with this run's directory.
        let _ = self.kill().map(|()| fs::remove_dir_all(&self.directory));
    }
}

/// `command`, filling a data directory with the tables of this file.
fn bootstrapped_by(command: &Command, tables: &Path) -> Command {
    // A server takes them from standard input alone, and a child of ours has none.
    let mut shell = Command::new("sh");
    shell.args(["-c", "tables=$1; shift; exec \"$@\" <\"$tables\"", "sh"]).arg(tables);
    shell.arg(command.get_program()).args(command.get_args());
    shell.args(["--bootstrap", "--log-warnings=0", "--enforce-storage-engine="]);
    shell.current_dir("/").env("LC_ALL", "C");
    shell
}

/// Who servers run as: both refuse root.
fn user() -> User {
    unprivileged::user("mysql")
}
