//! PgBouncer: obtained from the distribution, run as one process in front of a cluster.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid};
use tests::failure::{Doing, Failure, Result};
use tests::postgres::{Cluster, Login};
use tests::process::{self, Process, User};
use tests::say::say;
use tests::{places, ports};

/// The database of PgBouncer that lies behind TCP on loopback.
pub(crate) const OVER_TCP: &str = "over_tcp";

/// The database of PgBouncer that lies behind the server's Unix socket.
pub(crate) const OVER_UNIX: &str = "over_unix";

/// A running PgBouncer. Dropping it stops it.
pub(crate) struct PgBouncer {
    process: Process,
    /// Where it listens on loopback, and the number in its Unix socket's name.
    pub(crate) port: u16,
    directory: PathBuf,
}

/// How an instance differs from the plain one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Variant<'a> {
    /// Plain.
    Plain,
    /// Speaks TLS to the server, whose authority has this certificate.
    Tls(&'a str),
    /// Uses a connection to the server for one client only.
    UsedOnce,
}

impl PgBouncer {
    /// Starts one in front of `cluster`. It lets everybody in and logs in to the server as `login`.
    pub(crate) fn start(cluster: &Cluster, login: &Login, variant: Variant<'_>) -> Result<Self> {
        let directory = places::fresh("pgbouncer")?;
        let port = ports::free();
        let account = format!("dbname={0} user={0} password='{1}'", login.name, login.password);
        let mut lines = vec![
            "[databases]".to_owned(),
            format!("{OVER_TCP} = host=127.0.0.1 port={} {account}", cluster.port),
            format!(
                "{OVER_UNIX} = host={} port={} {account}",
                cluster.socket_directory().display(),
                cluster.port
            ),
            "[pgbouncer]".to_owned(),
            "listen_addr = 127.0.0.1".to_owned(),
            format!("listen_port = {port}"),
            format!("unix_socket_dir = {}", directory.display()),
            "pool_mode = session".to_owned(),
            "auth_type = any".to_owned(),
            "max_client_conn = 1000".to_owned(),
            "default_pool_size = 200".to_owned(),
            // The broker does not log every connection either.
            "log_connections = 0".to_owned(),
            "log_disconnections = 0".to_owned(),
            "log_stats = 0".to_owned(),
        ];
        match variant {
            Variant::Plain => {}
            Variant::Tls(authority) => {
                let path = directory.join("authority.crt");
                fs::write(&path, authority).doing("write PgBouncer's root certificate")?;
                lines.push("server_tls_sslmode = verify-full".to_owned());
                lines.push(format!("server_tls_ca_file = {}", path.display()));
            }
            // "If this is set to 0, then the connection is to be used only once, then closed."
            Variant::UsedOnce => lines.push("server_lifetime = 0".to_owned()),
        }
        let config = directory.join("pgbouncer.ini");
        fs::write(&config, lines.join("\n") + "\n").doing("write PgBouncer's configuration")?;
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))
            .doing("close PgBouncer's configuration")?;
        let user = user();
        if let User::Named(name) = &user {
            process::run(Command::new("chown").arg("-R").arg(name).arg(&directory))?.succeeded()?;
        }
        let mut command = Command::new(program()?);
        command.arg(&config).current_dir("/");
        // SIGTERM: "immediate shutdown".
        let process = Process::start("PgBouncer", &command, &user, Signal::TERM)?;
        process.wait_for_words("that it is up", |said| said.contains("process up"))?;
        Ok(Self { process, port, directory })
    }

    /// The directory of its Unix socket.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

/// What it says of its version.
pub(crate) fn version() -> Result<String> {
    let words = process::run(Command::new(program()?).arg("--version"))?.succeeded()?;
    Ok(words.lines().next().unwrap_or("PgBouncer").to_owned())
}

/// Installs it if it is missing and we may, else says the command that does.
pub(crate) fn obtain() -> Result<()> {
    if program().is_ok() {
        return Ok(());
    }
    if !geteuid().is_root() || process::run(Command::new("apt-get").arg("--version")).is_err() {
        return program().map(drop);
    }
    say("Installing a package of the distribution: pgbouncer …");
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", "pgbouncer"]] {
        let mut apt_get = Command::new("apt-get");
        apt_get.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut apt_get)?.succeeded()?;
    }
    program().map(drop)
}

/// Where it is. Administrators' directories are not on every user's path.
fn program() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join("pgbouncer")).find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(
            "PgBouncer is missing. On Debian and Ubuntu this installs it:\n\n    \
             sudo apt-get update && sudo apt-get install --yes --no-install-recommends pgbouncer\n",
        )
    })
}

/// Who it runs as: it refuses root, and the distribution's package brings this user.
fn user() -> User {
    if geteuid().is_root() { User::Named("postgres".to_owned()) } else { User::Same }
}
