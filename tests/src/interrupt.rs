//! Ctrl-C: a program of ours stops what it started and leaves nothing behind.
//!
//! Owns the signals and the flag that one has come. Stops nothing itself: whoever waits looks at the flag and returns,
//! and values dropped on the way out do the rest, as after a panic; or the program says what to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Doing, Failure, Result};

/// How a shell reports a program that Ctrl-C ended.
pub const EXIT_CODE: u8 = 130;

static CAME: AtomicBool = AtomicBool::new(false);

/// Starts to take notice of the signals that ask a program to end: at the first, `act` is called.
pub fn watch(act: impl FnOnce() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("start a runtime for signals")?;
    let signals = {
        let _entered = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(|kind| signal(kind).doing("watch for signals"))
    };
    let [interrupt, terminate, hangup] = signals;
    let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
    thread::spawn(move || {
        runtime.block_on(async {
            any(&mut interrupt, &mut terminate, &mut hangup).await;
            CAME.store(true, Ordering::Relaxed);
            act();
            // Who asks twice does not want to wait. The children end with us, the directory goes at the next run.
            any(&mut interrupt, &mut terminate, &mut hangup).await;
            std::process::exit(i32::from(EXIT_CODE));
        });
    });
    Ok(())
}

/// Whether one has come.
pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

/// An error if one has come.
pub fn check() -> Result<()> {
    if came() { Err(Failure::new("interrupted")) } else { Ok(()) }
}

async fn any(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
