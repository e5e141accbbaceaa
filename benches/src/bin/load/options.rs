//! What can be chosen on the command line.

use std::path::{Path, PathBuf};
use std::thread;

use clap::{Parser, Subcommand};
use tests::broker;
use tests::failure::Result;

use crate::endure::{Churn, Crowd, Endure, Stub};
use crate::relays::Relay;
use crate::scenarios::Scenario;

/// Measures the broker, its peers and a direct connection side by side, and prints a report in Markdown.
#[derive(Debug, Default, Parser)]
#[command(name = "cargo load", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    /// Two short rounds: to see that it works, too noisy to quote
    #[arg(long)]
    quick: bool,
    /// How often each row is measured [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// How long pgbench and sysbench are measured each time [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// Measures only scenarios whose name contains these words, such as "MySQL"; can be given again
    #[arg(long, value_name = "WORDS")]
    scenario: Vec<String>,
    /// Measures only rows whose name contains these words; can be given again
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
    /// Names the scenarios, and measures nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// The cores that a proxy may use, as taskset spells them, or `all` [default: the last one]
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Measures this build of the broker instead of the one in the repository
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
    /// Writes every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws each scenario into this directory, as SVG
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) plots: Option<PathBuf>,
}

/// What this program can do beside, most of it only when it is started by itself.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Task {
    /// Is `cargo endure`: many sessions, services and connections in one process
    Endure(Endure),
    /// Is a reference relay
    #[command(hide = true)]
    Relay(Relay),
    /// Is a target for many sessions
    #[command(hide = true)]
    Target(Stub),
    /// Is many clients that say nothing
    #[command(hide = true)]
    Crowd(Crowd),
    /// Is many clients one after the other
    #[command(hide = true)]
    Churn(Churn),
}

impl Options {
    /// For pgbench alone, with this build of the broker.
    pub(crate) fn of_pgbench(quick: bool, broker: Option<PathBuf>) -> Self {
        Self { quick, broker, ..Self::default() }
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(if self.quick { 1 } else { 2 })
    }

    /// How many bytes are moved where bytes are measured.
    pub(crate) fn bulk_bytes(&self) -> u64 {
        if self.quick { 200_000_000 } else { 1_000_000_000 }
    }

    /// The cores that a proxy is held to; `None` for all. Each has one worker, and where the scheduler puts it
    /// decides what it pays for a wake-up: held to one core, all pay alike.
    pub(crate) fn cores(&self) -> Option<String> {
        match &self.cores {
            Some(cores) if cores == "all" => None,
            Some(cores) => Some(cores.clone()),
            None => thread::available_parallelism().ok().map(|cores| (cores.get() - 1).to_string()),
        }
    }

    /// The build of the broker that is measured.
    pub(crate) fn broker(&self) -> Result<&Path> {
        match &self.broker {
            Some(program) => Ok(program),
            None => broker::binary(),
        }
    }

    /// Whether this scenario is to be measured.
    pub(crate) fn wants(&self, scenario: &Scenario) -> bool {
        has_words(&scenario.to_string(), &self.scenario)
    }

    /// Whether a row of this name is to be measured.
    pub(crate) fn wants_row(&self, name: &str) -> bool {
        has_words(name, &self.only)
    }
}

/// Whether `name` contains one of `wanted`, if any is.
fn has_words(name: &str, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|words| name.contains(words.as_str()))
}
