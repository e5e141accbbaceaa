//! psql, as a client that knows no password and reads nobody's settings.

use std::path::PathBuf;
use std::process::Command;

use crate::broker::Listen;
use crate::failure::Result;
use crate::obtain;
use crate::postgres::Installation;
use crate::process::{self, Finished};

/// How to connect.
#[derive(Clone, Debug)]
pub struct Psql {
    program: PathBuf,
    host: String,
    port: String,
    /// The role that it asks for: through the broker it does not matter.
    pub user: String,
    /// The database that it asks for.
    pub database: String,
    /// More of a connection string: `name=value`, separated by spaces.
    pub options: String,
}

impl Psql {
    /// The distribution's psql, connecting to `listen`.
    pub fn to(listen: &Listen, database: &str) -> Result<Self> {
        let program = Installation::of_distribution()?.program("psql");
        let (host, port) = listen.host_and_port();
        Ok(Self {
            program,
            host,
            port,
            user: "nobody-in-particular".to_owned(),
            database: database.to_owned(),
            options: String::new(),
        })
    }

    /// The same with psql 18.
    pub fn newer(mut self) -> Result<Self> {
        self.program = obtain::newer_psql()?;
        Ok(self)
    }

    /// The same with more options of a connection string.
    #[must_use]
    pub fn with(mut self, options: &str) -> Self {
        self.options.push(' ');
        self.options.push_str(options);
        self
    }

    /// As another user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// The connection string.
    pub fn conninfo(&self) -> String {
        format!(
            "host={} port={} user={} dbname={} connect_timeout=100{}",
            self.host, self.port, self.user, self.database, self.options
        )
    }

    /// The command, without anything to run.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        clean(&mut command);
        command.args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align"]);
        command.args(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"]).arg(self.conninfo());
        command
    }

    /// Runs statements.
    pub fn run(&self, statements: &str) -> Result<Finished> {
        process::run_with_input(&mut self.command(), statements.as_bytes())
    }

    /// Runs statements that must succeed; gives their rows.
    pub fn query(&self, statements: &str) -> Result<String> {
        Ok(self.run(statements)?.succeeded()?.trim_end().to_owned())
    }

    /// Connects, which must fail; gives what psql says about it.
    ///
    /// # Panics
    /// If it does not fail.
    #[track_caller]
    pub fn refusal(&self) -> String {
        let finished = self.run("SELECT 'connected'");
        let finished = finished.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(!finished.status.success(), "psql connected: {finished}");
        finished.stderr
    }
}

/// Takes every setting of libpq, and everything else, out of a client's environment.
pub fn clean(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("PGPASSFILE", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
}
