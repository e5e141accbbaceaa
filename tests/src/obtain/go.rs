//! pgx, lib/pq and go-sql-driver/mysql, compiled into one program.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::Result;

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "go",
        title: "pgx, lib/pq and go-sql-driver (Go modules)",
        inputs: &["go/go.mod", "go/go.sum", "go/main.go", "go/mysql.go"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    fetch_with(
        Command::new("go")
            .args(["build", "-mod=readonly", "-o"])
            .arg(directory.join("session"))
            .arg(".")
            .env("CGO_ENABLED", "0")
            .current_dir(drivers().join("go")),
    )
}

/// The program that drives them.
pub fn driver() -> Result<PathBuf> {
    obtained_file(&bundle(), "session")
}
