//! How long a broker with thousands of services takes until it is ready.

use std::process::Command;
use std::time::Instant;

use ::tests::broker::{Broker, File, Listen, Service};
use ::tests::failure::Result;
use ::tests::{interrupt, places};

use super::finding::Finding;
use super::watched::tell;
use super::{Driver, Ground};
use crate::statistics::Spread;
use crate::usage::resident_kib;

/// How long it may take, in seconds.
const READY_S: f64 = 2.0;

/// Starts it a few times.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    let sockets = places::fresh("s")?;
    let service = |number: u32| {
        let listen = if number.is_multiple_of(2) {
            Listen::tcp()
        } else {
            Listen::Unix(sockets.join(number.to_string()))
        };
        Service::new("pg", &format!("service{number}"), listen)
            .literal("host", "127.0.0.1")
            .literal("username", "svc")
            .literal("password", "pencil")
            .literal("sslmode", "disable")
    };
    let count = ground.endure.services();
    let file = File::with((0..count).map(service))?;
    let config = file.write()?;
    let (mut took_s, mut kib, mut descriptors) = (Vec::new(), 0.0, 0.0);
    for _ in 0..ground.endure.rounds() {
        interrupt::check()?;
        let mut command = Command::new(&ground.broker);
        tell(&mut command, &config, driver);
        let began = Instant::now();
        let broker = Broker::launch_with(&mut command, file.admin(), config.clone())?;
        broker.wait_until_ready()?;
        took_s.push(began.elapsed().as_secs_f64());
        kib = resident_kib(broker.process().pid())? as f64;
        descriptors = broker.metric("process_open_fds", &[])?;
        broker.stop()?;
    }
    let mut findings = vec![
        Finding::told("services, half of them on Unix sockets", f64::from(count), 0),
        Finding::told("descriptors of the broker", descriptors, 0),
        Finding::told("MiB of the broker", kib / 1024.0, 1),
    ];
    if let Some(spread) = Spread::of(took_s) {
        let told = |what, figure| Finding::told(what, figure, 2);
        findings
            .push(told("seconds from its start to 200 from /ready, median", spread.median).at_most(READY_S));
        findings.push(told("the longest of them", spread.max));
    }
    Ok(findings)
}
