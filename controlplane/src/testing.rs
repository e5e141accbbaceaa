//! What the unit tests of this crate share: a directory of their own, a runtime, the seeds of fuzz targets.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::Secret;

use crate::providers::{Conflict, Written};

/// A fresh directory, removed with everything in it when dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("secretless-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the temporary directory is ours to write");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes `content` to a file of this name, in place.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("the temporary directory is ours to write");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `future` as the control plane would.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Every seed of a fuzz target, and everything that it begins with.
pub(crate) fn each_prefix_of_seeds(target: &str, mut play: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).expect("the target has seeds") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a seed");
        (0..=bytes.len()).for_each(|end| play(&bytes[..end]));
        seeds += 1;
    }
    assert!(seeds > 1);
}

/// What `of` finds wrong with an entry of these settings, a line each.
pub(crate) fn conflicts(entry: &[(&str, &str)], of: impl Fn(&Written<'_>) -> Vec<Conflict>) -> String {
    let values: Vec<_> =
        entry.iter().map(|(_, value)| Secret::from_heap(value.as_bytes().to_vec())).collect();
    let written = entry.iter().zip(&values).map(|((name, _), value)| (*name, vec![value])).collect();
    let all = of(&Written(written)).into_iter();
    let all = all.map(|Conflict { setting, words, help }| format!("{setting}: {words}; {help}"));
    all.collect::<Vec<_>>().join("\n")
}
