//! What is not queries in open sessions of MySQL: many bytes in one session, and many sessions.
//!
//! The stretch begins before the client is started and ends with it.

use std::process::Command;
use std::time::Duration;

use ::tests::failure::{Failure, Result};
use ::tests::mysql::{Client, Tool};
use ::tests::process::{Process, User};
use rustix::process::Signal;

use super::Mark;
use crate::mysql::{MySql, Packets, SINK};
use crate::options::Options;
use crate::sample::Sample;
use crate::scenarios::Direction;
use crate::stage::{Stage, Way};

/// A row: this many letters and the end of the line.
const ROW: usize = 1000;

/// What part of the bulk goes as rows: MariaDB makes and takes some 200 MB a second.
const SHARE: u64 = 4;

/// The unit of a rate.
const GB: f64 = 1e9;

/// How many sessions stand for a second: about what goes through a proxy.
const SESSIONS_A_SECOND: u64 = 4000;

/// The same where the client speaks TLS to the server itself.
const TLS_SESSIONS_A_SECOND: u64 = 400;

/// About how long it takes to move rows.
pub(super) fn duration_of_rows(options: &Options) -> Duration {
    Duration::from_millis(options.bulk_bytes() / SHARE / 150_000)
}

/// Rows from MariaDB, or to it, where they are dropped.
pub(super) fn rows(way: &Way, direction: Direction, options: &Options) -> Result<Sample> {
    let rows = options.bulk_bytes() / SHARE / ROW as u64;
    let bytes = rows * ROW as u64;
    // The client has no option for where its output goes.
    let (script, order) = match direction {
        Direction::Download => (
            "exec \"$@\" >/dev/null".to_owned(),
            format!("SELECT REPEAT('x', {}) FROM seq_1_to_{rows}", ROW - 1),
        ),
        Direction::Upload => (
            format!("yes {} | head -c {bytes} | \"$@\"", "x".repeat(ROW - 1)),
            format!("LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE {SINK}"),
        ),
    };
    let client = Client::new(&way.endpoint())?.with(&[
        "--batch",
        "--quick",
        "--raw",
        "--skip-column-names",
        "--local-infile=1",
    ]);
    let client = client.command(Tool::Shell);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(client.get_program()).args(client.get_args());
    shell.arg(format!("--execute={order}"));
    let begin = Mark::now(way)?;
    finish("mariadb", &shell)?;
    let stretch = begin.until(&Mark::now(way)?, way)?;
    Ok(stretch.sample(bytes as f64 / GB / stretch.elapsed_s))
}

/// Commands to the stub; without a watch, as if they were compressed.
pub(super) fn commands(way: &Way, len: usize, watched: bool, options: &Options) -> Result<Sample> {
    let mut session = Packets::open(&way.listen, &way.database, !watched)?;
    let begin = Mark::now(way)?;
    let bytes = session.upload(options.bulk_bytes(), len)?;
    let stretch = begin.until(&Mark::now(way)?, way)?;
    Ok(stretch.sample(bytes as f64 / GB / stretch.elapsed_s))
}

/// A session for each query.
pub(super) fn logins(stage: &Stage, way: &Way, clients: u16, options: &Options) -> Result<Sample> {
    let a_second = if way.tls { TLS_SESSIONS_A_SECOND } else { SESSIONS_A_SECOND };
    let sessions = options.seconds() * a_second;
    let mut slap = Client::new(&way.endpoint())?.command(Tool::Slap);
    if way.tls {
        // Without it the client would read all of the system's authorities, each time.
        slap.arg(format!("--ssl-ca={}", stage.targets().authority.display()));
    }
    slap.args(["--detach=1", "--no-drop", "--query=SELECT 1"])
        .arg(format!("--create-schema={}", way.database))
        .arg(format!("--concurrency={clients}"))
        .arg(format!("--number-of-queries={sessions}"));
    let taken = || stage.mysql().map_or(Ok(0), MySql::connections);
    let before = taken()?;
    let begin = Mark::now(way)?;
    finish("mariadb-slap", &slap)?;
    let stretch = begin.until(&Mark::now(way)?, way)?;
    let connections = taken()? - before;
    if connections < sessions {
        return Err(Failure::new(format!("mariadb-slap made {connections} sessions and not {sessions}")));
    }
    Ok(stretch.sample(sessions as f64 / stretch.elapsed_s))
}

/// Runs a client to its end.
fn finish(name: &str, command: &Command) -> Result<()> {
    let process = Process::start(name, command, &User::Same, Signal::TERM)?;
    let status = process.wait()?;
    // A shell does not say how a program at the front of its pipe has ended.
    if status.success() && process.stderr().is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{name} failed ({status}):\n{}", process.said())))
}
