//! `cargo endure`: whether the broker stays small: many sessions, handshakes and services in one process, and what a
//! great many short connections leave behind.
//!
//! Owns the parts and their order. Knows neither how a crowd of clients works nor where a figure is read.

mod beside;
mod churn;
mod crowd;
mod finding;
mod handshakes;
mod idle;
mod lasting;
mod pace;
mod report;
mod services;
mod target;
mod tls;
mod watched;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use ::tests::certificates::Authority;
use ::tests::failure::{Doing, Failure, Result};
use ::tests::say::say;
use ::tests::{interrupt, places};
use clap::Args;

use crate::machine::Machine;
use crate::options::Options;
use crate::proxies::{Proxy, broker};

pub(crate) use churn::Churn;
pub(crate) use crowd::Crowd;
use finding::Finding;
use report::Report;
pub(crate) use target::Stub;

/// Measures what many sessions, services and connections cost one process, and prints a report in Markdown.
#[derive(Clone, Debug, Args)]
pub(crate) struct Endure {
    /// Little of everything: to see that it works
    #[arg(long)]
    quick: bool,
    /// How many sessions are held [default: 9500]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(10..=400_000))]
    sessions: Option<u32>,
    /// How many handshakes are held [default: 2000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(10..=400_000))]
    handshakes: Option<u32>,
    /// How many services listen, half of them on Unix sockets [default: 5000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(2..=15_000))]
    services: Option<u32>,
    /// How many short connections are made [default: 100000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(100..))]
    connections: Option<u64>,
    /// How often what is timed is timed [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// Measures only parts whose name contains these words; can be given again
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
    /// Names the parts, and measures nothing
    #[arg(long)]
    list: bool,
    /// Measures this build of the broker instead of the one in the repository
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
    /// Writes every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One of the things that are measured, for each driver.
struct Part {
    name: &'static str,
    measure: fn(&Ground, Driver) -> Result<Vec<Finding>>,
}

const PARTS: [Part; 5] = [
    Part { name: "idle sessions", measure: idle::measure },
    Part { name: "handshakes", measure: handshakes::measure },
    Part { name: "services", measure: services::measure },
    Part { name: "queries", measure: beside::measure },
    Part { name: "short connections", measure: lasting::measure },
];

/// A driver of the broker: the value of `--io`, or `None` for a build that has no choice.
type Driver = Option<&'static str>;

/// What every part stands on.
struct Ground {
    endure: Endure,
    options: Options,
    /// A copy of the broker's program.
    broker: PathBuf,
    directory: PathBuf,
    /// What the target's certificate has its trust from.
    authority: PathBuf,
}

/// The target's certificate and its key, in the ground's directory.
const IDENTITY: [&str; 2] = ["target.crt", "target.key"];

impl Endure {
    /// Measures, and prints the report.
    pub(crate) fn run(self) -> Result<()> {
        let parts: Vec<&Part> = PARTS.iter().filter(|part| self.wants(part.name)).collect();
        if self.list {
            let names: String = parts.iter().map(|part| format!("{}\n", part.name)).collect();
            return io::stdout().write_all(names.as_bytes()).doing("print the parts");
        }
        if parts.is_empty() {
            return Err(Failure::new("no part has the words of --only"));
        }
        interrupt::watch(|| {})?;
        let machine = Machine::look()?;
        machine.warn_if_busy();
        let ground = Ground::lay(self)?;
        let version = broker::URING.obtain(&ground.options)?;
        let mut findings = Vec::new();
        for part in parts {
            for driver in ground.drivers()? {
                say(format!("{}, {} …", part.name, name_of(driver)));
                for finding in (part.measure)(&ground, driver)? {
                    say(format!("  {finding}"));
                    findings.push((part.name, name_of(driver), finding));
                }
                interrupt::check()?;
            }
        }
        let report = Report { machine: &machine, version: &version, findings: &findings };
        if let Some(path) = &ground.endure.json {
            fs::write(path, report.json()).doing(format_args!("write {}", path.display()))?;
        }
        io::stdout().write_all(report.to_string().as_bytes()).doing("print the report")
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|words| name.contains(words.as_str()))
    }

    fn sessions(&self) -> u32 {
        self.sessions.unwrap_or(if self.quick { 1000 } else { 9500 })
    }

    fn handshakes(&self) -> u32 {
        self.handshakes.unwrap_or(if self.quick { 200 } else { 2000 })
    }

    fn services(&self) -> u32 {
        self.services.unwrap_or(if self.quick { 500 } else { 5000 })
    }

    fn connections(&self) -> u64 {
        self.connections.unwrap_or(if self.quick { 5000 } else { 100_000 })
    }

    fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }
}

impl Ground {
    fn lay(endure: Endure) -> Result<Self> {
        let options = Options::of_pgbench(endure.quick, endure.broker.clone());
        let directory = places::fresh("endure")?;
        // A copy: a build that is replaced in the middle of a run must not be measured beside its successor.
        let broker = directory.join("secretless-broker");
        fs::copy(options.broker()?, &broker).doing("copy the broker's program")?;
        let authority = Authority::new("the bench's authority");
        let identity = authority.server(&["localhost", "127.0.0.1"]);
        let root = directory.join("authority.crt");
        let [certificate, key] = IDENTITY.map(|name| directory.join(name));
        for (path, content) in
            [(&root, &authority.certificate), (&certificate, &identity.certificate), (&key, &identity.key)]
        {
            fs::write(path, content).doing(format_args!("write {}", path.display()))?;
        }
        Ok(Self { endure, options, broker, directory, authority: root })
    }

    fn drivers(&self) -> Result<Vec<Driver>> {
        let can_choose = broker::has_drivers(&self.broker)?;
        Ok(if can_choose { vec![Some("uring"), Some("epoll")] } else { vec![None] })
    }
}

fn name_of(driver: Driver) -> &'static str {
    match driver {
        Some("epoll") => "epoll",
        _ => "io_uring",
    }
}
