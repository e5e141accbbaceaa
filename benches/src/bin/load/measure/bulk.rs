//! Many bytes in one session: rows of COPY with PostgreSQL, or a stream of no protocol with the stub.
//!
//! The stretch begins before the client connects and ends when all has arrived. What logging in costs is a
//! thousandth of it.

use std::process::Command;
use std::time::Duration;

use ::tests::failure::{Doing, Failure, Result};
use ::tests::process::{Process, User};
use rustix::process::Signal;

use super::Mark;
use crate::options::Options;
use crate::sample::Sample;
use crate::scenarios::Direction;
use crate::session::Session;
use crate::stage::{SINK, Stage, Way};

/// A row of COPY: this many letters and the end of the line.
const ROW: usize = 1000;

/// The unit of a rate.
const GB: f64 = 1e9;

/// About how long one measurement takes: PostgreSQL makes and takes some 400 MB a second.
pub(super) fn duration(options: &Options) -> Duration {
    Duration::from_millis(options.bulk_bytes() / 400_000)
}

/// Streams with the stub.
pub(super) fn stream(way: &Way, direction: Direction, options: &Options) -> Result<Sample> {
    let bytes = options.bulk_bytes();
    let mut session = Session::open(&way.listen, &way.user, &way.database).doing("log in to the stub")?;
    let begin = Mark::now(way)?;
    session.stream(direction, bytes).doing("stream with the stub")?;
    finish(&begin, bytes, way)
}

/// Copies with PostgreSQL, by psql.
pub(super) fn copy(stage: &Stage, way: &Way, direction: Direction, options: &Options) -> Result<Sample> {
    let rows = options.bulk_bytes() / ROW as u64;
    let bytes = rows * ROW as u64;
    let order = match direction {
        Direction::Download => {
            format!("COPY (SELECT repeat('x', {}) FROM generate_series(1, {rows})) TO STDOUT", ROW - 1)
        }
        // Rows that no condition lets in are read and dropped.
        Direction::Upload => {
            let row = "x".repeat(ROW - 1);
            format!("\\copy {SINK} FROM PROGRAM 'yes {row} | head -c {bytes}' WHERE false")
        }
    };
    let mut psql = Command::new(stage.program("psql"));
    way.tell_libpq(&mut psql);
    psql.args(["--no-psqlrc", "--no-password", "--quiet", "--output=/dev/null", "--command", &order]);
    let begin = Mark::now(way)?;
    let process = Process::start("psql", &psql, &User::Same, Signal::TERM)?;
    let status = process.wait()?;
    if !status.success() {
        return Err(Failure::new(format!("psql failed ({status}):\n{}", process.said())));
    }
    finish(&begin, bytes, way)
}

fn finish(begin: &Mark, bytes: u64, way: &Way) -> Result<Sample> {
    let stretch = begin.until(&Mark::now(way)?, way)?;
    Ok(stretch.sample(bytes as f64 / GB / stretch.elapsed_s))
}
