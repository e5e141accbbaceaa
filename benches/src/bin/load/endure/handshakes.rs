//! What a handshake takes of the broker's memory, at the points at which a target can make it wait; and that it is given
//! back when the session is handed over.

use ::tests::broker::Listen;
use ::tests::failure::Result;

use super::crowd::{Gathered, Until};
use super::finding::Finding;
use super::target::{Stop, Target};
use super::watched::{Watched, service};
use super::{Driver, Ground};

/// Where handshakes are held, whether over TLS, what each may take there and as a session behind it, in KiB.
const HOLDS: [(&str, Stop, bool, f64, f64); 3] = [
    ("TCP to TCP, no answer to the startup packet", Stop::Startup, false, 16.0, 1.0),
    ("TCP to TLS, nothing behind the ServerHello", Stop::Hello, true, 64.0, 24.0),
    ("TCP to TLS, no answer to the startup packet", Stop::Startup, true, 64.0, 24.0),
];

/// One handshake in so many is held before memory is looked at first.
const BEFORE: u32 = 19;

/// Holds as many handshakes as it is told to, lets them go on, and holds as many again: if the first have given back what
/// they took, the second only need what the first are as sessions.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (hold, stop, tls, handshake_kib, session_kib) in HOLDS {
        let stops = [Stop::Never, stop, stop];
        let mut targets = Vec::new();
        for stop in stops {
            targets.push((Target::start(ground, stop)?, Listen::tcp()));
        }
        let services = targets.iter().enumerate().map(|(number, (target, listen))| {
            service(ground, &format!("service{number}"), listen.clone(), target, tls)
        });
        let broker = Watched::start(ground, driver, services.collect())?;
        let [(_, warm), (first, first_listen), (_, second_listen)] = &targets[..] else {
            unreachable!("there are as many targets as stops")
        };
        let (all, before) = (ground.endure.handshakes(), ground.endure.handshakes() / BEFORE);
        Gathered::gather(warm, before, Until::Answer)?.leave()?;
        broker.settle(0)?;

        let none_kib = broker.memory_kib()?;
        let few = Gathered::gather(first_listen, before, Until::Startup)?;
        broker.settle(before)?;
        let few_kib = broker.memory_kib()?;
        let others = Gathered::gather(first_listen, all - before, Until::Startup)?;
        broker.settle(all)?;
        let held_kib = broker.memory_kib()?;
        first.go_on();
        broker.settle_established(before + all)?;
        let again = Gathered::gather(second_listen, all, Until::Startup)?;
        broker.settle(2 * all)?;
        let again_kib = broker.memory_kib()?;
        for crowd in [few, others, again] {
            crowd.leave()?;
        }
        broker.settle(0)?;
        let left_kib = broker.memory_kib()?;

        let told = |what: &str, figure, digits| Finding::told(format!("{hold}: {what}"), figure, digits);
        let held_each = (held_kib - few_kib) / f64::from(all - before);
        let again_each = (again_kib - held_kib) / f64::from(all);
        findings.extend([
            told("handshakes held at once", f64::from(all), 0),
            told("KiB of the broker for each", held_each, 2).at_most(handshake_kib),
            told("KiB for each of as many again, these being sessions", again_each, 2).at_most(session_kib),
            told("MiB more than before, when all are gone", (left_kib - none_kib) / 1024.0, 1),
        ]);
    }
    Ok(findings)
}
