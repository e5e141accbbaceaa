//! `cargo load`: pgbench through the broker, through PgBouncer and through nothing, side by side in one run.
//!
//! Owns the order of the measurements: the rows take turns, round after round, so that whatever slows the machine
//! down for a while slows all of them. Knows neither how a server is started nor how a figure is taken.

mod json;
mod machine;
mod options;
mod pgbench;
mod pgbouncer;
mod report;
mod rows;
mod stage;
mod statistics;
mod usage;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tests::failure::{Doing, Failure, Result};
use tests::interrupt;
use tests::obtain::{Part, obtain};
use tests::say::say;

use crate::machine::Machine;
use crate::options::Options;
use crate::pgbench::Sample;
use crate::report::{Measured, Report};
use crate::rows::Row;
use crate::stage::Stage;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // What an interrupted program says of its children's ends is noise.
        Err(_) if interrupt::came() => {
            say("Interrupted; everything that was started has been stopped.");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(failure) => {
            say(failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    interrupt::watch(|| {})?;
    obtain(&[Part::Postgres])?;
    pgbouncer::obtain()?;
    let rows: Vec<&Row> = rows::ALL.iter().filter(|row| options.wants(row)).collect();
    if rows.is_empty() {
        return Err(Failure::new("no row has all the words of --only"));
    }
    let machine = Machine::look()?;
    machine.warn_if_busy();
    let stage = Stage::set(options)?;
    let mut measured: Vec<Measured<'_>> =
        rows.into_iter().map(|row| Measured { row, samples: Vec::new() }).collect();
    say(format!(
        "{} rows, {} rounds of {} s each: about {} s.",
        measured.len(),
        options.rounds(),
        options.seconds(),
        pgbench::duration(options).as_secs() * options.rounds() * measured.len() as u64
    ));
    for round in 1..=options.rounds() {
        for Measured { row, samples } in &mut measured {
            let sample = pgbench::measure(&stage, row, options)?;
            say(format!("round {round} of {}: {:<32} {}", options.rounds(), row.to_string(), brief(&sample)));
            samples.push(sample);
        }
    }
    let report = Report { machine: &machine, versions: stage.versions(), options, rows: &measured };
    if let Some(path) = options.json() {
        fs::write(path, json::text(&report)).doing(format_args!("write {}", path.display()))?;
    }
    io::stdout().write_all(report.to_string().as_bytes()).doing("print the report")
}

/// One measurement in a few words.
fn brief(sample: &Sample) -> String {
    let rate = format!("{:>7.0}/s", sample.rate);
    match sample.proxy {
        Some(proxy) => format!("{rate}, {:.2} µs of the proxy's CPU each", proxy.cpu_us),
        None => rate,
    }
}
