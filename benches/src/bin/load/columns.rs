//! Which figures a scenario's table and plot show, in which unit.

use crate::sample::{Latency, Sample};
use crate::scenarios::Work;

/// A figure as it is shown.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// What it is, with its unit.
    pub(crate) title: &'static str,
    /// It, in that unit.
    pub(crate) of: fn(&Sample) -> Option<f64>,
    /// How many digits behind the point it deserves.
    pub(crate) digits: usize,
    /// Whether the range over the rounds stands beside the median.
    pub(crate) has_range: bool,
    /// Whether the plot shows it, too.
    pub(crate) is_plotted: bool,
}

const PLAIN: Column = Column { title: "", of: |_| None, digits: 0, has_range: false, is_plotted: false };
const MAIN: Column = Column { has_range: true, is_plotted: true, ..PLAIN };

/// How much longer the figures of a GB would be in the units of a transaction.
const THOUSAND: f64 = 1000.0;

/// The columns of the tables of this kind of work.
pub(crate) fn of(work: Work) -> Vec<Column> {
    match work {
        Work::Query { .. } | Work::Points { .. } => {
            let mut columns = vec![MAIN_RATE];
            columns.extend(LATENCIES);
            columns.extend([PROXY_US, MACHINE_US, RESIDENT]);
            columns
        }
        Work::Connect { .. } | Work::Logins { .. } => vec![MAIN_RATE, PROXY_US, MACHINE_US, RESIDENT],
        Work::Copy(_) | Work::Stream(_) | Work::Rows(_) | Work::Commands { .. } => vec![
            Column { title: "MB per second", of: |sample| Some(sample.rate? * THOUSAND), ..MAIN },
            Column { title: "proxy CPU ms per GB", of: |sample| Some(sample.proxy_us? / THOUSAND), ..MAIN },
            Column {
                title: "machine CPU ms per GB",
                of: |sample| Some(sample.machine_us? / THOUSAND),
                ..MAIN
            },
            RESIDENT,
        ],
        Work::Hold { .. } => vec![
            Column { title: "KiB per session", of: |sample| sample.session_kib, digits: 1, ..MAIN },
            RESIDENT,
        ],
    }
}

const MAIN_RATE: Column = Column { title: "per second", of: |sample| sample.rate, ..MAIN };
const PROXY_US: Column =
    Column { title: "proxy CPU µs each", of: |sample| sample.proxy_us, digits: 2, ..MAIN };
const MACHINE_US: Column =
    Column { title: "machine CPU µs each", of: |sample| sample.machine_us, digits: 1, ..MAIN };
const RESIDENT: Column =
    Column { title: "MiB", of: |sample| Some(sample.resident_kib? / 1024.0), digits: 1, ..PLAIN };

const LATENCIES: [Column; 4] = [
    Column { title: "mean ms", of: |sample| latency(sample, |it| it.mean_ms), digits: 3, ..PLAIN },
    Column { title: "p50", of: |sample| latency(sample, |it| it.p50_ms), digits: 3, ..PLAIN },
    Column { title: "p95", of: |sample| latency(sample, |it| it.p95_ms), digits: 3, ..PLAIN },
    Column {
        title: "p99",
        of: |sample| latency(sample, |it| it.p99_ms),
        digits: 3,
        is_plotted: true,
        ..PLAIN
    },
];

fn latency(sample: &Sample, figure: fn(&Latency) -> f64) -> Option<f64> {
    sample.latency.as_ref().map(figure)
}
