//! Queries of sysbench in open sessions of MySQL.
//!
//! CPU is of a stretch of time that begins a second after sysbench has, when all sessions are open. Latencies are of its whole
//! run, from its own histogram, each step of which is 1.8 % wide.

use std::time::Duration;

use ::tests::failure::{Failure, Result};
use ::tests::interrupt;
use ::tests::mysql::sysbench;
use ::tests::process::{Process, User};
use rustix::process::Signal;

use super::Mark;
use crate::mysql::{SCRIPT, TABLE};
use crate::options::Options;
use crate::sample::{Latency, Sample};
use crate::stage::{Stage, Way};

/// The second before the stretch that counts, and the one behind it.
const MARGINS_S: u64 = 2;

/// sysbench's histogram has 1024 steps from a microsecond to 100 seconds, each as much longer than the last.
const STEPS: f64 = 1023.0;
const RANGE: f64 = 1e8;

/// How long one measurement takes.
pub(super) fn duration(options: &Options) -> Duration {
    Duration::from_secs(options.seconds() + MARGINS_S)
}

/// Measures `way` once.
pub(super) fn measure(
    stage: &Stage,
    way: &Way,
    prepared: bool,
    clients: u16,
    options: &Options,
) -> Result<Sample> {
    let mut command = sysbench(&way.endpoint());
    command
        .arg(SCRIPT)
        .args(TABLE)
        .args(["--report-interval=1", "--rand-type=uniform", "--histogram=on"])
        .arg(format!("--mysql-ssl={}", if way.tls { "on" } else { "off" }))
        .arg(format!("--db-ps-mode={}", if prepared { "auto" } else { "disable" }))
        .arg(format!("--threads={clients}"))
        .arg(format!("--time={}", duration(options).as_secs()))
        .arg("run")
        // Where it finds its certificate.
        .current_dir(stage.directory());
    let process = Process::start("sysbench", &command, &User::Same, Signal::TERM)?;
    let seconds = usize::try_from(options.seconds()).unwrap_or(usize::MAX);
    let begin = mark_after(&process, 1, way)?;
    let end = mark_after(&process, 1 + seconds, way)?;
    let stretch = begin.until(&end, way)?;
    let status = process.wait()?;
    let said = process.said();
    let rates: Vec<f64> = said.lines().filter_map(rate).skip(1).take(seconds).collect();
    let latency = Histogram::read(&said).latency();
    match latency {
        Some(latency)
            if status.success() && rates.len() == seconds && rates.iter().all(|rate| *rate > 0.0) =>
        {
            let rate = rates.iter().sum::<f64>() / rates.len() as f64;
            Ok(Sample { latency: Some(latency), ..stretch.sample(rate) })
        }
        _ => Err(Failure::new(format!("sysbench did not do its work ({status}):\n{said}"))),
    }
}

/// The moment right after sysbench's report number `count`.
fn mark_after(process: &Process, count: usize, way: &Way) -> Result<Mark> {
    process.wait_for_words("how fast it is", |said| {
        interrupt::came() || said.lines().filter_map(rate).count() >= count
    })?;
    interrupt::check()?;
    Mark::now(way)
}

/// `[ 2s ] thds: 16 tps: 20431.27 qps: 20431.27 (r/w/o: 20431.27/0.00/0.00) lat (ms,95%): 1.23 err/s: 0.00 reconn/s: 0.00`
fn rate(line: &str) -> Option<f64> {
    let (_, rest) = line.strip_prefix("[ ")?.split_once("tps: ")?;
    // The last part of a line that is still being written.
    line.contains("reconn/s: ").then_some(())?;
    rest.split(' ').next()?.parse().ok()
}

/// How many transactions took about how many milliseconds, the shortest first.
struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// Reads lines such as "       0.062 |***                                      1234".
    fn read(said: &str) -> Self {
        let bar = |line: &str| {
            let (value, bar) = line.split_once(" |")?;
            Some((value.trim().parse().ok()?, bar.split_whitespace().last()?.parse().ok()?))
        };
        Self(said.lines().filter_map(bar).collect())
    }

    fn latency(&self) -> Option<Latency> {
        let count: f64 = self.0.iter().map(|(_, count)| count).sum();
        let sum: f64 = self.0.iter().map(|(value, count)| value * count).sum();
        Some(Latency {
            mean_ms: sum / count,
            p50_ms: self.percentile(0.50)?,
            p95_ms: self.percentile(0.95)?,
            p99_ms: self.percentile(0.99)?,
        })
    }

    /// What so large a share did not exceed; within a step, as if they were spread evenly.
    fn percentile(&self, share: f64) -> Option<f64> {
        let mut left = share * self.0.iter().map(|(_, count)| count).sum::<f64>();
        for (value, count) in &self.0 {
            if left <= *count {
                let step = RANGE.ln() / STEPS;
                return Some(value * (step * (left / count - 0.5)).exp());
            }
            left -= count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sysbenchs_reports() {
        let line = "[ 2s ] thds: 16 tps: 20431.27 qps: 20431.27 (r/w/o: 20431.27/0.00/0.00) lat (ms,95%): 1.23 err/s: 0.00 reconn/s: 0.00";
        assert_eq!(rate(line), Some(20431.27));
        assert_eq!(rate("[ 2s ] thds: 16 tps: 204"), None);
        assert_eq!(rate("    transactions:                        4321   (1080.0 per sec.)"), None);
    }

    #[test]
    fn finds_percentiles_between_the_steps_of_a_histogram() {
        let said = "       value  ------------- distribution ------------- count\n\
                    \x20      0.100 |**************************************** 90\n\
                    \x20      0.200 |****                                     10\n\n";
        let histogram = Histogram::read(said);
        assert_eq!(histogram.0, [(0.1, 90.0), (0.2, 10.0)]);
        // 50 of the 90 in the first step, which reaches from 0.0991 to 0.1009.
        let p50 = histogram.percentile(0.5).unwrap_or_default();
        assert!((0.1001..0.1002).contains(&p50), "{p50}");
        // The middle of the second.
        assert!((histogram.percentile(0.95).unwrap_or_default() - 0.2).abs() < 1e-9);
    }
}
