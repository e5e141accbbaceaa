//! Who servers run as when we are root, which they refuse to be.

use std::path::Path;
use std::process::Command;

use crate::failure::Result;
use crate::process::{self, User};

/// The user of the system that a server runs as: `preferred` if there is one of that name.
pub fn user(preferred: &str) -> User {
    if !rustix::process::geteuid().is_root() {
        return User::Same;
    }
    let exists = Command::new("id").arg(preferred).output().is_ok_and(|output| output.status.success());
    User::Named(if exists { preferred } else { "nobody" }.to_owned())
}

/// Gives `path`, and what lies under it, to `user`.
pub fn give(path: &Path, user: &User) -> Result<()> {
    let User::Named(name) = user else { return Ok(()) };
    process::run(Command::new("chown").arg("-R").arg(name).arg(path))?.succeeded()?;
    Ok(())
}
