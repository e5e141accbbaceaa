//! A broker of one worker, and what it has taken of memory and descriptors.
//!
//! Owns its start and the question whether it has come to rest. Knows nothing of who its clients are.

use std::process::Command;
use std::thread;
use std::time::Duration;

use ::tests::broker::{Broker, File, Listen, Service, Value};
use ::tests::failure::{Failure, Result};
use ::tests::{interrupt, wait};

use super::target::Target;
use super::{Driver, Ground};
use crate::usage::{FamilyCpu, resident_kib};

/// A running broker. Dropping it stops it.
pub(crate) struct Watched {
    broker: Broker,
}

/// A broker is at rest if it used less than a hundredth of a core for this long.
const REST: Duration = Duration::from_millis(500);
const REST_NS: u64 = 5_000_000;

/// The broker's own default for sessions, which is raised where more are held.
const SESSIONS_DEFAULT: u32 = 10_000;

impl Watched {
    /// Starts a broker with these services.
    pub(crate) fn start(ground: &Ground, driver: Driver, services: Vec<Service>) -> Result<Self> {
        let command = Command::new(&ground.broker);
        Self::start_by(command, ground, driver, services)
    }

    /// The same by a command of the caller's, which the arguments are added to.
    pub(crate) fn start_by(
        mut command: Command,
        ground: &Ground,
        driver: Driver,
        services: Vec<Service>,
    ) -> Result<Self> {
        let mut file = File::with(services)?;
        file.broker.push("workers: 1".to_owned());
        let sessions = ground.endure.sessions().max(2 * ground.endure.handshakes()).max(SESSIONS_DEFAULT);
        file.broker.push(format!("limits: {{sessions: {sessions}}}"));
        let config = file.write()?;
        tell(&mut command, &config, driver);
        let broker = Broker::launch_with(&mut command, file.admin(), config)?;
        broker.wait_until_ready()?;
        Ok(Self { broker })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.broker.process().pid()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> Result<f64> {
        resident_kib(self.pid()).map(|kib| kib as f64)
    }

    /// How many descriptors it has open, by its own count: nobody else may look. The count's own connection is in it.
    pub(crate) fn descriptors(&self) -> Result<f64> {
        self.broker.metric("process_open_fds", &[])
    }

    /// How many it may have.
    pub(crate) fn descriptors_max(&self) -> Result<f64> {
        self.broker.metric("process_max_fds", &[])
    }

    /// How many connections have ended.
    pub(crate) fn closed(&self) -> Result<f64> {
        self.broker.metric("secretless_sessions_closed_total", &[])
    }

    /// How many have failed.
    pub(crate) fn failed(&self) -> Result<f64> {
        self.broker.metric("secretless_sessions_failed_total", &[])
    }

    /// What it has used of a processor.
    pub(crate) fn cpu(&self) -> Result<FamilyCpu> {
        FamilyCpu::of(self.pid())
    }

    /// Waits until so many handshakes have succeeded and it has nothing to do.
    pub(crate) fn settle_established(&self, sessions: u32) -> Result<()> {
        self.settle_at("secretless_sessions_established_total", sessions)
    }

    /// Waits until it has exactly so many connections and nothing to do.
    pub(crate) fn settle(&self, connections: u32) -> Result<()> {
        self.settle_at("secretless_connections", connections)
    }

    fn settle_at(&self, metric: &str, expected: u32) -> Result<()> {
        let mut last = String::from("no answer");
        let settled = wait::within(wait::GENEROUS, || {
            if interrupt::came() {
                return Some(());
            }
            let now = self.broker.metric(metric, &[]).ok()?;
            last = format!("{metric} is {now}, {expected} expected");
            if now != f64::from(expected) {
                return None;
            }
            let before = self.cpu().ok()?;
            thread::sleep(REST);
            (self.cpu().ok()?.since(&before) < REST_NS).then_some(())
        });
        interrupt::check()?;
        settled.ok_or_else(|| {
            Failure::new(format!("the broker does not come to rest ({last}):\n{}", self.broker.said()))
        })
    }
}

/// The arguments of a broker.
pub(crate) fn tell(command: &mut Command, config: &std::path::Path, driver: Driver) {
    command.arg("-f").arg(config).current_dir("/");
    if let Some(driver) = driver {
        command.args(["--io", driver]);
    }
}

/// A service that leads to `target`, in clear or over TLS. Its handshakes may take as long as a part does.
pub(crate) fn service(ground: &Ground, name: &str, listen: Listen, target: &Target, tls: bool) -> Service {
    let service = Service::new("pg", name, listen)
        .literal("host", "127.0.0.1")
        .literal("port", &target.port.to_string())
        .literal("username", "svc")
        .literal("password", "pencil")
        .line("timeouts: {handshake: 1h}");
    if !tls {
        return service.literal("sslmode", "disable");
    }
    let authority = Value::From("file", ground.authority.display().to_string());
    service.literal("sslmode", "verify-full").credential("sslrootcert", authority)
}
