//! What a session that says nothing takes of the broker's memory, in clear and with TLS to the target.

use std::fs;

use ::tests::broker::Listen;
use ::tests::failure::{Doing, Failure, Result};

use super::crowd::{Gathered, Until};
use super::finding::Finding;
use super::target::{Stop, Target};
use super::watched::{Watched, service};
use super::{Driver, Ground};

/// What a session may take, in KiB.
const CLEAR_KIB: f64 = 1.0;
const TLS_KIB: f64 = 24.0;

/// One session in so many is there before memory is looked at first: what a process loads and sets up, it has then.
const BEFORE: u32 = 19;

/// Holds as many sessions as it is told to.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (tls, goal) in [(false, CLEAR_KIB), (true, TLS_KIB)] {
        let target = Target::start(ground, Stop::Never)?;
        let listen = Listen::tcp();
        let services = vec![service(ground, "idle", listen.clone(), &target, tls)];
        let broker = Watched::start(ground, driver, services)?;
        let (all, before) = (ground.endure.sessions(), ground.endure.sessions() / BEFORE);
        let road = if tls { "TCP to TLS" } else { "TCP to TCP" };

        // These come and go, so that buffers have been used once before anything counts.
        Gathered::gather(&listen, before, Until::Answer)?.leave()?;
        broker.settle(0)?;
        let none_kib = broker.memory_kib()?;
        let first = Gathered::gather(&listen, before, Until::Answer)?;
        broker.settle(before)?;
        let (few_kib, few_kernel_kib) = (broker.memory_kib()?, kernel_kib()?);
        let others = Gathered::gather(&listen, all - before, Until::Answer)?;
        broker.settle(all)?;
        let (many_kib, many_kernel_kib) = (broker.memory_kib()?, kernel_kib()?);
        let descriptors = broker.descriptors()?;
        first.leave()?;
        others.leave()?;
        broker.settle(0)?;
        let left_kib = broker.memory_kib()?;

        let more = f64::from(all - before);
        let told = |what: &str, figure, digits| Finding::told(format!("{road}: {what}"), figure, digits);
        findings.extend([
            told("sessions held at once", f64::from(all), 0),
            told("descriptors of the broker", descriptors, 0),
            told("descriptors that it may have", broker.descriptors_max()?, 0),
            told("KiB of the broker for each session", (many_kib - few_kib) / more, 2).at_most(goal),
            told("MiB of the broker with all sessions", many_kib / 1024.0, 1),
            told("MiB more than before, when all are gone", (left_kib - none_kib) / 1024.0, 1),
            told(
                "KiB of the kernel for each session, all ends on this machine",
                (many_kernel_kib - few_kernel_kib) / more,
                1,
            ),
        ]);
    }
    Ok(findings)
}

/// What the kernel holds for itself on the whole machine, most of it for sockets while this is looked at.
fn kernel_kib() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo").doing("read /proc/meminfo")?;
    unreclaimable_kib(&text).ok_or_else(|| Failure::new("/proc/meminfo does not tell of slabs"))
}

fn unreclaimable_kib(meminfo: &str) -> Option<f64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("SUnreclaim:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_holds() {
        assert_eq!(unreclaimable_kib("Slab: 9 kB\nSUnreclaim:      12345 kB\n"), Some(12345.0));
        assert_eq!(unreclaimable_kib("Slab: 9 kB\n"), None);
    }
}
