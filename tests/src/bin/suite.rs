//! `cargo suite`: obtains what the tests need, then runs them all, and those of the whole broker once for each driver.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::process::{Command, ExitCode, ExitStatus};

use tests::broker::DRIVER;
use tests::failure::{Doing, Result};
use tests::obtain::{self, obtain};
use tests::places;
use tests::say::say;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            say(failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    obtain(obtain::ALL)?;
    forget_notes()?;
    say("Everything is there. The first run builds for some minutes, then tests for a few more …");
    // The rest is worth knowing, whatever fails.
    let everything = test(&["--workspace", "--no-fail-fast"], "uring")?;
    let again = test(&["--package", "tests", "--test", "acceptance", "--no-fail-fast"], "epoll")?;
    places::sweep();
    say_what_did_not_run();
    let failed = [everything, again].into_iter().find(|status| !status.success());
    say(if failed.is_none() { "All tests have passed." } else { "Some tests have failed: see above." });
    // A run that was killed by a signal has no code.
    let code = failed.map_or(0, |status| status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
    Ok(ExitCode::from(code))
}

/// Removes the notes of an earlier run.
fn forget_notes() -> Result<()> {
    match fs::remove_file(obtain::not_run_notes()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing("remove old notes"),
        _ => Ok(()),
    }
}

/// A test cannot say that it did not run: the harness counts it as passed. So it leaves a note.
fn say_what_did_not_run() {
    let Ok(notes) = fs::read_to_string(obtain::not_run_notes()) else { return };
    let notes: BTreeSet<&str> = notes.lines().collect();
    say(format!("{} tests have not run, or not in full, and count as passed:", notes.len()));
    for note in notes {
        say(format!("  {note}"));
    }
}

/// Runs `cargo test` with these arguments, then ours, and brokers that move bytes with `driver`.
fn test(arguments: &[&str], driver: &str) -> Result<ExitStatus> {
    say(format!("Running `cargo test {}` on {driver} …", arguments.join(" ")));
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg("test")
        .args(arguments)
        .args(std::env::args_os().skip(1))
        .env(DRIVER, driver)
        .current_dir(places::repository())
        .status()
        .doing("run cargo test")
}
