//! Where things lie: the repository, what was obtained, and this run's own directory.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::failure::{Doing, Result};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// What was obtained from package registries: outlives runs, ignored by git.
pub fn obtained() -> PathBuf {
    repository().join(".obtained")
}

/// Every run's directory starts with this, under the system's directory for temporary files. Not under the
/// repository: an unprivileged server must get in, and a Unix socket's path is short.
const RUN_PREFIX: &str = "secretless-tests-";

/// A fresh directory of this run that anybody may pass through and only we may write to.
pub fn fresh(label: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = run()?.join(format!("{number}-{label}"));
    fs::DirBuilder::new().mode(0o711).create(&path).doing(format_args!("create {}", path.display()))?;
    Ok(path)
}

/// This process's directory, made at first use. It is swept by a later run, for a process cannot clean up
/// behind itself when it is killed.
fn run() -> Result<PathBuf> {
    static RUN: OnceLock<io::Result<PathBuf>> = OnceLock::new();
    let made = RUN.get_or_init(|| {
        raise_descriptor_limit();
        sweep();
        let path = std::env::temp_dir().join(format!("{RUN_PREFIX}{}", std::process::id()));
        fs::DirBuilder::new().mode(0o711).create(&path)?;
        Ok(path)
    });
    match made {
        Ok(path) => Ok(path.clone()),
        Err(error) => {
            Err(io::Error::new(error.kind(), error.to_string())).doing("create this run's directory")
        }
    }
}

/// A thousand sessions take a thousand descriptors of ours, and shells allow about as many.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, whoever runs out says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Removes this process's directory, once nothing in it is used any more.
pub fn remove_run() {
    if let Ok(path) = run() {
        // If it fails, it is swept by a later run.
        let _ = fs::remove_dir_all(path);
    }
}

/// Removes the directories of runs that have ended.
pub fn sweep() {
    let ours = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(RUN_PREFIX)) else { continue };
        let alive = Path::new("/proc").join(pid).exists();
        if !alive && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == ours) {
            // Somebody else may be sweeping too; what remains is swept next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
