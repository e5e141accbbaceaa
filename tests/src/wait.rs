//! Waiting for a condition: no sleep of a guessed length, no retry of a failed check.
//!
//! A deadline here is never a measurement. It is so long that only something broken reaches it.

use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything that works, on a machine that is busy with something else.
pub const GENEROUS: Duration = Duration::from_secs(120);

/// How often a condition that announces nothing is looked at.
const PACE: Duration = Duration::from_millis(10);

/// Waits until `probe` gives a value, and gives it on; `None` after `deadline`.
pub fn within<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PACE);
    }
}

/// Waits until `probe` gives a value.
///
/// # Panics
/// After [`GENEROUS`], saying that `what` did not happen.
#[track_caller]
pub fn for_value<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    let Some(value) = within(GENEROUS, probe) else {
        panic!("this did not happen within {} s: {what}", GENEROUS.as_secs());
    };
    value
}

/// Waits until `condition` holds.
///
/// # Panics
/// After [`GENEROUS`], saying that `what` did not happen.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for_value(what, || condition().then_some(()));
}
