//! What stands between clients and their servers: the list, and what each can do.
//!
//! A proxy is one file: how it is obtained, configured and started, and which roads it serves. Each runs one worker.
//! Nothing here measures.

pub(crate) mod broker;
mod envoy;
mod haproxy;
mod nginx;
mod pgbouncer;
mod reference;
mod router;

use std::any::Any;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::tests::broker::Listen;
use ::tests::failure::{Doing, Failure, Result};
use ::tests::postgres::Login;
use ::tests::process::{Process, User};
use ::tests::wait;
use rustix::process::Signal;

use crate::options::Options;
use crate::scenarios::{Leg, Road, Target, Work};

/// Every proxy, in the order of the rows.
pub(crate) static ALL: &[&dyn Proxy] = &[
    &broker::URING,
    &broker::EPOLL,
    &pgbouncer::POOLING,
    &pgbouncer::USED_ONCE,
    &haproxy::HaProxy,
    &nginx::Nginx,
    &envoy::Envoy,
    &router::Router,
    &reference::TOKIO,
    &reference::TOKIO_URING,
    &reference::MONOIO,
];

/// A program that carries connections.
pub(crate) trait Proxy: Sync {
    /// What the rows call it.
    fn name(&self) -> &'static str;

    /// What its figures are for.
    fn kind(&self) -> Kind;

    /// Whether it can carry this work on this road.
    fn serves(&self, road: Road, work: Work) -> bool;

    /// Whether it logs in to the server itself. If not, the client does, with the server's password.
    fn logs_in(&self) -> bool;

    /// Whether it asks the server for TLS as their protocol wants it. If not, the client does, where each query has a
    /// connection.
    fn asks_for_tls(&self) -> bool {
        self.logs_in()
    }

    /// Whether the others are measured if it cannot be obtained.
    fn is_optional(&self) -> bool {
        false
    }

    /// Gets it ready to be started, and says which version it is. The error says why it cannot take part.
    fn obtain(&self, options: &Options) -> Result<String>;

    /// Starts it with a door for each of `roads`.
    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started>;
}

/// What a proxy's figures are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours: what is to be as good as its goals.
    Broker,
    /// What others use: the goals are shares of the best of them.
    Peer,
    /// A relay written for this bench, to learn what a runtime costs. No goal looks at it.
    Reference,
}

/// What proxies are to reach.
pub(crate) struct Targets {
    /// PostgreSQL.
    pub(crate) server: Listen,
    /// The stub in clear; it also takes TLS, with PostgreSQL's request for it or without.
    pub(crate) stub: Listen,
    /// A role of PostgreSQL, and the name of its database.
    pub(crate) login: Login,
    /// What speaks MySQL, if anything is to be measured with it.
    pub(crate) mysql: Option<MySqlTargets>,
    /// Where the certificate lies that all have theirs from.
    pub(crate) authority: PathBuf,
    /// The build of the broker.
    pub(crate) broker: PathBuf,
    /// Which cores a proxy may use, as taskset spells it; `None` for all.
    pub(crate) cores: Option<String>,
}

/// What proxies are to reach that speaks MySQL.
pub(crate) struct MySqlTargets {
    /// MariaDB, which takes TLS, too.
    pub(crate) server: Listen,
    /// Its Unix socket.
    pub(crate) socket: Listen,
    /// The stub.
    pub(crate) stub: Listen,
    /// An account of MariaDB, and the name of its database.
    pub(crate) login: Login,
}

/// A running proxy. Dropping it stops it.
pub(crate) struct Started {
    /// Where its clients connect.
    pub(crate) doors: Vec<Door>,
    /// Dropping it stops what runs.
    running: Vec<Box<dyn Any>>,
}

/// Where clients connect for one road.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Which.
    pub(crate) road: Road,
    /// Where the proxy listens for it.
    pub(crate) listen: Listen,
    /// The database that a client asks for.
    pub(crate) database: String,
    /// The process whose cost is measured, with its children.
    pub(crate) pid: i32,
}

impl Targets {
    /// A command that runs `program` on the proxies' cores.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let Some(cores) = &self.cores else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", cores]).arg(program);
        command
    }

    /// The address behind a road.
    pub(crate) fn address(&self, target: Target) -> &Listen {
        match target {
            Target::Server | Target::ServerTls => &self.server,
            Target::Stub | Target::StubTls => &self.stub,
            Target::MySql | Target::MySqlTls => &self.mysql().server,
            Target::MySqlSocket => &self.mysql().socket,
            Target::MySqlStub => &self.mysql().stub,
        }
    }

    /// Where a client goes without a proxy: over TCP, as long as anybody listens there.
    pub(crate) fn direct(&self, target: Target) -> &Listen {
        if target == Target::MySqlSocket { self.address(Target::MySql) } else { self.address(target) }
    }

    /// The account behind a road, and the name of its database.
    pub(crate) fn login(&self, target: Target) -> &Login {
        if target.is_mysql() { &self.mysql().login } else { &self.login }
    }

    fn mysql(&self) -> &MySqlTargets {
        let Some(mysql) = &self.mysql else { unreachable!("a stage has what its scenarios want") };
        mysql
    }
}

impl Started {
    /// The door for `road`.
    pub(crate) fn door(&self, road: Road) -> Option<&Door> {
        self.doors.iter().find(|door| door.road == road)
    }

    /// Starts a proxy that is one process with a port or a socket for each road.
    fn one(targets: &Targets, name: &str, command: &Command, lanes: Vec<Lane>) -> Result<Self> {
        let process = Process::start(name, command, &User::Same, Signal::TERM)?;
        for lane in &lanes {
            wait_for_listener(name, &process, &lane.listen)?;
        }
        let pid = process.pid();
        let doors = lanes.into_iter().map(|Lane { road, listen, .. }| {
            let database = targets.login(road.target).name.clone();
            Door { road, listen, database, pid }
        });
        Ok(Self { doors: doors.collect(), running: vec![Box::new(process)] })
    }
}

/// A road as a proxy sees it that knows nothing of what it carries: from a listener to an address.
struct Lane {
    road: Road,
    /// A name for configurations.
    name: String,
    listen: Listen,
    to: Listen,
}

/// A lane for each road.
fn lanes(targets: &Targets, roads: &[Road]) -> Result<Vec<Lane>> {
    let lane = |(number, &road): (usize, &Road)| {
        let listen = listener(road)?;
        Ok(Lane { road, name: format!("lane{number}"), listen, to: targets.address(road.target).clone() })
    };
    roads.iter().enumerate().map(lane).collect()
}

/// A free place for a listener of this road.
fn listener(road: Road) -> Result<Listen> {
    match road.client {
        Leg::Tcp => Ok(Listen::tcp()),
        Leg::Unix => Listen::unix(),
    }
}

/// What a relay of bytes can carry: everything, but for the request for TLS that PostgreSQL wants to see first, and that
/// MySQL wants behind its greeting. Where each query has a connection, the client asks for TLS itself, through it.
fn serves_bytes(road: Road, work: Work) -> bool {
    let is_in_clear = !matches!(road.target, Target::ServerTls | Target::MySqlTls);
    is_in_clear || matches!(work, Work::Connect { .. } | Work::Logins { .. })
}

/// An address as configurations spell it: a host and a port, or the path of a socket behind `prefix`.
fn spelled(to: &Listen, prefix: &str) -> String {
    match to {
        Listen::Tcp(port) => format!("127.0.0.1:{port}"),
        Listen::Unix(path) => format!("{prefix}{}", path.display()),
    }
}

/// Waits until somebody listens. What is behind a proxy sees a connection that says nothing.
fn wait_for_listener(name: &str, process: &Process, listen: &Listen) -> Result<()> {
    let listens = wait::within(wait::GENEROUS, || {
        if process.ended().is_some() {
            return Some(false);
        }
        let there = match listen {
            Listen::Tcp(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
            Listen::Unix(path) => path.exists(),
        };
        there.then_some(true)
    });
    if listens == Some(true) {
        return Ok(());
    }
    Err(Failure::new(format!("{name} does not listen:\n{}", process.said())))
}

/// Writes a configuration that nobody else may read.
fn write_configuration(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let doing = format!("write {}", path.display());
    fs::write(path, text).doing(&doing)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).doing(&doing)
}

/// The path of a program that the distribution installs.
fn program(name: &str) -> Result<PathBuf> {
    ::tests::obtain::program(name).ok_or_else(|| Failure::new(format!("{name} is not installed")))
}

/// The first line of what a command says, on whichever stream.
fn first_words(command: &mut Command) -> Result<String> {
    let finished = ::tests::process::run(command)?;
    let said = [finished.stdout, finished.stderr].concat();
    Ok(said.lines().find(|line| !line.is_empty()).unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenarios;

    #[test]
    fn every_proxy_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = ALL.iter().map(|proxy| proxy.name()).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn every_scenario_has_the_broker_and_a_peer() {
        for scenario in scenarios::all() {
            for kind in [Kind::Broker, Kind::Peer] {
                let serves =
                    |proxy: &&dyn Proxy| proxy.kind() == kind && proxy.serves(scenario.road, scenario.work);
                assert!(ALL.iter().copied().any(|proxy| serves(&proxy)), "{scenario}: no {kind:?}");
            }
        }
    }
}
