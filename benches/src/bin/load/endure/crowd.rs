//! A crowd: a process of its own whose clients connect and then say nothing, until it is stopped.
//!
//! A process, because sessions take descriptors at both of their ends, and a process has no more than the broker. Knows
//! nothing of what is measured meanwhile.

use std::env;
use std::io::{self, Write};
use std::process::Command;
use std::thread;

use ::tests::broker::Listen;
use ::tests::failure::{Doing, Failure, Result};
use ::tests::process::{Process, User};
use clap::{Args, ValueEnum};
use rustix::process::Signal;

use crate::session::Session;

/// What a crowd is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Crowd {
    /// Where it connects: tcp://127.0.0.1:PORT or unix:///PATH
    #[arg(value_parser = door)]
    listen: Listen,
    /// How many clients it has
    count: u32,
    /// How far they go
    #[arg(value_enum)]
    until: Until,
}

/// How far the clients of a crowd go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// They say who they are.
    Startup,
    /// They have had a query answered.
    Answer,
}

/// A running crowd. Dropping it closes its connections.
pub(crate) struct Gathered {
    processes: Vec<Process>,
}

/// What a crowd says when all have come as far as they were told to.
const HOLDING: &str = "holding";

/// How many processes a crowd is spread over.
const PROCESSES: u32 = 2;

impl Crowd {
    /// Connects, and holds on.
    pub(crate) fn run(self) -> Result<()> {
        let open = |_| match self.until {
            Until::Startup => Session::begin(&self.listen, "anybody", "any"),
            Until::Answer => {
                let mut session = Session::open(&self.listen, "anybody", "any")?;
                session.say_something()?;
                Ok(session)
            }
        };
        let held: io::Result<Vec<Session>> = (0..self.count).map(open).collect();
        let held = held.doing("hold connections")?;
        writeln!(io::stdout(), "{HOLDING} {}", held.len()).doing("say so")?;
        loop {
            thread::park();
        }
    }
}

impl Gathered {
    /// Has `count` clients connect to `listen`, and waits until all have come as far as they are to go.
    pub(crate) fn gather(listen: &Listen, count: u32, until: Until) -> Result<Self> {
        let word = match until {
            Until::Startup => "startup",
            Until::Answer => "answer",
        };
        let start = |number| {
            let share = share(count, PROCESSES, number);
            again(&["crowd", &listen.url(), &share.to_string(), word], "a crowd of clients")
        };
        let processes: Vec<Process> = (0..PROCESSES).map(start).collect::<Result<_>>()?;
        for process in &processes {
            process.wait_for_words("that it holds its connections", |said| said.contains(HOLDING))?;
        }
        Ok(Self { processes })
    }

    /// Closes all its connections.
    pub(crate) fn leave(self) -> Result<()> {
        self.processes.iter().try_for_each(|process| process.stop().map(drop))
    }
}

/// Runs this program again, as something else.
pub(crate) fn again(arguments: &[&str], name: &str) -> Result<Process> {
    let ours = env::current_exe().doing("find our own program")?;
    let mut command = Command::new(ours);
    command.args(arguments);
    Process::start(name, &command, &User::Same, Signal::TERM)
}

/// What number `number` of `parts` has of `whole`.
pub(crate) fn share(whole: u32, parts: u32, number: u32) -> u32 {
    whole / parts + u32::from(number < whole % parts)
}

/// Where to connect, as `listenOn` spells it.
pub(crate) fn door(text: &str) -> std::result::Result<Listen, Failure> {
    let port = text.strip_prefix("tcp://127.0.0.1:").and_then(|port| port.parse().ok());
    let path = text.strip_prefix("unix://").map(|path| Listen::Unix(path.into()));
    port.map(Listen::Tcp).or(path).ok_or_else(|| Failure::new("neither a port of 127.0.0.1 nor a path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_to_connect() {
        for listen in [Listen::Tcp(5432), Listen::Unix("/run/s".into())] {
            assert_eq!(door(&listen.url()).expect("it is what we write"), listen);
        }
        assert!(door("tcp://10.0.0.1:5432").is_err());
    }

    #[test]
    fn shares_add_up() {
        assert_eq!([0, 1, 2].map(|number| share(11, 3, number)), [4, 4, 3]);
    }
}
