//! One measurement: a scenario's work on one way, watched while it is done.
//!
//! Owns what all kinds of work have in common: who is watched, and what a stretch of time has cost.

mod bulk;
mod hold;
mod mysql;
mod pgbench;
mod sysbench;

use std::time::{Duration, Instant, SystemTime};

use ::tests::failure::{Doing, Result};
use ::tests::interrupt;

use crate::options::Options;
use crate::sample::Sample;
use crate::scenarios::{Scenario, Work};
use crate::session::Session;
use crate::stage::{Stage, Way};
use crate::usage::{FamilyCpu, MachineCpu, resident_kib};

/// About how long one measurement takes, with the time between measurements.
pub(crate) fn duration(work: Work, options: &Options) -> Duration {
    match work {
        Work::Query { idle: 0, .. } | Work::Connect { .. } => pgbench::duration(options),
        Work::Query { .. } => pgbench::duration(options) + hold::ABOUT,
        Work::Points { .. } => sysbench::duration(options),
        Work::Logins { .. } => Duration::from_secs(options.seconds()),
        Work::Copy(_) | Work::Stream(_) | Work::Commands { .. } => bulk::duration(options),
        Work::Rows(_) => mysql::duration_of_rows(options),
        Work::Hold { .. } => hold::ABOUT,
    }
}

/// Measures `way` once.
pub(crate) fn measure(stage: &Stage, scenario: &Scenario, way: &Way, options: &Options) -> Result<Sample> {
    interrupt::check()?;
    match scenario.work {
        Work::Query { idle, .. } => {
            let _held = sessions(way, idle)?;
            pgbench::measure(stage, scenario, way, options)
        }
        Work::Connect { .. } => pgbench::measure(stage, scenario, way, options),
        Work::Copy(direction) => bulk::copy(stage, way, direction, options),
        Work::Stream(direction) => bulk::stream(way, direction, options),
        Work::Points { prepared, clients } => sysbench::measure(stage, way, prepared, clients, options),
        Work::Logins { clients } => mysql::logins(stage, way, clients, options),
        Work::Rows(direction) => mysql::rows(way, direction, options),
        Work::Commands { len, watched } => mysql::commands(way, len, watched, options),
        Work::Hold { sessions } => hold::measure(way, sessions),
    }
}

/// Opens this many sessions with the stub, which then say nothing.
fn sessions(way: &Way, count: usize) -> Result<Vec<Session>> {
    let open = |_| {
        interrupt::check()?;
        let open = Session::open(&way.idle_listen, &way.user, &way.idle_database);
        let mut session = open.doing("open a session with the stub")?;
        session.say_something().doing("begin a session with the stub")?;
        Ok(session)
    };
    (0..count).map(open).collect()
}

/// A moment, and what had been used by then.
struct Mark {
    clock: Instant,
    time: SystemTime,
    machine: MachineCpu,
    proxy: Option<FamilyCpu>,
}

/// What lies between two moments.
struct Stretch {
    elapsed_s: f64,
    machine_us: f64,
    proxy_us: Option<f64>,
    resident_kib: Option<f64>,
}

impl Mark {
    /// Now.
    fn now(way: &Way) -> Result<Self> {
        let proxy = way.pid.map(FamilyCpu::of).transpose()?;
        Ok(Self { clock: Instant::now(), time: SystemTime::now(), machine: MachineCpu::now()?, proxy })
    }

    /// What was used until `later`.
    fn until(&self, later: &Self, way: &Way) -> Result<Stretch> {
        let proxy_ns =
            later.proxy.as_ref().zip(self.proxy.as_ref()).map(|(later, earlier)| later.since(earlier));
        Ok(Stretch {
            elapsed_s: later.clock.duration_since(self.clock).as_secs_f64(),
            machine_us: later.machine.since(self.machine) as f64 / 1000.0,
            proxy_us: proxy_ns.map(|ns| ns as f64 / 1000.0),
            resident_kib: way.pid.map(resident_kib).transpose()?.map(|kib| kib as f64),
        })
    }
}

impl Stretch {
    /// What each of `count` transactions, connections or GB has cost, if they were done at `rate` a second.
    fn sample(&self, rate: f64) -> Sample {
        let count = rate * self.elapsed_s;
        Sample {
            rate: Some(rate),
            proxy_us: self.proxy_us.map(|us| us / count),
            machine_us: Some(self.machine_us / count),
            resident_kib: self.resident_kib,
            ..Sample::default()
        }
    }
}
