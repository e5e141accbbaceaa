//! What short connections leave behind: memory, descriptors, connections that are not let go of. First those that live
//! a whole life, then those that vanish in the middle of their handshake.

use std::time::{Duration, Instant};

use ::tests::broker::Listen;
use ::tests::failure::{Failure, Result};
use ::tests::process::Process;
use ::tests::{interrupt, say};

use super::churn::{self, Life};
use super::finding::Finding;
use super::pace::Pace;
use super::target::{Stop, Target};
use super::watched::{Watched, service};
use super::{Driver, Ground};

/// What memory may grow by, whichever is more.
const GROWTH_MIB: f64 = 1.0;
const GROWTH_SHARE: f64 = 0.02;

/// One in so many is made before anything counts, but no more than are needed to warm up.
const WARM_UP_SHARE: u64 = 5;
const WARM_UP_MAX: u64 = 20_000;

/// One in so many vanishes, but no more than these.
const BROKEN_SHARE: u64 = 10;
const BROKEN_MAX: u64 = 10_000;

/// No process of churn is given more: short enough that nobody loses count.
const BATCH: u64 = 100_000;

/// How often progress is said.
const PROGRESS: Duration = Duration::from_secs(10);

/// What a broker has when it has nothing to do.
struct Rest {
    kib: f64,
    descriptors: f64,
    failed: f64,
}

/// Makes as many connections as it is told to.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    let target = Target::start(ground, Stop::Never)?;
    let doors = [Listen::tcp(), Listen::unix()?];
    let services = ["tcp", "unix"].into_iter().zip(&doors);
    let services = services.map(|(name, door)| service(ground, name, door.clone(), &target, false));
    let broker = Watched::start(ground, driver, services.collect())?;
    let count = ground.endure.connections();

    // Those that vanish make the broker write lines that it has not written before.
    make(&broker, &doors, WARM_UP_MAX.min(count / WARM_UP_SHARE), Life::Whole)?;
    make(&broker, &doors, BROKEN_MAX.min(count / BROKEN_SHARE) / 5, Life::Broken)?;
    let before = rest(&broker)?;
    let (began, cpu) = (Instant::now(), broker.cpu()?);
    let failed = make(&broker, &doors, count, Life::Whole)?;
    let (took_s, used_ns) = (began.elapsed().as_secs_f64(), broker.cpu()?.since(&cpu));
    let after = rest(&broker)?;
    let told = Finding::told;
    let mut findings = vec![
        told("connections of a whole life, half of them on Unix sockets", count as f64, 0),
        told("that failed", f64::from(failed), 0).at_most(0.0),
        told("that the broker says have failed", after.failed - before.failed, 0).at_most(0.0),
    ];
    findings.extend(growth(&before, &after));
    findings.push(told("connections a second", count as f64 / took_s, 0));
    findings.push(told("CPU µs of the broker for each", used_ns as f64 / 1000.0 / count as f64, 1));

    let broken = BROKEN_MAX.min(count / BROKEN_SHARE);
    let failed = make(&broker, &doors, broken, Life::Broken)?;
    let after = rest(&broker)?;
    findings.push(told("then connections that vanish at some byte of the handshake", broken as f64, 0));
    findings.push(told("that could not even be made", f64::from(failed), 0).at_most(0.0));
    findings.extend(growth(&before, &after));
    Ok(findings)
}

fn rest(broker: &Watched) -> Result<Rest> {
    broker.settle(0)?;
    Ok(Rest { kib: broker.memory_kib()?, descriptors: broker.descriptors()?, failed: broker.failed()? })
}

fn growth(before: &Rest, after: &Rest) -> [Finding; 3] {
    let mib = before.kib / 1024.0;
    let more = (after.kib - before.kib) / 1024.0;
    [
        Finding::told("more descriptors than before", after.descriptors - before.descriptors, 0).at_most(0.0),
        Finding::told("MiB more than before", more, 2).at_most(GROWTH_MIB.max(mib * GROWTH_SHARE)),
        Finding::told("MiB before", mib, 1),
    ]
}

/// Makes `count` connections, half through each door; says how many failed.
fn make(broker: &Watched, doors: &[Listen; 2], count: u64, life: Life) -> Result<u32> {
    let mut pace = Pace::new(count);
    let mut failed = 0;
    let mut made = 0;
    let closed_before = broker.closed()?;
    while made < count {
        let batch = BATCH.min(count - made);
        let share = u32::try_from(batch / 2).unwrap_or(u32::MAX);
        let rest = u32::try_from(batch - batch / 2).unwrap_or(u32::MAX);
        let processes = [
            churn::start(&doors[0], share, life, made * 2)?,
            churn::start(&doors[1], rest, life, made * 2 + 1)?,
        ];
        for process in &processes {
            failed += outcome(process, || {
                let closed = broker.closed().map_or(made as f64, |closed| closed - closed_before);
                say::say(format!("  {}", pace.say(closed)));
            })?;
        }
        made += batch;
    }
    Ok(failed)
}

/// Waits for a process of churn, saying how far it is from time to time; gives how many failed.
fn outcome(process: &Process, mut progress: impl FnMut()) -> Result<u32> {
    let mut said = Instant::now();
    while process.wait_within(Duration::from_millis(200)).is_none() {
        interrupt::check()?;
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            progress();
        }
    }
    process.wait()?;
    let stdout = process.stdout();
    let Some((failed, why)) = churn::failures(&stdout) else {
        return Err(Failure::new(format!("short connections came to an end:\n{}", process.said())));
    };
    if failed > 0 {
        say::say(format!("  {failed} connections failed, the first: {why}"));
    }
    Ok(failed)
}
