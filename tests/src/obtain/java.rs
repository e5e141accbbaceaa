//! MySQL Connector/J and MariaDB Connector/J from Maven, and our program that drives them, compiled.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::Result;

/// The plugin that fetches: what Debian 12's Maven can load.
const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "java",
        title: "the JDBC drivers of MySQL and MariaDB (Maven)",
        inputs: &["java/pom.xml", "java/Session.java"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    let sources = drivers().join("java");
    let repository = directory.join("repository");
    fetch_with(
        Command::new("mvn")
            .args(["--batch-mode", "--quiet", PLUGIN, "--file"])
            .arg(sources.join("pom.xml"))
            .arg(option("maven.repo.local", &repository))
            .arg(option("outputDirectory", &directory.join("jars"))),
    )?;
    // Maven's own plugins are most of it, and no test needs them.
    std::fs::remove_dir_all(&repository).map_err(|error| {
        crate::failure::Failure::new(format!("cannot remove Maven's repository: {error}"))
    })?;
    fetch_with(
        Command::new("javac")
            .arg("-cp")
            .arg(directory.join("jars/*"))
            .arg("-d")
            .arg(directory.join("classes"))
            .arg(sources.join("Session.java")),
    )
}

/// A definition for Maven's command line.
fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(format!("-D{name}="));
    option.push(path);
    option
}

/// The class path of the program `Session`.
pub fn classpath() -> Result<OsString> {
    let mut path = obtained_file(&bundle(), "classes")?.into_os_string();
    path.push(":");
    path.push(obtained_file(&bundle(), "jars")?.join("*"));
    Ok(path)
}
