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
    let arguments = ["test", "--workspace"];
    say(format!("Everything is there. Running `cargo {}` …", arguments.join(" ")));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .args(std::env::args_os().skip(1))
        .current_dir(places::repository())
        .status()
        .doing("run cargo test")?;
    places::sweep();
    // A run that was killed by a signal has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
