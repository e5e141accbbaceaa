//! `refuse-ring ERROR COMMAND…`: runs a command whose kernel refuses io_uring, with EPERM as under Docker's seccomp profile or
//! ENOSYS as under podman's.
//!
//! The filter is inherited by what the command starts, and nothing can take it off.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use tests::failure::{Doing, Failure, Result};
use tests::say::say;

/// `io_uring_setup`: system calls since Linux 5.1 have one number everywhere.
const IO_URING_SETUP: i64 = 425;

fn main() -> ExitCode {
    let Err(failure) = run();
    say(failure.to_string());
    ExitCode::FAILURE
}

/// Comes back only if it fails.
fn run() -> Result<Infallible> {
    let mut arguments = std::env::args_os().skip(1);
    let error = match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("EPERM") => Errno::PERM,
        Some("ENOSYS") => Errno::NOSYS,
        _ => return Err(Failure::new("the first word is EPERM or ENOSYS")),
    };
    let program = arguments.next().ok_or_else(|| Failure::new("there is no command"))?;
    refuse(error).map_err(|failure| Failure::new(format!("cannot filter system calls: {failure}")))?;
    Err(Command::new(program).args(arguments).exec()).doing("run the command")
}

fn refuse(error: Errno) -> std::result::Result<(), seccompiler::Error> {
    let answer = SeccompAction::Errno(error.raw_os_error().unsigned_abs());
    let calls = BTreeMap::from([(IO_URING_SETUP, Vec::new())]);
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, std::env::consts::ARCH.try_into()?)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}
