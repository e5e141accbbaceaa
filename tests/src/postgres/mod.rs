//! Real PostgreSQL servers: installed ones, and the clusters that tests start of them.

mod cluster;
mod shared;

pub use cluster::{Cluster, Login, Options, unguessable};
pub use shared::{Major, plaintext, shared};

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Doing, Failure, Result};
use crate::process::{self, User};
use crate::{obtain, places, unprivileged};

/// The programs of one version of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Installation {
    programs: PathBuf,
    /// Which major version it is.
    pub major: u32,
}

impl Installation {
    /// The distribution's newest.
    pub fn of_distribution() -> Result<Self> {
        Self::at(obtain::postgres()?)
    }

    /// The newer one of npm, copied to where an unprivileged user may reach it.
    pub fn newer() -> Result<Self> {
        let copy = places::fresh("newer-postgres")?;
        let status = Command::new("cp").arg("-a").arg(obtain::newer_postgres()?).arg(&copy).status();
        if !status.doing("copy the newer PostgreSQL")?.success() {
            return Err(Failure::new("cannot copy the newer PostgreSQL"));
        }
        let programs = copy.join("native/bin");
        for program in ["initdb", "postgres"] {
            make_executable(&programs.join(program))?;
        }
        Self::at(programs)
    }

    fn at(programs: PathBuf) -> Result<Self> {
        let words = process::run(Command::new(programs.join("postgres")).arg("--version"))?.succeeded()?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let version = words.split_whitespace().nth(2).unwrap_or_default();
        let major = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let major =
            major.parse().map_err(|_| Failure::new(format!("cannot read the version in {words:?}")))?;
        Ok(Self { programs, major })
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Who servers run as: PostgreSQL refuses root.
fn server_user() -> User {
    unprivileged::user("postgres")
}

/// Gives `path` to the user that servers run as.
fn give_to_server(path: &Path) -> Result<()> {
    unprivileged::give(path, &server_user())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .doing(format_args!("make {} executable", path.display()))
}
