//! The servers that all tests of a process share, each started by who needs it first. Tests keep out of each other's
//! way by accounts and databases of their own.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;
use std::thread;

use super::{Installation, Options, Server};
use crate::failure::Result;
use crate::obtain;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The distribution's MariaDB. It has no performance schema.
    Distribution,
    /// The newer MariaDB.
    Newer,
    /// MySQL, where it could be obtained.
    MySql,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Distribution, Self::Newer, Self::MySql];

    /// Where it is installed; `None` if it could not be obtained.
    pub fn installation(self) -> Result<Option<Installation>> {
        match self {
            Self::Distribution => Installation::of_distribution().map(Some),
            Self::Newer => Installation::newer().map(Some),
            Self::MySql => Installation::mysql(),
        }
    }

    /// A server of its own for a test, with these options; `None`, noted, if it could not be obtained.
    pub fn start(self, options: &Options) -> Result<Option<Server>> {
        let Some(installation) = self.installed()? else {
            not_run("MySQL");
            return Ok(None);
        };
        Server::start(installation, options).map(Some)
    }

    /// The installation, found once in each process.
    fn installed(self) -> Result<Option<&'static Installation>> {
        static FOUND: [OnceLock<Result<Option<Installation>>>; 3] = [const { OnceLock::new() }; 3];
        match FOUND[self as usize].get_or_init(|| self.installation()) {
            Ok(found) => Ok(found.as_ref()),
            Err(failure) => Err(crate::failure::Failure::new(failure.to_string())),
        }
    }
}

/// The shared server, which offers TLS with a certificate of the tests' authority; `None` if it could not be obtained,
/// which is noted: the test that asked for it has not run in full.
///
/// # Panics
/// If it is there and does not start.
pub fn shared(which: Which) -> Option<&'static Server> {
    static SHARED: [OnceLock<Option<Server>>; 3] = [const { OnceLock::new() }; 3];
    let server = SHARED[which as usize].get_or_init(|| {
        let options = Options { performance_schema: which != Which::Distribution, ..Options::with_tls() };
        let started = which
            .installed()
            .and_then(|found| found.map(|installation| Server::start(installation, &options)).transpose());
        started.unwrap_or_else(|failure| panic!("cannot start {which:?}: {failure}"))
    });
    if server.is_none() {
        not_run("MySQL");
    }
    server.as_ref()
}

/// Notes that the test that calls this lacks something optional, for `cargo suite` to say in the end.
pub fn not_run(lacks: &str) {
    // The harness names its threads as the tests.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let file = OpenOptions::new().append(true).create(true).open(obtain::not_run_notes());
    // Who cannot write a note prints it, which the harness shows with a failure or `--nocapture`.
    if file.and_then(|mut file| writeln!(file, "{test}: no {lacks}")).is_err() {
        crate::say::say(format!("{test}: not run, no {lacks}"));
    }
}
