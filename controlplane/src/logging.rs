//! The log: lines for people on a terminal, JSON for machines.
//!
//! Owns the format and the destination, stderr. Whoever writes a line answers for what is in it: never a value of a
//! credential.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::fmt;

use crate::cli::LogFormat;

/// Sends the log of this process to stderr from now on.
pub(crate) fn start(format: LogFormat, debug: bool) {
    let level = if debug { Level::DEBUG } else { Level::INFO };
    let builder = fmt().with_max_level(level).with_target(false).with_writer(io::stderr);
    // A second start, in one process, is a test's: the first one's log serves.
    let _ = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        LogFormat::Human => {
            tracing::subscriber::set_global_default(builder.with_ansi(io::stderr().is_terminal()).finish())
        }
    };
}
