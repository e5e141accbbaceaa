//! The log: lines for people on a terminal, JSON for machines.
//!
//! Owns the format and the destination, stderr. Whoever writes a line answers for what is in it: never a value of a
//! credential. Nobody waits for whoever reads the log: lines go through a thread, and those that a reader does not
//! take in time are lost.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt;

use crate::cli::LogFormat;

/// Lines that wait for a reader: a few megabytes.
const LINES_MAX: usize = 16 * 1024;

/// Sends the log of this process to stderr from now on. Dropping what it gives waits a moment for the last lines.
pub(crate) fn start(format: LogFormat, debug: bool) -> WorkerGuard {
    let level = if debug { Level::DEBUG } else { Level::INFO };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    let builder = fmt().with_max_level(level).with_target(false).with_writer(writer);
    // A second start, in one process, is a test's: the first one's log serves.
    let _ = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        LogFormat::Human => {
            tracing::subscriber::set_global_default(builder.with_ansi(io::stderr().is_terminal()).finish())
        }
    };
    guard
}
