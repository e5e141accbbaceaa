//! The terminal: the only place that writes to stdout and stderr as the program's own words.
//!
//! Owns colour and what happens when nobody reads. Knows nothing of what is written.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::diagnostics::{Report, Style};

/// Writes `text` to stdout, for what was asked for: a version, a help page, a verdict.
pub fn out(text: &str) {
    // A reader that went away (`| head`) is no failure of ours.
    drop(io::stdout().lock().write_all(text.as_bytes()));
}

/// Writes a secret that was asked for to stdout, byte for byte; a person gets a newline behind it. Whoever asked must
/// know if it did not get there.
pub(crate) fn out_secret(secret: &[u8]) -> io::Result<()> {
    // Past the buffer of std's stdout, which nobody wipes.
    let mut stdout = &std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(secret)?;
    if io::stdout().is_terminal() { stdout.write_all(b"\n") } else { Ok(()) }
}

/// Writes `text` to stderr, for everything else.
pub fn err(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Writes every finding of `report` to stderr, in colour if that is a terminal that wants it.
pub fn report(report: &Report) {
    let style = if stderr_wants_colour() { Style::Colour } else { Style::Plain };
    err(&report.render(style));
}

/// <https://no-color.org>: set and not empty means no.
fn stderr_wants_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !unwanted && !dumb
}
