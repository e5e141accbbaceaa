//! What open sessions that say nothing take of the proxy's memory.

use std::thread;
use std::time::Duration;

use ::tests::failure::{Failure, Result};

use super::sessions;
use crate::sample::Sample;
use crate::stage::Way;
use crate::usage::resident_kib;

/// About how long it takes to start a proxy and to open thousands of sessions.
pub(super) const ABOUT: Duration = Duration::from_secs(4);

/// What a proxy does behind a login, such as giving buffers back, it has done by then.
const SETTLE: Duration = Duration::from_millis(500);

/// Opens `count` sessions through a proxy that has had none but one.
pub(super) fn measure(way: &Way, count: usize) -> Result<Sample> {
    let Some(pid) = way.pid else { return Err(Failure::new("no proxy, no memory of its")) };
    // What the first session makes it load and set up stays, however many follow.
    drop(sessions(way, 1)?);
    thread::sleep(SETTLE);
    let before = resident_kib(pid)?;
    let held = sessions(way, count)?;
    thread::sleep(SETTLE);
    let after = resident_kib(pid)?;
    let grown = after.saturating_sub(before) as f64;
    Ok(Sample {
        resident_kib: Some(after as f64),
        session_kib: Some(grown / held.len() as f64),
        ..Sample::default()
    })
}
