//! What the figures were taken on.

use std::fmt;
use std::fs;
use std::thread;

use tests::failure::{Doing, Result};
use tests::say::say;

/// The machine: a figure without it means nothing.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// What the processor calls itself.
    pub(crate) processor: String,
    /// How many cores we may use.
    pub(crate) cores: usize,
    /// How many processes wanted to run, over the last minute before we began.
    pub(crate) load: f64,
}

/// From here on somebody else's work shows in the figures.
const LOAD_CALM: f64 = 0.5;

impl Machine {
    /// This one.
    pub(crate) fn look() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").doing("read the kernel's release")?;
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").doing("read what the processor is")?;
        let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").doing("read the machine's load")?;
        Ok(Self {
            kernel: kernel.trim().to_owned(),
            processor: name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
            cores: thread::available_parallelism().doing("count the cores")?.get(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
        })
    }

    /// Says so if others are at work.
    pub(crate) fn warn_if_busy(&self) {
        if self.load > LOAD_CALM {
            say(format!(
                "Warning: the machine is not idle (load {:.2} over the last minute), so throughput and latency \
                 will be noisy.",
                self.load
            ));
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, processor, cores, load } = self;
        write!(f, "Linux {kernel}, {cores} cores of {processor}, load before the run {load:.2}")
    }
}
