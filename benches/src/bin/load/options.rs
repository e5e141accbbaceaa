//! What can be chosen on the command line.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::rows::Row;

/// Measures pgbench through the broker, PgBouncer and nothing, side by side, and prints a table.
#[derive(Debug, Parser)]
#[command(name = "cargo load")]
pub(crate) struct Options {
    /// Two rounds of two seconds: to see that it works, too noisy to quote
    #[arg(long)]
    quick: bool,
    /// How often each row is measured [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: Option<u64>,
    /// How long each measurement lasts [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// How many clients pgbench runs, all on one thread
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) clients: u16,
    /// How pgbench sends its query
    #[arg(long, value_enum, default_value_t = Protocol::Prepared)]
    pub(crate) protocol: Protocol,
    /// Measures only rows whose name contains these words; can be given again
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
    /// Measures this build of the broker instead of the one in the repository
    #[arg(long, value_name = "FILE")]
    broker: Option<PathBuf>,
    /// Writes every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// pgbench's `--protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Prepared once in each session.
    Prepared,
    /// One message, planned each time.
    Simple,
    /// Parsed and planned each time.
    Extended,
}

impl Options {
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    pub(crate) fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }

    /// Another build of the broker.
    pub(crate) fn broker(&self) -> Option<&Path> {
        self.broker.as_deref()
    }

    /// Whether this row is to be measured.
    pub(crate) fn wants(&self, row: &Row) -> bool {
        let name = row.to_string();
        self.only.is_empty() || self.only.iter().any(|words| name.contains(words.as_str()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Simple => "simple",
            Self::Extended => "extended",
        })
    }
}
