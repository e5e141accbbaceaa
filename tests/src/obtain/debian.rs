//! Packages of the distribution: Debian, Ubuntu, and what is made of them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Doing, Failure, Result};
use crate::say::say;

/// Where the distribution installs PostgreSQL: one directory for each major version.
const POSTGRES_HOME: &str = "/usr/lib/postgresql";

/// The programs of a server that we need.
const POSTGRES_PROGRAMS: [&str; 4] = ["initdb", "postgres", "psql", "pgbench"];

/// The `bin` directory of the newest complete PostgreSQL of the distribution.
pub(super) fn newest_postgres() -> Option<PathBuf> {
    let homes = fs::read_dir(POSTGRES_HOME).ok()?.flatten();
    let majors = homes.filter_map(|home| {
        let major: u32 = home.file_name().to_str()?.parse().ok()?;
        let programs = home.path().join("bin");
        POSTGRES_PROGRAMS.iter().all(|program| programs.join(program).exists()).then_some((major, programs))
    });
    majors.max().map(|(_, programs)| programs)
}

/// Where a program lies. Administrators' directories are not on every user's path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Whether the distribution's nginx has its module for streams, which is a package of its own.
pub(super) fn has_nginx_streams() -> bool {
    Path::new("/etc/nginx/modules-enabled/50-mod-stream.conf").exists()
}

/// Whether `program` can be run with these arguments.
pub(super) fn answers(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Installs `packages`, or says the one command that does.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !answers("apt-get", &["--version"]) {
        return Err(Failure::new(format!(
            "These packages are missing: {list}. On Debian and Ubuntu this installs them:\n\n    \
             sudo apt-get update && sudo apt-get install --yes --no-install-recommends {list}\n"
        )));
    }
    say(format!("Installing packages of the distribution: {list} …"));
    apt_get(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .doing("run apt-get")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`apt-get {}` failed ({status})", arguments.join(" "))))
}
