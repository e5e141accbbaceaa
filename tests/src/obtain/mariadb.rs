//! MariaDB: the distribution's own packages, and a newer server and clients, unpacked beside them.

use std::path::Path;

use super::release::{Unpacked, unpack};
use super::{Bundle, obtained_file, program};
use crate::failure::{Failure, Result};

/// The distribution's packages and a program that shows that each is there.
const PACKAGES: [(&str, &str); 3] =
    [("mariadb-server", "mariadbd"), ("mariadb-client", "mariadb-dump"), ("sysbench", "sysbench")];

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "mariadb",
        title: "a newer MariaDB (Debian 13)",
        inputs: &["debian/mariadb.txt"],
        optional: false,
        fetch: |directory: &Path| unpack("trixie", "debian/mariadb.txt", directory),
    }
}

pub(super) fn missing_packages() -> Vec<&'static str> {
    let missing = PACKAGES.iter().filter(|(_, shown_by)| program(shown_by).is_none());
    missing.map(|(package, _)| *package).collect()
}

/// Fails unless the distribution's MariaDB is there.
pub fn check() -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new("MariaDB is not there yet: `cargo suite` obtains it, then runs the tests"))
}

/// The newer MariaDB: server, plugins, clients.
pub fn newer() -> Result<Unpacked> {
    Ok(Unpacked { root: obtained_file(&bundle(), "")? })
}
