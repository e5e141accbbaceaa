//! Transactions and connections of pgbench.
//!
//! Every figure is of the same stretch of time, which begins a second after the last client has connected: what it
//! costs to open sessions is not part of what a query costs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::tests::failure::{Doing, Failure, Result};
use ::tests::interrupt;
use ::tests::process::{Process, User};
use rustix::process::Signal;

use super::Mark;
use crate::options::Options;
use crate::sample::{Latency, Sample};
use crate::scenarios::{Protocol, Scenario, Work};
use crate::stage::{Stage, Way};
use crate::statistics::percentile;

/// The second before the stretch that counts, in which sessions open and caches warm up, and the one behind it:
/// whether pgbench still reports its last second is not certain.
const MARGINS_S: u64 = 2;

/// pgbench writes down every tenth transaction: enough for percentiles, too little to slow it down.
const SAMPLING_RATE: &str = "--sampling-rate=0.1";

const LOG_PREFIX: &str = "transactions";

/// How long one measurement takes.
pub(super) fn duration(options: &Options) -> Duration {
    Duration::from_secs(options.seconds() + MARGINS_S)
}

/// Measures `way` once.
pub(super) fn measure(stage: &Stage, scenario: &Scenario, way: &Way, options: &Options) -> Result<Sample> {
    let command = command(stage, scenario.work, way, options);
    let pgbench = Process::start("pgbench", &command, &User::Same, Signal::TERM)?;
    // Both ends are looked at when pgbench has just reported, by our own clock: if we come late, we come late for
    // CPU and clock alike.
    let seconds = usize::try_from(options.seconds()).unwrap_or(usize::MAX);
    let begin = mark_after(&pgbench, 1, way)?;
    let end = mark_after(&pgbench, 1 + seconds, way)?;
    let stretch = begin.until(&end, way)?;
    let status = pgbench.wait()?;
    let said = pgbench.said();
    if !status.success() {
        return Err(Failure::new(format!("pgbench failed ({status}):\n{said}")));
    }
    let reports: Vec<Second> = said.lines().filter_map(Second::read).skip(1).take(seconds).collect();
    if reports.len() != seconds || reports.iter().any(|second| second.rate <= 0.0 || second.failed > 0) {
        return Err(Failure::new(format!("pgbench did not do its work:\n{said}")));
    }
    let total: f64 = reports.iter().map(|second| second.rate).sum();
    let rate = total / reports.len() as f64;
    let mut sample = stretch.sample(rate);
    if matches!(scenario.work, Work::Query { .. }) {
        let took = transactions(stage.directory(), begin.time, end.time)?;
        let percentile = |percent| percentile(&took, percent).map(|us| us as f64 / 1000.0);
        let (Some(p50_ms), Some(p95_ms), Some(p99_ms)) = (percentile(50), percentile(95), percentile(99))
        else {
            return Err(Failure::new("pgbench logged no transaction"));
        };
        let weighted: f64 = reports.iter().map(|second| second.latency_ms * second.rate).sum();
        sample.latency = Some(Latency { mean_ms: weighted / total, p50_ms, p95_ms, p99_ms });
    }
    Ok(sample)
}

fn command(stage: &Stage, work: Work, way: &Way, options: &Options) -> Command {
    let (protocol, clients, threads) = match work {
        Work::Query { protocol, clients, .. } => (protocol, clients, 1),
        Work::Connect { threads } => (Protocol::Simple, threads, threads),
        _ => unreachable!("pgbench does no such work"),
    };
    let mut pgbench = Command::new(stage.program("pgbench"));
    way.tell_libpq(&mut pgbench);
    pgbench
        .args(["--no-vacuum", "--select-only", "--progress=1"])
        .arg(format!("--protocol={protocol}"))
        .arg(format!("--client={clients}"))
        .arg(format!("--jobs={threads}"))
        .arg(format!("--time={}", duration(options).as_secs()))
        .current_dir(stage.directory());
    if matches!(work, Work::Connect { .. }) {
        pgbench.arg("--connect");
    } else {
        pgbench.arg("--log").arg(format!("--log-prefix={LOG_PREFIX}")).arg(SAMPLING_RATE);
    }
    pgbench
}

/// The moment right after pgbench's report number `count`.
fn mark_after(pgbench: &Process, count: usize, way: &Way) -> Result<Mark> {
    pgbench.wait_for_words("how fast it is", |said| {
        interrupt::came() || said.lines().filter_map(Second::read).count() >= count
    })?;
    interrupt::check()?;
    Mark::now(way)
}

/// A line of pgbench about one second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Second {
    rate: f64,
    latency_ms: f64,
    failed: u64,
}

impl Second {
    /// "progress: 2.0 s, 14321.5 tps, lat 1.113 ms stddev 0.412, 0 failed"; the last part is newer than 14.
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("progress: ")?.split(", ").skip(1);
        let rate = parts.next()?.strip_suffix(" tps")?.parse().ok()?;
        let latency = parts.next()?.strip_prefix("lat ")?.split(' ').next()?;
        let failed = parts.find_map(|part| part.strip_suffix(" failed")?.parse().ok());
        // A second without a transaction has no mean.
        Some(Self { rate, latency_ms: latency.parse().ok()?, failed: failed.unwrap_or(0) })
    }
}

/// How long the logged transactions that ended from `begin` to `end` took, in microseconds, sorted. Removes the log.
fn transactions(directory: &Path, begin: SystemTime, end: SystemTime) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    let [begin, end] = [begin, end].map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default());
    for entry in fs::read_dir(directory).doing("list pgbench's logs")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(LOG_PREFIX) {
            let text = fs::read_to_string(entry.path()).doing("read pgbench's log")?;
            fs::remove_file(entry.path()).doing("remove pgbench's log")?;
            let logged = text.lines().filter_map(logged);
            took.extend(logged.filter(|(at, _)| (begin..=end).contains(at)).map(|(_, took_us)| took_us));
        }
    }
    took.sort_unstable();
    Ok(took)
}

/// When a logged transaction ended since 1970, and how many microseconds it took. The line is "client transaction
/// time script epoch-seconds microseconds".
fn logged(line: &str) -> Option<(Duration, u64)> {
    let mut fields = line.split(' ').map(|field| field.parse::<u64>().ok());
    let took_us = fields.nth(2)??;
    let seconds = fields.nth(1)??;
    let micros = fields.next()??;
    Some((Duration::from_secs(seconds) + Duration::from_micros(micros), took_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pgbenchs_reports() {
        let line = "progress: 2.0 s, 14321.5 tps, lat 1.113 ms stddev 0.412, 3 failed";
        assert_eq!(Second::read(line), Some(Second { rate: 14321.5, latency_ms: 1.113, failed: 3 }));
        let older = "progress: 2.0 s, 14321.5 tps, lat 1.113 ms stddev 0.412";
        assert_eq!(Second::read(older), Some(Second { rate: 14321.5, latency_ms: 1.113, failed: 0 }));
        assert_eq!(Second::read("tps = 14321.5 (without initial connection time)"), None);
    }

    #[test]
    fn reads_pgbenchs_log() {
        let (at, took_us) = logged("15 4000 1113 0 1700000000 250000").expect("it is a line of the log");
        assert_eq!((at, took_us), (Duration::from_millis(1_700_000_000_250), 1113));
        assert_eq!(logged("15 4000 failed 0 1700000000 250000"), None);
    }
}
