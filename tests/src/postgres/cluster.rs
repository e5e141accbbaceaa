//! One running server with a data directory of its own, gone when it is dropped.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;

use super::{Installation, give_to_server, server_user};
use crate::certificates::Identity;
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Process};
use crate::{places, ports};

/// Who may log in how. The groups are roles that exist in every cluster: a test makes a user in one of them.
///
/// Without a socket there is no way in but a password: only `postgres` passes on the socket, which lies in a
/// directory of this run.
const RULES: &str = "\
local     all all                          trust
hostnossl all +only_with_tls 127.0.0.1/32  reject
host      all +nobody_may    127.0.0.1/32  reject
host      all +with_trust    127.0.0.1/32  trust
host      all +with_password 127.0.0.1/32  password
host      all +with_md5      127.0.0.1/32  md5
hostssl   all +with_cert     127.0.0.1/32  cert
host      all all            127.0.0.1/32  scram-sha-256
host      replication all    127.0.0.1/32  scram-sha-256
";

/// The groups of [`RULES`].
const GROUPS: [&str; 6] =
    ["only_with_tls", "nobody_may", "with_trust", "with_password", "with_md5", "with_cert"];

/// How a cluster differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its certificate and the root of the clients' certificates; without, it offers no TLS.
    pub tls: Option<(Identity, String)>,
    /// More lines of `postgresql.conf`.
    pub settings: Vec<String>,
    /// The whole of `pg_hba.conf`, in place of the rules that the tests share.
    pub rules: Option<String>,
    /// The password of the superuser `postgres`, from the first moment on.
    pub password: Option<String>,
}

/// A running server.
pub struct Cluster {
    installation: Installation,
    directory: PathBuf,
    /// Where it listens on loopback.
    pub port: u16,
    password: Option<String>,
    server: Mutex<Option<Process>>,
}

impl Cluster {
    /// Makes a cluster and starts it.
    pub fn start(installation: &Installation, options: &Options) -> Result<Self> {
        let directory = places::fresh("pg")?;
        let cluster = Self {
            installation: installation.clone(),
            directory,
            port: ports::free(),
            password: options.password.clone(),
            server: Mutex::new(None),
        };
        cluster.initialise(options)?;
        cluster.configure(options)?;
        cluster.resume()?;
        if options.rules.is_none() {
            let groups: Vec<String> = GROUPS.iter().map(|group| format!("CREATE ROLE {group};")).collect();
            cluster.sql(&groups.concat())?;
        }
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of its Unix socket: a `host` that libpq understands.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// Its address on loopback.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Which major version it is.
    pub fn major(&self) -> u32 {
        self.installation.major
    }

    fn initialise(&self, options: &Options) -> Result<()> {
        give_to_server(&self.directory)?;
        let mut initdb = Command::new(self.installation.program("initdb"));
        initdb
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["--auth=scram-sha-256"])
            .arg("--pgdata")
            .arg(self.data())
            .current_dir("/");
        // initdb wants some password for this rule; without one in the options nobody will ever know it.
        let password = options.password.clone().unwrap_or_else(unguessable);
        let file = self.directory.join("password");
        fs::write(&file, password).doing("write the superuser's password")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).doing("close the password's file")?;
        give_to_server(&file)?;
        initdb.arg("--pwfile").arg(&file);
        let run = Process::start("initdb", &initdb, &server_user(), Signal::KILL)?;
        let status = run.wait()?;
        fs::remove_file(&file).doing("remove the superuser's password")?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("initdb failed:\n{}", run.said()))) }
    }

    fn configure(&self, options: &Options) -> Result<()> {
        let mut settings = vec![
            format!("port = {}", self.port),
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("unix_socket_directories = '{}'", self.directory.display()),
            // Nothing here needs to survive a power failure.
            "fsync = off".to_owned(),
            "full_page_writes = off".to_owned(),
            "wal_level = logical".to_owned(),
            "max_wal_senders = 4".to_owned(),
            "max_connections = 200".to_owned(),
            "log_connections = on".to_owned(),
            "log_line_prefix = '%p %u@%d '".to_owned(),
        ];
        if let Some((identity, client_root)) = &options.tls {
            for (name, content) in [
                ("server.crt", &identity.certificate),
                ("server.key", &identity.key),
                ("root.crt", client_root),
            ] {
                let path = self.data().join(name);
                fs::write(&path, content).doing(format_args!("write {name}"))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                    .doing(format_args!("close {name}"))?;
            }
            settings.push("ssl = on".to_owned());
            settings.push("ssl_ca_file = 'root.crt'".to_owned());
        }
        settings.extend(options.settings.iter().cloned());
        let file = self.data().join("postgresql.auto.conf");
        fs::write(&file, settings.join("\n") + "\n").doing("write postgresql.auto.conf")?;
        fs::write(self.data().join("pg_hba.conf"), options.rules.as_deref().unwrap_or(RULES))
            .doing("write pg_hba.conf")?;
        give_to_server(&self.data())
    }

    /// Starts the server again after [`Cluster::kill`], on the same port.
    pub fn resume(&self) -> Result<()> {
        let mut postgres = Command::new(self.installation.program("postgres"));
        postgres.arg("-D").arg(self.data()).current_dir("/").env("LC_ALL", "C");
        // Asked to end by SIGQUIT it drops every connection at once.
        let server = Process::start("postgres", &postgres, &server_user(), Signal::QUIT)?;
        server.wait_for_words("that it is ready", |said| {
            said.contains("database system is ready to accept connections")
        })?;
        *self.server() = Some(server);
        Ok(())
    }

    /// Ends the server at once, as a crash of its machine would: every connection is cut.
    pub fn kill(&self) -> Result<()> {
        match self.server().take() {
            Some(server) => server.stop().map(drop),
            None => Ok(()),
        }
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        self.server().as_ref().map(Process::said).unwrap_or_default()
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs statements as the superuser, on the server's own socket; gives their rows, unaligned.
    pub fn sql(&self, statements: &str) -> Result<String> {
        self.sql_in("postgres", statements)
    }

    /// The same in another database.
    pub fn sql_in(&self, database: &str, statements: &str) -> Result<String> {
        let mut psql = Command::new(Installation::of_distribution()?.program("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"])
            .args(["--username=postgres", "--dbname", database])
            .arg("--host")
            .arg(&self.directory)
            .arg(format!("--port={}", self.port))
            .env("PGCONNECT_TIMEOUT", "60")
            .envs(self.password.iter().map(|password| ("PGPASSWORD", password)));
        let output = process::run_with_input(&mut psql, statements.as_bytes())?.succeeded()?;
        Ok(output.trim_end().to_owned())
    }

    /// A fresh login role with a password that nothing else has, in `group` of the cluster's rules if one is
    /// named, and a database of the same name that it owns.
    pub fn user(&self, group: Option<&str>) -> Result<Login> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("user_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let password = unguessable();
        let encryption = if group == Some("with_md5") { "md5" } else { "scram-sha-256" };
        let group = group.map_or_else(String::new, |group| format!("IN ROLE {group}"));
        self.sql(&format!(
            "SET password_encryption = '{encryption}';\n\
             CREATE ROLE {name} LOGIN PASSWORD '{password}' {group};\n\
             CREATE DATABASE {name} OWNER {name};"
        ))?;
        Ok(Login { name, password })
    }
}

/// A role of a cluster, and the database of the same name.
#[derive(Clone, Debug)]
pub struct Login {
    /// Its name, and its database's.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// A password that occurs nowhere by accident.
pub fn unguessable() -> String {
    let mut bytes = [0u8; 12];
    let filled =
        fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    assert!(filled.is_ok(), "/dev/urandom gives random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "-Pw"
}
