//! PgBouncer with session pooling: keeping its connections to the server, or using each once as the broker does.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use tests::broker::Listen;
use tests::failure::{Doing, Result};
use tests::obtain::{Part, obtain};
use tests::process::{self, Process, User};
use tests::{places, ports};

use super::{Door, Kind, Proxy, Started, Targets, first_words, program, write_configuration};
use crate::options::Options;
use crate::scenarios::{Leg, Road, Work};

/// PgBouncer as it is mostly run: a connection to the server is kept for the next client.
pub(super) const POOLING: PgBouncer = PgBouncer { name: "PgBouncer", once: false };

/// PgBouncer that logs in to the server for each client.
pub(super) const USED_ONCE: PgBouncer = PgBouncer { name: "PgBouncer, no reuse", once: true };

pub(super) struct PgBouncer {
    name: &'static str,
    once: bool,
}

impl Proxy for PgBouncer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serves(&self, road: Road, work: Work) -> bool {
        match work {
            // It speaks PostgreSQL alone.
            _ if road.target.is_mysql() => false,
            // It reads messages, so bytes of no protocol end the session.
            Work::Stream(_) => false,
            Work::Connect { .. } => true,
            // Open sessions are the same in both.
            _ => !self.once,
        }
    }

    fn logs_in(&self) -> bool {
        true
    }

    fn obtain(&self, _: &Options) -> Result<String> {
        obtain(&[Part::PgBouncer])?;
        first_words(Command::new(program("pgbouncer")?).arg("--version"))
    }

    /// TLS is a setting of the whole process, so there may be two.
    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let mut started = Started { doors: Vec::new(), running: Vec::new() };
        for tls in [false, true] {
            let roads: Vec<Road> = roads.iter().copied().filter(|road| road.target.is_tls() == tls).collect();
            if !roads.is_empty() {
                let (process, doors) = self.start_one(targets, &roads, tls)?;
                started.doors.extend(doors);
                started.running.push(Box::new(process));
            }
        }
        Ok(started)
    }
}

impl PgBouncer {
    fn start_one(&self, targets: &Targets, roads: &[Road], tls: bool) -> Result<(Process, Vec<Door>)> {
        let directory = places::fresh("pgbouncer")?;
        let port = ports::free();
        let account =
            format!("dbname={0} user={0} password='{1}'", targets.login.name, targets.login.password);
        let mut lines = vec!["[databases]".to_owned()];
        for is_server in [true, false] {
            if let Some(road) = roads.iter().find(|road| road.target.is_server() == is_server) {
                let (host, port) = targets.address(road.target).host_and_port();
                lines.push(format!("{} = host={host} port={port} {account}", database(*road)));
            }
        }
        lines.extend(
            [
                "[pgbouncer]",
                "listen_addr = 127.0.0.1",
                "pool_mode = session",
                "auth_type = any",
                "max_client_conn = 4000",
                "default_pool_size = 2500",
                // The broker does not log every connection either.
                "log_connections = 0",
                "log_disconnections = 0",
                "log_stats = 0",
            ]
            .map(str::to_owned),
        );
        lines.push(format!("listen_port = {port}"));
        lines.push(format!("unix_socket_dir = {}", directory.display()));
        if tls {
            // Its user may not look where the original lies.
            let copy = directory.join("authority.crt");
            std::fs::copy(&targets.authority, &copy).doing("copy the root certificate")?;
            lines.push("server_tls_sslmode = verify-full".to_owned());
            lines.push(format!("server_tls_ca_file = {}", copy.display()));
        }
        if self.once {
            // "If this is set to 0, then the connection is to be used only once, then closed."
            lines.push("server_lifetime = 0".to_owned());
        }
        let config = directory.join("pgbouncer.ini");
        write_configuration(&config, &(lines.join("\n") + "\n"))?;
        let user = user();
        if let User::Named(name) = &user {
            process::run(Command::new("chown").arg("-R").arg(name).arg(&directory))?.succeeded()?;
        }
        let mut command = targets.command(program("pgbouncer")?);
        command.arg(&config).current_dir("/");
        // SIGTERM: "immediate shutdown".
        let process = Process::start(self.name, &command, &user, Signal::TERM)?;
        process.wait_for_words("that it is up", |said| said.contains("process up"))?;
        let pid = process.pid();
        let socket: PathBuf = directory.join(format!(".s.PGSQL.{port}"));
        let door = |&road: &Road| {
            let listen = match road.client {
                Leg::Tcp => Listen::Tcp(port),
                Leg::Unix => Listen::Unix(socket.clone()),
            };
            Door { road, listen, database: database(road).to_owned(), pid }
        };
        Ok((process, roads.iter().map(door).collect()))
    }
}

/// Its name for what is behind a road.
fn database(road: Road) -> &'static str {
    if road.target.is_server() { "server" } else { "stub" }
}

/// Who it runs as: it refuses root, and the distribution's package brings this user.
fn user() -> User {
    if geteuid().is_root() { User::Named("postgres".to_owned()) } else { User::Same }
}
