//! The real broker, run as its users run it: a configuration file, a process, an admin address.

mod file;

pub use file::{DRIVER, File, Listen, Service, Value, mysql, pg};

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use rustix::process::Signal;

use crate::failure::{Doing, Failure, Result};
use crate::http::{self, Response};
use crate::process::{Process, User};
use crate::{places, wait};

/// A running broker. Dropping it asks it to stop, and waits.
pub struct Broker {
    process: Process,
    config: PathBuf,
    admin: SocketAddr,
}

impl Broker {
    /// Starts a broker with this file, and waits until it says that it is ready.
    pub fn start(file: &File) -> Result<Self> {
        let broker = Self::launch(file)?;
        broker.wait_until_ready()?;
        Ok(broker)
    }

    /// Starts a broker with this file. It may be anything but ready.
    pub fn launch(file: &File) -> Result<Self> {
        let config = file.write()?;
        Self::launch_with(&mut command(&config)?, file.admin(), config)
    }

    /// Starts a broker by a command of the caller's.
    pub fn launch_with(command: &mut Command, admin: SocketAddr, config: PathBuf) -> Result<Self> {
        let process = Process::start("the broker", command, &User::Same, Signal::TERM)?;
        Ok(Self { process, config, admin })
    }

    /// Waits until `/ready` says yes.
    pub fn wait_until_ready(&self) -> Result<()> {
        let mut last = String::from("no answer");
        let ready = wait::within(wait::GENEROUS, || {
            if let Some(status) = self.process.ended() {
                last = format!("it has ended: {status}");
                return Some(false);
            }
            let response = self.get("/ready").ok()?;
            let is_ready = response.status == 200;
            last = format!("{} {}", response.status, response.body);
            is_ready.then_some(true)
        });
        if ready == Some(true) {
            return Ok(());
        }
        Err(Failure::new(format!("the broker is not ready ({last}):\n{}", self.said())))
    }

    /// Asks the admin address.
    pub fn get(&self, path: &str) -> Result<Response> {
        http::get(self.admin, path)
    }

    /// The value of a metric: the sum over all series of `name` whose labels contain every word of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.get("/metrics")?.body;
        let series = text.lines().filter(|line| {
            let full = line.split([' ', '{']).next() == Some(name);
            full && labels.iter().all(|label| line.contains(label))
        });
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Where its configuration lies.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has said, both streams.
    pub fn said(&self) -> String {
        self.process.said()
    }

    /// Writes `file` over its configuration and asks it to read it again.
    pub fn reload(&self, file: &File) -> Result<()> {
        file.write_to(&self.config)?;
        self.process.signal(Signal::USR1);
        Ok(())
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.process.stop()
    }
}

/// A command that runs the broker with this configuration, from a directory of its own.
pub fn command(config: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("-f").arg(config).current_dir(places::fresh("cwd")?);
    Ok(command)
}

/// The broker's binary: the one that `TESTS_BROKER` names, else the one beside ours, built if it is not up to date.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let built = BINARY.get_or_init(|| match std::env::var_os("TESTS_BROKER") {
        Some(path) => Ok(path.into()),
        None => build("--quiet").map_err(|failure| failure.to_string()),
    });
    built.as_deref().map_err(|words| Failure::new(words.clone()))
}

/// Cargo knows the path of a binary only to the tests of its own package; so ask it, with the profile and the
/// target directory that we were built with.
///
/// `verbosity` is cargo's: with `--quiet` nothing is said unless it fails.
pub fn build(verbosity: &str) -> Result<PathBuf> {
    let ours = std::env::current_exe().doing("find our own program")?;
    let beside = ours.ancestors().skip(1).find(|path| !path.ends_with("deps")).unwrap_or(Path::new("."));
    let profile = beside.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let target = beside.parent().unwrap_or(Path::new("."));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", verbosity, "--workspace", "--bin", "secretless-broker", "--profile"])
        // The directory of the profile `dev` has a name of its own.
        .arg(if profile == "debug" { "dev" } else { profile })
        .arg("--target-dir")
        .arg(target)
        .current_dir(places::repository());
    // What cargo has to say, it says to whoever waits.
    if !cargo.status().doing("run cargo build")?.success() {
        return Err(Failure::new("the broker does not build"));
    }
    let binary = beside.join("secretless-broker");
    if fs::exists(&binary).unwrap_or(false) {
        Ok(binary)
    } else {
        Err(Failure::new(format!("cargo built no {}", binary.display())))
    }
}
