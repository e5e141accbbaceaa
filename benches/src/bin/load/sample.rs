//! What one measurement finds, and the figures in it that can be compared.

use std::fmt;

/// What one measurement found. What does not exist in a scenario is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// How many a second: transactions, connections, or GB.
    pub(crate) rate: Option<f64>,
    /// How long they took; unknown where each makes a connection, which pgbench does not count.
    pub(crate) latency: Option<Latency>,
    /// The CPU that the proxy used for each, user and system, in microseconds.
    pub(crate) proxy_us: Option<f64>,
    /// The CPU that everything on the machine used for each, in microseconds.
    pub(crate) machine_us: Option<f64>,
    /// The proxy's resident memory at the end, in KiB.
    pub(crate) resident_kib: Option<f64>,
    /// How much its resident memory grew for each session that was held, in KiB.
    pub(crate) session_kib: Option<f64>,
}

/// How long transactions took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    /// On average, over all.
    pub(crate) mean_ms: f64,
    /// Half of the sampled ones took no longer.
    pub(crate) p50_ms: f64,
    /// 95 % did not.
    pub(crate) p95_ms: f64,
    /// 99 % did not.
    pub(crate) p99_ms: f64,
}

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// [`Sample::rate`].
    Rate,
    /// [`Latency::p50_ms`].
    P50,
    /// [`Latency::p99_ms`].
    P99,
    /// [`Sample::proxy_us`].
    ProxyCpu,
    /// [`Sample::machine_us`].
    MachineCpu,
    /// [`Sample::session_kib`].
    SessionKib,
}

impl Figure {
    /// It, in `sample`.
    pub(crate) fn of(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Rate => sample.rate,
            Self::P50 => sample.latency.map(|latency| latency.p50_ms),
            Self::P99 => sample.latency.map(|latency| latency.p99_ms),
            Self::ProxyCpu => sample.proxy_us,
            Self::MachineCpu => sample.machine_us,
            Self::SessionKib => sample.session_kib,
        }
    }

    /// Whether less of it is better.
    pub(crate) fn is_cost(self) -> bool {
        self != Self::Rate
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rate => "per second",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::ProxyCpu => "proxy CPU",
            Self::MachineCpu => "machine CPU",
            Self::SessionKib => "memory per session",
        })
    }
}
