//! `cargo suite`: obtains what the tests need, then runs them all.

use std::process::{Command, ExitCode};

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
    // The rest is worth knowing, whatever fails.
    let arguments = ["test", "--workspace", "--no-fail-fast"];
    say(format!(
        "Everything is there. Running `cargo {}`: it builds for some minutes the first time, then tests for a few more …",
        arguments.join(" ")
    ));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .args(std::env::args_os().skip(1))
        .current_dir(places::repository())
        .status()
        .doing("run cargo test")?;
    places::sweep();
    say(if status.success() { "All tests have passed." } else { "Some tests have failed: see above." });
    // A run that was killed by a signal has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
