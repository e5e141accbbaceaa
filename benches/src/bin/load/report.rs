//! The table: what was measured, with the spread over the rounds, and how the broker compares.

use std::fmt;

use crate::machine::Machine;
use crate::options::Options;
use crate::pgbench::{Latency, Sample};
use crate::rows::{PAIRS, Pair, Row};
use crate::statistics::Spread;

/// A row and what each round found.
pub(crate) struct Measured<'a> {
    /// The row.
    pub(crate) row: &'a Row,
    /// In the order of the rounds.
    pub(crate) samples: Vec<Sample>,
}

/// Everything there is to tell. Its text is Markdown.
pub(crate) struct Report<'a> {
    /// Where.
    pub(crate) machine: &'a Machine,
    /// Of what.
    pub(crate) versions: &'a str,
    /// How.
    pub(crate) options: &'a Options,
    /// What came of it.
    pub(crate) rows: &'a [Measured<'a>],
}

/// How the broker compares with its peer.
pub(crate) struct Ratio {
    /// Which comparison.
    pub(crate) pair: &'static Pair,
    /// CPU per transaction, round by round: the broker's divided by its peer's.
    pub(crate) cpu: Spread,
    /// Transactions per second, round by round, alike.
    pub(crate) rate: Spread,
}

impl Report<'_> {
    /// Every comparison of which both rows were measured.
    pub(crate) fn ratios(&self) -> Vec<Ratio> {
        PAIRS.iter().filter_map(|pair| self.ratio(pair)).collect()
    }

    /// Rounds are compared with themselves: what slows the machine down for a while cancels out.
    fn ratio(&self, pair: &'static Pair) -> Option<Ratio> {
        let [ours, peer] = pair.rows.map(|row| self.rows.iter().find(|measured| measured.row == row));
        let rounds =
            || ours.into_iter().zip(peer).flat_map(|(ours, peer)| ours.samples.iter().zip(&peer.samples));
        let cpu = rounds().filter_map(|(ours, peer)| Some(ours.proxy?.cpu_us / peer.proxy?.cpu_us));
        let rate = rounds().map(|(ours, peer)| ours.rate / peer.rate);
        Some(Ratio { pair, cpu: Spread::of(cpu)?, rate: Spread::of(rate)? })
    }
}

impl Measured<'_> {
    /// What the rounds say of one figure; `None` where it does not exist.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(figure))
    }

    fn cells(&self) -> Vec<String> {
        let latency = |figure: fn(&Latency) -> f64| {
            let spread = self.spread(|sample| sample.latency.as_ref().map(figure));
            spread.map_or_else(none, |spread| format!("{:.2}", spread.median))
        };
        let rate = self.spread(|sample| Some(sample.rate));
        let cpu = self.spread(|sample| Some(sample.proxy?.cpu_us));
        let resident = self.spread(|sample| Some(sample.proxy?.resident_kib as f64 / 1024.0));
        vec![
            self.row.to_string(),
            rate.map_or_else(none, |rate| format!("{:.0}", rate.median)),
            rate.map_or_else(none, |rate| format!("{:.0}–{:.0}", rate.min, rate.max)),
            latency(|latency| latency.mean_ms),
            latency(|latency| latency.p50_ms),
            latency(|latency| latency.p95_ms),
            latency(|latency| latency.p99_ms),
            cpu.map_or_else(none, |cpu| format!("{:.2}", cpu.median)),
            cpu.map_or_else(none, |cpu| format!("{:.2}–{:.2}", cpu.min, cpu.max)),
            resident.map_or_else(none, |resident| format!("{:.1}", resident.max)),
        ]
    }
}

impl Ratio {
    /// Whether the goal is reached; `None` without a goal.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.pair.goal.map(|goal| self.cpu.median <= goal)
    }

    fn cells(&self) -> Vec<String> {
        let verdict = match self.is_reached() {
            Some(true) => "reached",
            Some(false) => "missed",
            None if self.cpu.median > 1.0 => "PgBouncer is cheaper",
            None => "",
        };
        vec![
            self.pair.name.to_owned(),
            format!("{:.2}", self.cpu.median),
            format!("{:.2}–{:.2}", self.cpu.min, self.cpu.max),
            self.pair.goal.map_or_else(String::new, |goal| format!("at most {goal:.2}")),
            verdict.to_owned(),
            format!("{:.2}", self.rate.median),
            format!("{:.2}–{:.2}", self.rate.min, self.rate.max),
        ]
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(f, "{}; {}.", self.machine, self.versions)?;
        writeln!(
            f,
            "pgbench, select only, {} clients on one thread, protocol {}; {} rounds of {} s, the rows taking turns; \
             medians, and the range over the rounds. The broker runs one worker. Nothing is pinned to a core.\n",
            options.clients,
            options.protocol,
            options.rounds(),
            options.seconds(),
        )?;
        let mut cells = vec![
            [
                "row",
                "per second",
                "range",
                "mean ms",
                "p50",
                "p95",
                "p99",
                "proxy CPU µs each",
                "range",
                "MiB",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        cells.extend(self.rows.iter().map(Measured::cells));
        table(f, &cells)?;
        let ratios = self.ratios();
        if ratios.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nThe broker's figure divided by PgBouncer's, round by round:\n")?;
        let head = ["compared", "CPU each", "range", "goal", "verdict", "per second", "range"];
        let mut cells = vec![head.map(str::to_owned).to_vec()];
        cells.extend(ratios.iter().map(Ratio::cells));
        table(f, &cells)
    }
}

/// What is not there.
fn none() -> String {
    "–".to_owned()
}

/// A Markdown table that can be read as it is. The first row is its head; the first column goes left, the others
/// right.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(f, "| {cell:<width$} ")?,
                _ => write!(f, "| {cell:>width$} ")?,
            }
        }
        writeln!(f, "|")?;
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                match column {
                    0 => write!(f, "|{:-<1$}", "", width + 2)?,
                    _ => write!(f, "|{:-<1$}:", "", width + 1)?,
                }
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}
