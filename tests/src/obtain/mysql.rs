//! MySQL 9, server and clients. Only Debian's unstable release has it, so a day may come when it cannot be had: it
//! is optional, and tests that need it say that they did not run.

use std::path::Path;

use super::release::{Unpacked, unpack};
use super::{Bundle, obtained_file};

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "mysql",
        title: "MySQL 9 (Debian's unstable release)",
        inputs: &["debian/mysql.txt"],
        optional: true,
        fetch: |directory: &Path| unpack("sid", "debian/mysql.txt", directory),
    }
}

/// MySQL, if it could be had.
pub fn mysql() -> Option<Unpacked> {
    Some(Unpacked { root: obtained_file(&bundle(), "").ok()? })
}
