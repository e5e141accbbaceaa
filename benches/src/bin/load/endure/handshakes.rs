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

/// Holds as many handshakes as it is told to, lets them go on, and ends the sessions.
pub(crate) fn measure(ground: &Ground, driver: Driver) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (hold, stop, tls, handshake_kib, session_kib) in HOLDS {
        let (warm, held) = (Target::start(ground, Stop::Never)?, Target::start(ground, stop)?);
        let (warm_listen, listen) = (Listen::tcp(), Listen::tcp());
        let services = vec![
            service(ground, "warm", warm_listen.clone(), &warm, tls),
            service(ground, "held", listen.clone(), &held, tls),
        ];
        let broker = Watched::start(ground, driver, services)?;
        let count = ground.endure.handshakes();
        Gathered::gather(&warm_listen, count / 4, Until::Answer)?.leave()?;
        broker.settle(0)?;

        let none_kib = broker.memory_kib()?;
        let clients = Gathered::gather(&listen, count, Until::Startup)?;
        broker.settle(count)?;
        let held_kib = broker.memory_kib()?;
        held.go_on();
        broker.settle_established(count + count / 4)?;
        let open_kib = broker.memory_kib()?;
        clients.leave()?;
        broker.settle(0)?;
        let gone_kib = broker.memory_kib()?;

        let each = |kib: f64| (kib - none_kib) / f64::from(count);
        let told = |what: &str, figure| Finding::told(format!("{hold}: {what}"), figure, 2);
        findings.extend([
            Finding::told(format!("{hold}: handshakes held at once"), f64::from(count), 0),
            told("KiB for each", each(held_kib)).at_most(handshake_kib),
            told("KiB for each when it is handed over", each(open_kib)).at_most(session_kib),
            told("KiB for each when it is gone", each(gone_kib)),
        ]);
    }
    Ok(findings)
}
