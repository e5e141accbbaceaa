//! What a query costs the broker beside thousands of sessions that say nothing, and without them.
//!
//! Two brokers alike stand side by side and take turns, so that what slows the machine down slows both.

use ::tests::broker::{Listen, Service};
use ::tests::failure::Result;
use ::tests::obtain::{Part, obtain};

use super::crowd::{Gathered, Until};
use super::finding::Finding;
use super::target::{Stop, Target};
use super::watched::{Watched, service};
use super::{Driver, Ground};
use crate::measure;
use crate::scenarios::{self, Leg, Protocol, Road, Scenario, Work};
use crate::stage::{Stage, Way};
use crate::statistics::Spread;

/// How many sessions are at work.
const CLIENTS: u16 = 10;

/// What a transaction may cost beside idle sessions, as a share of what it costs without.
const RATIO: f64 = 1.10;

/// A broker, where its clients at work connect, and where those do that say nothing.
struct Side {
    broker: Watched,
    work: Listen,
    idle: Listen,
}

/// pgbench with PostgreSQL, round by round through one broker and the other.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    obtain(&[Part::Postgres])?;
    let stage = Stage::set(&ground.options, false)?;
    let target = Target::start(ground, Stop::Never)?;
    let sides = [start(ground, &stage, &target, driver)?, start(ground, &stage, &target, driver)?];
    let sessions = ground.endure.sessions();
    let _idle = Gathered::gather(&sides[1].idle, sessions, Until::Answer)?;
    sides[1].broker.settle(sessions)?;

    let scenario = Scenario {
        work: Work::Query { protocol: Protocol::Prepared, clients: CLIENTS, idle: 0 },
        road: Road { client: Leg::Tcp, target: scenarios::Target::Server },
        with_references: false,
        goals: Vec::new(),
    };
    let ways = sides.each_ref().map(|side| way(&stage, side));
    let mut cpu_us = [Vec::new(), Vec::new()];
    for round in 0..ground.endure.rounds() {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let sample = measure::measure(&stage, &scenario, &ways[side], &ground.options)?;
            cpu_us[side].extend(sample.proxy_us);
        }
    }
    let ratios = cpu_us[1].iter().zip(&cpu_us[0]).map(|(beside, without)| beside / without);
    let mut findings = vec![Finding::told("sessions that say nothing", f64::from(sessions), 0)];
    let told = |what: &str, spread: Option<Spread>, digits| {
        spread.map(|spread| Finding::told(what, spread.median, digits))
    };
    findings.extend(told("CPU µs for a transaction without them", Spread::of(cpu_us[0].clone()), 2));
    findings.extend(told("CPU µs for a transaction beside them", Spread::of(cpu_us[1].clone()), 2));
    if let Some(spread) = Spread::of(ratios) {
        findings.push(Finding::told("ratio, round by round, median", spread.median, 2).at_most(RATIO));
        findings.push(Finding::told("the smallest of them", spread.min, 2));
        findings.push(Finding::told("the largest of them", spread.max, 2));
    }
    Ok(findings)
}

fn start(ground: &Ground, stage: &Stage, target: &Target, driver: Driver) -> Result<Side> {
    let (work, idle) = (Listen::tcp(), Listen::tcp());
    let targets = stage.targets();
    let server = Service::new("pg", "work", work.clone())
        .literal("host", "127.0.0.1")
        .literal("port", &targets.server.host_and_port().1)
        .literal("username", &targets.login.name)
        .literal("password", &targets.login.password)
        .literal("sslmode", "disable");
    let services = vec![server, service(ground, "idle", idle.clone(), target, false)];
    let broker = Watched::start_by(targets.command(&targets.broker), ground, driver, services)?;
    Ok(Side { broker, work, idle })
}

fn way(stage: &Stage, side: &Side) -> Way {
    let login = &stage.targets().login;
    Way {
        listen: side.work.clone(),
        database: login.name.clone(),
        user: login.name.clone(),
        password: None,
        tls: false,
        idle_listen: side.idle.clone(),
        idle_database: login.name.clone(),
        pid: Some(side.broker.pid()),
    }
}
