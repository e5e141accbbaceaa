//! A question to a person whose answer is not shown.
//!
//! Owns the terminal's settings while it asks, and puts them back. Knows nothing of what the answer is for.

use std::fmt;
use std::io::{self, Read, Stdin};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::os_words::words;
use crate::terminal;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The person gave up: Ctrl-C, or an end without a line.
    GivenUp,
    /// The line has as many bytes as a terminal keeps: what came behind them is lost.
    TooLong,
    /// The terminal does not work.
    Terminal(io::Error),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GivenUp => f.write_str("given up: nothing was changed"),
            Self::TooLong => {
                f.write_str("a terminal does not take so long a line: put the value into a pipe or a file")
            }
            Self::Terminal(error) => write!(f, "the terminal: {}", words(error)),
        }
    }
}

/// Asks on stderr, and reads one line from the terminal `stdin` without an echo.
pub(crate) fn ask(stdin: &Stdin, question: &str) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
    let terminal_fails = |error: rustix::io::Errno| NoAnswer::Terminal(error.into());
    let before = tcgetattr(stdin).map_err(terminal_fails)?;
    let mut silent = before.clone();
    // A signal would end us with the echo off. So Ctrl-C is a character here, one that ends the line; Ctrl-Z and Ctrl-\
    // are characters, too.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    // What was typed before the question was not meant for it, and was shown.
    tcsetattr(stdin, OptionalActions::Flush, &silent).map_err(terminal_fails)?;
    let _restore = Restore { stdin, before };
    terminal::err(question);
    let answer = read_line(stdin);
    if matches!(answer, Err(NoAnswer::GivenUp)) {
        terminal::err("\n");
    }
    answer
}

fn read_line(stdin: &Stdin) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
    // Past the buffer of std's stdin, which nobody wipes.
    let unbuffered = stdin.as_fd().try_clone_to_owned().map_err(NoAnswer::Terminal)?;
    let mut unbuffered = std::fs::File::from(unbuffered);
    let mut line = Zeroizing::new(vec![0; LINE_BYTES_MAX]);
    // A terminal gives one line in one piece.
    let bytes = unbuffered.read(&mut line).map_err(NoAnswer::Terminal)?;
    line.truncate(bytes);
    match line.last() {
        Some(b'\n') => {
            line.pop();
            // The kernel keeps this many and the newline, and drops the rest without a word.
            if line.len() >= LINE_BYTES_MAX - 1 { Err(NoAnswer::TooLong) } else { Ok(line) }
        }
        // An end of file behind some characters ends the line, as everywhere.
        Some(last) if *last != CTRL_C => Ok(line),
        _ => Err(NoAnswer::GivenUp),
    }
}

struct Restore<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(self.stdin, OptionalActions::Now, &self.before);
    }
}

const CTRL_C: u8 = 3;

/// `N_TTY_BUF_SIZE` of the kernel: a line has at most one byte less, and its newline: termios(3), "Canonical and
/// noncanonical mode".
const LINE_BYTES_MAX: usize = 4096;
