//! `refuse CALL ERROR COMMAND…`: runs a command whose kernel refuses a system call, with EPERM as Docker's seccomp profile does or
//! ENOSYS as podman's, or as a kernel that does not have it.
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

/// System calls since Linux 5.1 have one number everywhere.
const CALLS: [(&str, i64); 2] = [("io_uring_setup", 425), ("memfd_secret", 447)];

fn main() -> ExitCode {
    let Err(failure) = run();
    say(failure.to_string());
    ExitCode::FAILURE
}

/// Comes back only if it fails.
fn run() -> Result<Infallible> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next().unwrap_or_default();
    let call = CALLS.iter().find(|(name, _)| word == *name);
    let (_, call) = call.ok_or_else(|| Failure::new("the first word is io_uring_setup or memfd_secret"))?;
    let error = match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("EPERM") => Errno::PERM,
        Some("ENOSYS") => Errno::NOSYS,
        _ => return Err(Failure::new("the second word is EPERM or ENOSYS")),
    };
    let program = arguments.next().ok_or_else(|| Failure::new("there is no command"))?;
    refuse(*call, error).map_err(|failure| Failure::new(format!("cannot filter system calls: {failure}")))?;
    Err(Command::new(program).args(arguments).exec()).doing("run the command")
}

fn refuse(call: i64, error: Errno) -> std::result::Result<(), seccompiler::Error> {
    let answer = SeccompAction::Errno(error.raw_os_error().unsigned_abs());
    let calls = BTreeMap::from([(call, Vec::new())]);
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, answer, std::env::consts::ARCH.try_into()?)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}
