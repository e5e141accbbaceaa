//! MySQL Router, for the load bench. Only Debian's unstable release has it: it is optional, as MySQL itself is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::release::{Unpacked, unpack};
use super::{Bundle, obtained_file};
use crate::failure::Result;

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "mysqlrouter",
        title: "MySQL Router (Debian's unstable release)",
        inputs: &["debian/mysqlrouter.txt"],
        optional: true,
        fetch: |directory: &Path| unpack("sid", "debian/mysqlrouter.txt", directory),
    }
}

/// A command that runs it, and where its plugins lie.
pub fn mysql_router() -> Result<(Command, PathBuf)> {
    let unpacked = Unpacked { root: obtained_file(&bundle(), "")? };
    let command = unpacked.command_by_path("usr/bin/mysqlrouter", "usr/lib/mysql-router");
    Ok((command, unpacked.root.join("usr/lib/mysqlrouter/plugin")))
}
