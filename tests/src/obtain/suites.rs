//! The tests that drivers have of their own: PyMySQL's from Debian's source package, aiomysql's from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::release::unpack_source;
use super::{Bundle, drivers, fetch_with, obtained_file};
use crate::failure::{Doing, Failure, Result};

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "suites",
        title: "the tests of PyMySQL (Debian 13, source) and aiomysql (PyPI)",
        inputs: &["suites/requirements.txt", "suites/aiomysql.txt"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    let environment = directory.join("environment");
    fetch_with(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let pip = environment.join("bin/pip");
    let requirements = |file: &str| drivers().join("suites").join(file);
    fetch_with(
        Command::new(&pip)
            .args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--requirement"])
            .arg(requirements("requirements.txt")),
    )?;
    // The source: a wheel has no tests.
    fetch_with(
        Command::new(&pip)
            .args(["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"])
            .arg(directory)
            .arg("--no-build-isolation")
            .arg("--requirement")
            .arg(requirements("aiomysql.txt")),
    )?;
    unpack_aiomysql(directory)?;
    let pymysql = directory.join("pymysql");
    fs::create_dir(&pymysql).doing("create a directory for PyMySQL's tests")?;
    unpack_source("trixie", "python-pymysql", &pymysql)
}

fn unpack_aiomysql(directory: &Path) -> Result<()> {
    let entries = fs::read_dir(directory).doing("list what pip fetched")?;
    let mut archives = entries.flatten().map(|entry| entry.path());
    let archive = archives.find(|path| path.extension().is_some_and(|extension| extension == "gz"));
    let archive = archive.ok_or_else(|| Failure::new("pip fetched no source of aiomysql"))?;
    let tests = directory.join("aiomysql");
    fs::create_dir(&tests).doing("create a directory for aiomysql's tests")?;
    let unpack = ["--extract", "--strip-components=1", "--file"];
    fetch_with(Command::new("tar").args(unpack).arg(archive).arg("--directory").arg(&tests))?;
    // It runs as the server's administrator, whose name it has in one place.
    let path = tests.join("tests/conftest.py");
    let text = fs::read_to_string(&path).doing("read aiomysql's conftest.py")?;
    let patched = text.replacen("'user': 'root'", "'user': os.environ['MYSQL_USER']", 1);
    if patched == text {
        return Err(Failure::new("aiomysql's conftest.py names its user elsewhere than it used to"));
    }
    fs::write(&path, patched).doing("write aiomysql's conftest.py")
}

/// The Python that runs them.
pub fn interpreter() -> Result<PathBuf> {
    obtained_file(&bundle(), "environment/bin/python")
}

/// PyMySQL's source, tests included.
pub fn pymysql() -> Result<PathBuf> {
    obtained_file(&bundle(), "pymysql")
}

/// aiomysql's source, tests included.
pub fn aiomysql() -> Result<PathBuf> {
    obtained_file(&bundle(), "aiomysql")
}
