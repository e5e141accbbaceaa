//! The tests that PyMySQL and aiomysql have of their own, run against any endpoint, outcome by outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::{Endpoint, Server};
use crate::broker::Listen;
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Finished};
use crate::psql::clean;
use crate::{obtain, places};

/// Whose tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// PyMySQL's.
    PyMySql,
    /// aiomysql's.
    AioMySql,
}

/// aiomysql's tests of its layer for SQLAlchemy, of which they want a version that is long gone.
const WITH_SQLALCHEMY: [&str; 3] = ["tests/sa", "tests/test_async_iter.py", "tests/test_async_with.py"];

/// What became of each test: `PASSED`, `FAILED`, `SKIPPED`, `ERROR`, `XFAIL`.
pub type Outcomes = BTreeMap<String, String>;

/// How to run as a user who may do everything, which these suites expect. No other test should use the same server.
pub fn administrator(server: &Server) -> Result<Endpoint> {
    let account = server.user(super::Plugin::usual(server.kind()))?;
    server.sql(&format!(
        "GRANT ALL ON *.* TO {}@'%' WITH GRANT OPTION;\nCREATE DATABASE test1;\nCREATE DATABASE test2;",
        account.name
    ))?;
    Ok(server.endpoint(&account))
}

impl Suite {
    /// Runs all of its tests.
    pub fn run(self, endpoint: &Endpoint) -> Result<Outcomes> {
        let source = match self {
            Self::PyMySql => obtain::pymysql_suite()?,
            Self::AioMySql => obtain::aiomysql_suite()?,
        };
        // It may write beside its tests, and another run may be under way.
        let copy = places::fresh("suite")?;
        process::run(Command::new("cp").arg("-a").arg(source.join(".")).arg(&copy))?.succeeded()?;
        let mut pytest = Command::new(obtain::suites_python()?);
        clean(&mut pytest)
            .args(["-B", "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "--color=no"])
            .env("COLUMNS", "500")
            .env("TMPDIR", &copy)
            .env("MYSQL_USER", &endpoint.user)
            .env("MYSQL_ROOT_PASSWORD", endpoint.password.as_deref().unwrap_or_default())
            .current_dir(&copy);
        match self {
            Self::PyMySql => {
                let databases = format!("[{}, {}]", entry(endpoint, "test1"), entry(endpoint, "test2"));
                fs::write(copy.join("pymysql/tests/databases.json"), databases)
                    .doing("write databases.json")?;
                pytest.arg("pymysql/tests");
            }
            Self::AioMySql => {
                pytest.args(["tests", "-k", "not uvloop"]);
                pytest.args(WITH_SQLALCHEMY.map(|path| format!("--ignore={path}")));
                match &endpoint.listen {
                    Listen::Tcp(port) => pytest.arg(format!("--mysql-address=db=127.0.0.1:{port}")),
                    Listen::Unix(path) => pytest.arg(format!("--mysql-unix-socket=db={}", path.display())),
                };
            }
        }
        outcomes(&process::run(&mut pytest)?)
    }
}

/// The tests that ended otherwise in `other`: one line for each.
pub fn differences(outcomes: &Outcomes, other: &Outcomes) -> Vec<String> {
    let tests: BTreeSet<&String> = outcomes.keys().chain(other.keys()).collect();
    let end = |of: &Outcomes, test: &String| of.get(test).map_or("was not run", String::as_str).to_owned();
    let ends = tests.into_iter().map(|test| (test, end(outcomes, test), end(other, test)));
    ends.filter(|(_, one, two)| one != two).map(|(test, one, two)| format!("{test}: {one}, {two}")).collect()
}

/// One database of PyMySQL's list.
fn entry(endpoint: &Endpoint, database: &str) -> String {
    let place = match &endpoint.listen {
        Listen::Tcp(port) => format!(r#""host": "127.0.0.1", "port": {port}"#),
        Listen::Unix(path) => format!(r#""host": "localhost", "unix_socket": "{}""#, path.display()),
    };
    let (user, password) = (&endpoint.user, endpoint.password.as_deref().unwrap_or_default());
    format!(
        r#"{{{place}, "user": "{user}", "password": "{password}", "database": "{database}", "use_unicode": true, "local_infile": true}}"#
    )
}

/// Reads the lines of `pytest -v`: `tests/test_basic.py::test_null[db-asyncio] PASSED [ 12%]`.
fn outcomes(finished: &Finished) -> Result<Outcomes> {
    let lines = finished.stdout.lines().filter(|line| line.contains("::") && line.ends_with("%]"));
    let outcomes: Outcomes = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (test, outcome) = (words.next()?, words.next()?);
            Some((test.to_owned(), outcome.to_owned()))
        })
        .collect();
    // 1 says that some have failed, which is for the caller to judge.
    match finished.status.code() {
        Some(0 | 1) if !outcomes.is_empty() => Ok(outcomes),
        _ => Err(Failure::new(format!("pytest did not run its tests: {finished}"))),
    }
}
