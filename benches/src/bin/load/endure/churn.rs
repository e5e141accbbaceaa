//! Churn: a process of its own whose clients connect, do little, and go, one after the other on each thread.
//!
//! Owns how a short connection lives and how one dies in the middle. Knows nothing of what is measured meanwhile.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ::tests::broker::Listen;
use ::tests::failure::{Doing, Result};
use ::tests::process::Process;
use ::tests::wire::{VERSION_3_0, startup};
use clap::{Args, ValueEnum};

use super::crowd::{again, door};
use crate::session::{Breaking, Session};

/// What churn is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Churn {
    /// Where it connects: tcp://127.0.0.1:PORT or unix:///PATH
    #[arg(value_parser = door)]
    listen: Listen,
    /// How many connections it makes
    count: u32,
    /// What they do
    #[arg(value_enum)]
    life: Life,
    /// What chance begins with
    seed: u64,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Life {
    /// Logs in, has a query answered, says farewell.
    Whole,
    /// Vanishes at some byte of the handshake.
    Broken,
}

/// How many connections a process has at a time.
const THREADS: u64 = 4;

/// How many bytes of the answer a broken connection may still see. The answer is longer.
const ANSWER_SEEN: u64 = 120;

impl Churn {
    /// Makes the connections, and says how many failed.
    pub(crate) fn run(self) -> Result<()> {
        let (next, failed, first) = (AtomicU32::new(0), AtomicU32::new(0), Mutex::new(None));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let mut chance = Chance(self.seed * THREADS + thread);
                let (next, failed, first, churn) = (&next, &failed, &first, &self);
                scope.spawn(move || {
                    while next.fetch_add(1, Ordering::Relaxed) < churn.count {
                        if let Err(error) = churn.live(&mut chance) {
                            failed.fetch_add(1, Ordering::Relaxed);
                            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                });
            }
        });
        let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
        let why = first.map(|error| format!(": {error}")).unwrap_or_default();
        let failed = failed.into_inner();
        writeln!(io::stdout(), "{FAILED}{failed}{why}").doing("say what came of it")
    }

    fn live(&self, chance: &mut Chance) -> io::Result<()> {
        match self.life {
            Life::Whole => {
                let mut session = Session::open(&self.listen, USER, DATABASE)?;
                session.say_something()?;
                session.farewell()
            }
            Life::Broken => {
                let packet = startup(VERSION_3_0, &[("user", USER), ("database", DATABASE)]);
                let at = chance.below(packet.len() as u64 + ANSWER_SEEN + 1);
                let at = usize::try_from(at).unwrap_or_default();
                let sent = at.min(packet.len());
                let breaking =
                    Breaking { send: &packet[..sent], see: at - sent, resets: chance.below(2) == 0 };
                breaking.carry_out(&self.listen)
            }
        }
    }
}

const USER: &str = "anybody";
const DATABASE: &str = "any";

/// What stands before the number of those that failed.
const FAILED: &str = "failed ";

/// Starts churn.
pub(crate) fn start(listen: &Listen, count: u32, life: Life, seed: u64) -> Result<Process> {
    let word = match life {
        Life::Whole => "whole",
        Life::Broken => "broken",
    };
    again(&["churn", &listen.url(), &count.to_string(), word, &seed.to_string()], "short connections")
}

/// How many failed, and why the first did, from what a process of churn has said.
pub(crate) fn failures(said: &str) -> Option<(u32, &str)> {
    let words = said.lines().find_map(|line| line.strip_prefix(FAILED))?;
    let (count, why) = words.split_once(": ").unwrap_or((words, ""));
    Some((count.parse().ok()?, why))
}

/// Numbers that are the same in every run: splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_churn_says() {
        assert_eq!(failures("failed 0\n"), Some((0, "")));
        assert_eq!(failures("warning\nfailed 3: reset: by peer\n"), Some((3, "reset: by peer")));
        assert_eq!(failures("panicked"), None);
    }

    #[test]
    fn chance_reaches_every_byte() {
        let mut chance = Chance(1);
        let mut seen = [false; 8];
        for _ in 0..200 {
            seen[usize::try_from(chance.below(8)).expect("it is small")] = true;
        }
        assert_eq!(seen, [true; 8]);
    }
}
