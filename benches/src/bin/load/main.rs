//! `cargo load`: the broker, its peers and a direct connection, side by side in one run.
//!
//! Owns the order of the measurements: the rows of a scenario take turns, round after round and every other round
//! backwards, so that whatever slows the machine down for a while slows all of them. Knows neither how a proxy is
//! started nor how a figure is taken.

mod columns;
mod endure;
mod json;
mod machine;
mod measure;
mod mysql;
mod options;
mod plots;
mod proxies;
mod relays;
mod report;
mod rows;
mod sample;
mod scenarios;
mod session;
mod stage;
mod statistics;
mod stub;
mod usage;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::failure::{Doing, Failure, Result};
use tests::interrupt;
use tests::obtain::{Part, obtain};
use tests::places;
use tests::say::say;

use crate::columns::Column;
use crate::machine::Machine;
use crate::options::{Options, Task};
use crate::proxies::{Proxy, Started};
use crate::report::Report;
use crate::rows::{Outcome, Row};
use crate::sample::Sample;
use crate::scenarios::{Scenario, Work};
use crate::stage::Stage;

fn main() -> ExitCode {
    let mut options = Options::parse();
    let task = options.task.take();
    // A helper's files are those of the program that has started it.
    let is_helper = task.as_ref().is_some_and(|task| !matches!(task, Task::Endure(_)));
    let done = match task {
        Some(Task::Endure(endure)) => endure.run(),
        Some(Task::Relay(relay)) => relay.run(),
        Some(Task::Target(target)) => target.run(),
        Some(Task::Crowd(crowd)) => crowd.run(),
        Some(Task::Churn(churn)) => churn.run(),
        None => run(&options),
    };
    if !is_helper {
        places::remove_run();
    }
    match done {
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
    let scenarios: Vec<Scenario> =
        scenarios::all().into_iter().filter(|scenario| options.wants(scenario)).collect();
    if options.list {
        let names: String = scenarios.iter().map(|scenario| format!("{scenario}\n")).collect();
        return io::stdout().write_all(names.as_bytes()).doing("print the scenarios");
    }
    if scenarios.is_empty() {
        return Err(Failure::new(
            "no scenario has such a name: `cargo load --list` prints those that there are",
        ));
    }
    interrupt::watch(|| {})?;
    let wants_mysql = scenarios.iter().any(|scenario| scenario.road.target.is_mysql());
    obtain(&[Part::Postgres])?;
    if wants_mysql {
        obtain(&[Part::MariaDb])?;
    }
    let mut field = Field::obtain(options, &scenarios)?;
    let mut outcomes: Vec<Outcome> = scenarios
        .into_iter()
        .map(|scenario| Outcome { rows: rows::of(&scenario, &field.proxies, options), scenario })
        .filter(|outcome| !outcome.rows.is_empty())
        .collect();
    let machine = Machine::look()?;
    machine.warn_if_busy();
    let stage = Stage::set(options, wants_mysql)?;
    field.versions.splice(0..0, stage.server_versions()?);
    let mut progress = Progress::of(&outcomes, options)?;
    for outcome in &mut outcomes {
        measure_all(&stage, outcome, options, &mut progress)?;
    }
    let report = Report {
        machine: &machine,
        versions: &field.versions,
        left_out: &field.left_out,
        options,
        outcomes: &outcomes,
    };
    if let Some(path) = &options.json {
        fs::write(path, json::text(&report)).doing(format_args!("write {}", path.display()))?;
    }
    if let Some(directory) = &options.plots {
        plots::write(directory, &outcomes)?;
    }
    io::stdout().write_all(report.to_string().as_bytes()).doing("print the report")
}

/// Who takes part.
#[derive(Default)]
struct Field {
    proxies: Vec<&'static dyn Proxy>,
    versions: Vec<String>,
    /// Who does not, and why.
    left_out: Vec<String>,
}

impl Field {
    fn obtain(options: &Options, scenarios: &[Scenario]) -> Result<Self> {
        let mut field = Self::default();
        let wanted = |proxy: &&&dyn Proxy| {
            let takes_part = |scenario: &Scenario| rows::takes_part(**proxy, scenario);
            options.wants_row(proxy.name()) && scenarios.iter().any(takes_part)
        };
        for &proxy in proxies::ALL.iter().filter(wanted) {
            match proxy.obtain(options) {
                Ok(version) => {
                    field.proxies.push(proxy);
                    field.versions.push(version);
                }
                Err(failure) if proxy.is_optional() => {
                    let reason = format!("{}: {}", proxy.name(), failure.to_string().trim());
                    say(format!("Left out: {reason}"));
                    field.left_out.push(reason);
                }
                Err(failure) => return Err(failure),
            }
        }
        // Some are in it twice.
        field.versions.dedup();
        Ok(field)
    }
}

/// Measures every row of a scenario, round after round.
fn measure_all(
    stage: &Stage,
    outcome: &mut Outcome,
    options: &Options,
    progress: &mut Progress,
) -> Result<()> {
    let Outcome { scenario, rows } = outcome;
    let standing: Vec<Result<Option<Started>>> = if scenario.wears_out() {
        Vec::new()
    } else {
        rows.iter().map(|row| stage.start(row.through, scenario)).collect()
    };
    for round in 0..options.rounds() {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            let row = &mut rows[number];
            let fresh;
            let started = match standing.get(number) {
                Some(started) => started,
                None => {
                    fresh = stage.start(row.through, scenario);
                    &fresh
                }
            };
            let measured = match started {
                Ok(started) => stage
                    .way(row.through, started.as_ref(), scenario)
                    .and_then(|way| measure::measure(stage, scenario, &way, options)),
                Err(failure) => Err(Failure::new(failure.to_string())),
            };
            interrupt::check()?;
            progress.say(scenario, row, &measured);
            row.samples.push(measured.ok());
        }
    }
    Ok(())
}

/// How far we are.
struct Progress {
    began: Instant,
    done: u64,
    all: u64,
}

impl Progress {
    fn of(outcomes: &[Outcome], options: &Options) -> Result<Self> {
        let all: u64 = outcomes.iter().map(|outcome| outcome.rows.len() as u64 * options.rounds()).sum();
        if all == 0 {
            return Err(Failure::new("nothing has all the words of --scenario and --only"));
        }
        let expected: Duration = outcomes
            .iter()
            .map(|outcome| {
                let rows = u32::try_from(outcome.rows.len()).unwrap_or(u32::MAX);
                let rounds = u32::try_from(options.rounds()).unwrap_or(u32::MAX);
                measure::duration(outcome.scenario.work, options) * rows * rounds
            })
            .sum();
        say(format!("{} scenarios, {all} measurements: about {} min.", outcomes.len(), minutes(expected)));
        Ok(Self { began: Instant::now(), done: 0, all })
    }

    /// Says what has just been measured. A measurement that failed is missing in the report; the others go on.
    fn say(&mut self, scenario: &Scenario, row: &Row, measured: &Result<Sample>) {
        self.done += 1;
        let left = self.began.elapsed().div_f64(self.done as f64).mul_f64((self.all - self.done) as f64);
        let words = match measured {
            Ok(sample) => brief(scenario.work, sample),
            Err(failure) => format!("failed: {failure}"),
        };
        let (done, all, left, name) = (self.done, self.all, minutes(left), row.through.name());
        say(format!("{done:>4} of {all}, {left:>2} min left: {scenario}: {name:<20} {words}"));
    }
}

/// Rounded up.
fn minutes(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(60)
}

/// One measurement in a few words: what the plots show.
fn brief(work: Work, sample: &Sample) -> String {
    let shown = columns::of(work).into_iter().filter(|column| column.is_plotted);
    let words = shown.filter_map(|Column { title, of, digits, .. }| {
        let figure = of(sample)?;
        Some(format!("{figure:.digits$} {title}"))
    });
    words.collect::<Vec<_>>().join(", ")
}
