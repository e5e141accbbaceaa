//! Everything that a scenario needs beside its proxies: the servers, the stubs, and the ways that lead there.
//!
//! Owns the processes. All are on loopback and Unix sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::tests::broker::Listen;
use ::tests::certificates::Authority;
use ::tests::failure::{Doing, Failure, Result};
use ::tests::interrupt;
use ::tests::mysql::{Encryption, Endpoint};
use ::tests::places;
use ::tests::postgres::{self, Cluster, Installation, Login};
use ::tests::process::{Process, User};
use ::tests::say::say;
use rustix::process::Signal;

use crate::mysql::MySql;
use crate::options::Options;
use crate::proxies::{Proxy, Started, Targets};
use crate::rows::Through;
use crate::scenarios::{Road, Scenario, Target, Work};
use crate::stub;

/// What is running. Fields drop in this order.
pub(crate) struct Stage {
    cluster: Cluster,
    mysql: Option<MySql>,
    installation: Installation,
    targets: Targets,
    directory: PathBuf,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Where.
    pub(crate) listen: Listen,
    /// The database that it asks for.
    pub(crate) database: String,
    /// Its name.
    pub(crate) user: String,
    /// Its password, where it logs in to the server itself.
    pub(crate) password: Option<String>,
    /// Whether it speaks TLS to the server itself.
    pub(crate) tls: bool,
    /// Where it opens sessions that say nothing.
    pub(crate) idle_listen: Listen,
    /// The database that it asks for there.
    pub(crate) idle_database: String,
    /// The process between, whose cost is measured with its children's.
    pub(crate) pid: Option<i32>,
}

/// A table for rows that are dropped.
pub(crate) const SINK: &str = "sink";

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
    /// Starts PostgreSQL and its stub, and what speaks MySQL if that is wanted.
    pub(crate) fn set(options: &Options, wants_mysql: bool) -> Result<Self> {
        let directory = places::fresh("load")?;
        let installation = Installation::of_distribution()?;
        // A copy: a build that is replaced in the middle of a run must not be measured beside its successor.
        let broker = directory.join("secretless-broker");
        fs::copy(options.broker()?, &broker).doing("copy the broker's program")?;
        interrupt::check()?;

        say("Starting PostgreSQL …");
        let authority = Authority::shared();
        let identity = authority.server(&["localhost", "127.0.0.1"]);
        let stub = stub::start(&identity)?;
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

        let certificate = directory.join("authority.crt");
        fs::write(&certificate, &authority.certificate).doing("write the root certificate")?;
        let mysql = wants_mysql.then(|| MySql::start(&directory)).transpose()?;
        let targets = Targets {
            server: Listen::Tcp(cluster.port),
            stub: Listen::Tcp(stub.port()),
            login,
            mysql: mysql.as_ref().map(MySql::targets),
            authority: certificate,
            broker,
            cores: options.cores(),
        };
        Ok(Self { cluster, mysql, installation, targets, directory })
    }

    /// What the servers say of their versions.
    pub(crate) fn server_versions(&self) -> Result<Vec<String>> {
        let version = self.cluster.sql("SHOW server_version")?;
        let postgres = format!("PostgreSQL {}", version.split(' ').next().unwrap_or_default());
        let mysql = self.mysql.as_ref().map(MySql::version).transpose()?;
        Ok([postgres].into_iter().chain(mysql).collect())
    }

    /// What proxies reach, and how they are run.
    pub(crate) fn targets(&self) -> &Targets {
        &self.targets
    }

    /// What speaks MySQL, if anything does.
    pub(crate) fn mysql(&self) -> Option<&MySql> {
        self.mysql.as_ref()
    }

    /// A program of the same installation as the server.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.installation.program(name)
    }

    /// A place for what pgbench writes.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts what stands between, if anything does, for `scenario`.
    pub(crate) fn start(&self, through: Through, scenario: &Scenario) -> Result<Option<Started>> {
        let Through::Proxy(proxy) = through else { return Ok(None) };
        proxy.start(&self.targets, &roads(proxy, scenario)).map(Some)
    }

    /// How clients connect in `scenario`, through `started` if there is something between.
    pub(crate) fn way(
        &self,
        through: Through,
        started: Option<&Started>,
        scenario: &Scenario,
    ) -> Result<Way> {
        let target = scenario.road.target;
        let login = self.targets.login(target);
        let (Through::Proxy(proxy), Some(started)) = (through, started) else {
            return Ok(Way {
                listen: self.targets.direct(target).clone(),
                database: login.name.clone(),
                user: login.name.clone(),
                password: Some(login.password.clone()),
                tls: target.is_tls(),
                idle_listen: self.targets.stub.clone(),
                idle_database: login.name.clone(),
                pid: None,
            });
        };
        let roads = roads(proxy, scenario);
        let door = |road: Option<&Road>| {
            let door = road.and_then(|road| started.door(*road));
            door.ok_or_else(|| Failure::new(format!("{} has no door for {scenario}", proxy.name())))
        };
        let (first, last) = (door(roads.first())?, door(roads.last())?);
        Ok(Way {
            listen: first.listen.clone(),
            database: first.database.clone(),
            user: login.name.clone(),
            password: (!proxy.logs_in()).then(|| login.password.clone()),
            tls: !proxy.asks_for_tls() && tunnels(scenario),
            idle_listen: last.listen.clone(),
            idle_database: last.database.clone(),
            pid: Some(first.pid),
        })
    }
}

/// The roads that a proxy needs for `scenario`: the first for those at work, the last for idle sessions.
fn roads(proxy: &dyn Proxy, scenario: &Scenario) -> Vec<Road> {
    let client = scenario.road.client;
    match scenario.work {
        Work::Query { idle: 1.., .. } => vec![scenario.road, Road { client, target: Target::Stub }],
        Work::Logins { .. } if !proxy.asks_for_tls() => vec![Road { client, target: Target::MySql }],
        _ if !proxy.asks_for_tls() && tunnels(scenario) => vec![Road { client, target: Target::Server }],
        _ => vec![scenario.road],
    }
}

/// Whether a client speaks TLS to the server itself, through a proxy that only sees bytes.
fn tunnels(scenario: &Scenario) -> bool {
    matches!(scenario.work, Work::Connect { .. } | Work::Logins { .. }) && scenario.road.target.is_tls()
}

impl Way {
    /// It, for programs that use a client library of MySQL.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            listen: self.listen.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            database: Some(self.database.clone()),
            encryption: if self.tls { Encryption::On } else { Encryption::Off },
            expected_user: String::new(),
        }
    }

    /// Puts it into the environment of a program that uses libpq.
    pub(crate) fn tell_libpq(&self, command: &mut Command) {
        let (host, port) = self.listen.host_and_port();
        command
            .env("PGHOST", host)
            .env("PGPORT", port)
            .env("PGDATABASE", &self.database)
            .env("PGUSER", &self.user)
            .env("PGSSLMODE", if self.tls { "require" } else { "disable" })
            .env("PGGSSENCMODE", "disable")
            .env_remove("PGPASSWORD");
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
    }
}

/// Makes pgbench's tables and ours.
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
    let statements = format!(
        "CREATE TABLE {SINK} (line text); GRANT ALL ON {SINK} TO PUBLIC; VACUUM ANALYZE; CHECKPOINT;"
    );
    // Each in a transaction of its own: VACUUM wants that.
    cluster.sql_in(&login.name, &statements.replace("; ", ";\n")).map(drop)
}
