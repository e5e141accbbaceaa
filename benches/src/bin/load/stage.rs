//! Everything a row needs, started once: PostgreSQL, the broker, PgBouncer.
//!
//! Owns the processes and their directory. All are on loopback and Unix sockets; none is pinned to a core.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tests::broker::{self, Broker, File, Listen};
use tests::certificates::Authority;
use tests::failure::{Failure, Result};
use tests::interrupt;
use tests::places;
use tests::postgres::{self, Cluster, Installation, Login};
use tests::process::{Process, User};
use tests::say::say;

use crate::options::Options;
use crate::pgbouncer::{self, OVER_TCP, OVER_UNIX, PgBouncer, Variant};
use crate::rows::{Leg, Row, Through};

/// What is running. Fields drop in this order: what connects goes before what it connects to.
pub(crate) struct Stage {
    bouncer: PgBouncer,
    bouncer_tls: PgBouncer,
    bouncer_used_once: PgBouncer,
    broker: Broker,
    services: Services,
    cluster: Cluster,
    installation: Installation,
    login: Login,
    versions: String,
    directory: RunDirectory,
}

/// Where the broker listens, by what it does with a connection.
struct Services {
    tcp_to_tcp: Listen,
    tcp_to_tls: Listen,
    unix_to_unix: Listen,
    unix_to_tcp: Listen,
}

/// Where pgbench connects for a row.
#[derive(Debug)]
pub(crate) struct Way {
    /// `PGHOST`.
    pub(crate) host: String,
    /// `PGPORT`.
    pub(crate) port: String,
    /// `PGDATABASE`.
    pub(crate) database: String,
    /// `PGUSER`.
    pub(crate) user: String,
    /// `PGPASSWORD`, where the client logs in itself.
    pub(crate) password: Option<String>,
    /// `PGSSLMODE`.
    pub(crate) sslmode: &'static str,
    /// The process between, whose cost is measured.
    pub(crate) proxy: Option<i32>,
}

/// The server's authentication: SCRAM on every way in but the superuser's own socket.
const RULES: &str = "\
local all postgres              trust
local all all                   scram-sha-256
host  all all      127.0.0.1/32 scram-sha-256
";

/// How many times 100,000 rows pgbench's table has. The server's own work is not what is measured: it stays in
/// the processors' caches and in PostgreSQL's.
const SCALE: u32 = 1;

impl Stage {
    /// Starts everything.
    pub(crate) fn set(options: &Options) -> Result<Self> {
        let directory = RunDirectory::new()?;
        let installation = Installation::of_distribution()?;
        let command = broker_command(options)?;
        interrupt::check()?;

        say("Starting PostgreSQL, PgBouncer and the broker …");
        let authority = Authority::new("the load bench's authority");
        let identity = authority.server(&["localhost", "127.0.0.1"]);
        let cluster = Cluster::start(
            &installation,
            &postgres::Options {
                tls: Some((identity, authority.certificate.clone())),
                settings: [
                    "max_connections = 600",
                    "log_connections = off",
                    // It would wake up in the middle of somebody's round.
                    "autovacuum = off",
                    "checkpoint_timeout = '1h'",
                ]
                .map(str::to_owned)
                .to_vec(),
                rules: Some(RULES.to_owned()),
                password: None,
            },
        )?;
        let login = cluster.user(None)?;
        fill(&cluster, &installation, &login)?;
        interrupt::check()?;

        let (broker, services) = start_broker(command, &cluster, &login, &authority.certificate)?;
        let bouncer = PgBouncer::start(&cluster, &login, Variant::Plain)?;
        let bouncer_tls = PgBouncer::start(&cluster, &login, Variant::Tls(&authority.certificate))?;
        let bouncer_used_once = PgBouncer::start(&cluster, &login, Variant::UsedOnce)?;
        let versions = format!(
            "PostgreSQL {}, {}",
            cluster.sql("SHOW server_version")?.split(' ').next().unwrap_or_default(),
            pgbouncer::version()?
        );
        Ok(Self {
            bouncer,
            bouncer_tls,
            bouncer_used_once,
            broker,
            services,
            cluster,
            installation,
            login,
            versions,
            directory,
        })
    }

    /// The versions of what is compared.
    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    /// pgbench of the same installation as the server.
    pub(crate) fn pgbench(&self) -> PathBuf {
        self.installation.program("pgbench")
    }

    /// A place for what pgbench writes.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory.scratch
    }

    /// Where pgbench connects for `row`.
    pub(crate) fn way(&self, row: &Row) -> Result<Way> {
        match row.through {
            Through::Nothing => Ok(self.direct(row.server)),
            Through::Broker => {
                let services = &self.services;
                let listen = match (row.client, row.server) {
                    (Leg::Tcp, Leg::Tcp) => &services.tcp_to_tcp,
                    (Leg::Tcp, Leg::Tls) => &services.tcp_to_tls,
                    (Leg::Unix, Leg::Unix) => &services.unix_to_unix,
                    (Leg::Unix, Leg::Tcp) => &services.unix_to_tcp,
                    _ => {
                        return Err(Failure::new(format!("no service of the broker is for this row: {row}")));
                    }
                };
                let (host, port) = listen.host_and_port();
                Ok(self.through(host, port, self.login.name.clone(), self.broker.process().pid()))
            }
            Through::PgBouncer | Through::PgBouncerUsedOnce => {
                let bouncer = match (row.server, row.through) {
                    (Leg::Tls, _) => &self.bouncer_tls,
                    (_, Through::PgBouncerUsedOnce) => &self.bouncer_used_once,
                    _ => &self.bouncer,
                };
                let host = match row.client {
                    Leg::Unix => bouncer.socket_directory().display().to_string(),
                    Leg::Tcp | Leg::Tls => "127.0.0.1".to_owned(),
                };
                let database = if row.server == Leg::Unix { OVER_UNIX } else { OVER_TCP };
                Ok(self.through(host, bouncer.port.to_string(), database.to_owned(), bouncer.pid()))
            }
        }
    }

    fn direct(&self, server: Leg) -> Way {
        let host = match server {
            Leg::Unix => self.cluster.socket_directory().display().to_string(),
            Leg::Tcp | Leg::Tls => "127.0.0.1".to_owned(),
        };
        Way {
            host,
            port: self.cluster.port.to_string(),
            database: self.login.name.clone(),
            user: self.login.name.clone(),
            password: Some(self.login.password.clone()),
            sslmode: if server == Leg::Tls { "require" } else { "disable" },
            proxy: None,
        }
    }

    /// The client is let in without a password; the proxy knows the real one.
    fn through(&self, host: String, port: String, database: String, proxy: i32) -> Way {
        let user = self.login.name.clone();
        Way { host, port, database, user, password: None, sslmode: "disable", proxy: Some(proxy) }
    }
}

/// The program of the broker, built before anything is started: a build beside the servers takes minutes.
fn broker_command(options: &Options) -> Result<PathBuf> {
    if let Some(program) = options.broker() {
        return Ok(program.to_owned());
    }
    say("Building the broker …");
    broker::binary().map(Path::to_owned)
}

fn start_broker(
    program: PathBuf,
    cluster: &Cluster,
    login: &Login,
    authority: &str,
) -> Result<(Broker, Services)> {
    let services = Services {
        tcp_to_tcp: Listen::tcp(),
        tcp_to_tls: Listen::tcp(),
        unix_to_unix: Listen::unix()?,
        unix_to_tcp: Listen::unix()?,
    };
    let socket_directory = cluster.socket_directory().display().to_string();
    let mut file = File::with([
        broker::pg("tcp-to-tcp", cluster, login).listening_on(services.tcp_to_tcp.clone()),
        broker::pg("unix-to-tcp", cluster, login).listening_on(services.unix_to_tcp.clone()),
        broker::pg("unix-to-unix", cluster, login)
            .literal("host", &socket_directory)
            .listening_on(services.unix_to_unix.clone()),
        broker::pg("tcp-to-tls", cluster, login)
            .literal("sslmode", "verify-full")
            .literal("sslrootcert", authority)
            .listening_on(services.tcp_to_tls.clone()),
    ])?;
    file.broker.push("workers: 1".to_owned());
    let config = file.write()?;
    let mut command = Command::new(program);
    command.arg("-f").arg(&config).current_dir("/");
    let broker = Broker::launch_with(&mut command, file.admin(), config)?;
    broker.wait_until_ready()?;
    Ok((broker, services))
}

/// Makes pgbench's tables.
fn fill(cluster: &Cluster, installation: &Installation, login: &Login) -> Result<()> {
    let mut pgbench = Command::new(installation.program("pgbench"));
    pgbench
        .args(["--initialize", "--quiet", "--host"])
        .arg(cluster.socket_directory())
        .arg(format!("--port={}", cluster.port))
        .arg(format!("--scale={SCALE}"))
        .args(["--username", &login.name, &login.name])
        .env("PGPASSWORD", &login.password);
    let filling = Process::start("pgbench --initialize", &pgbench, &User::Same, Signal::TERM)?;
    if !filling.wait()?.success() {
        return Err(Failure::new(format!("pgbench cannot make its tables:\n{}", filling.said())));
    }
    cluster.sql_in(&login.name, "VACUUM ANALYZE; CHECKPOINT;").map(drop)
}

/// This run's directory for everything that is started, gone when it is dropped.
struct RunDirectory {
    scratch: PathBuf,
}

impl RunDirectory {
    fn new() -> Result<Self> {
        Ok(Self { scratch: places::fresh("pgbench")? })
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Some(run) = self.scratch.parent() {
            // What cannot be removed now is swept by the next run.
            let _ = fs::remove_dir_all(run);
        }
    }
}
