//! Which file is read, and its bytes.
//!
//! Owns the search and the buffer, which is wiped: the file may hold literal secrets. Knows nothing of what the
//! text means.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Place;
use crate::diagnostics::{Finding, Report, Severity};

/// A file as it was read.
pub(super) struct SourceFile {
    /// Its text.
    pub(super) text: Zeroizing<String>,
    /// Whether others than its owner may read it.
    pub(super) is_shared: bool,
    /// What it was then.
    pub(super) state: FileState,
}

/// What tells a file from another one in its place, and from itself when it has been written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    len: u64,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            len: metadata.len(),
        }
    }

    /// What is at `path` now; `None` if that cannot be looked at.
    pub fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|metadata| Self::of(&metadata))
    }
}

/// Finds the file to read: `asked_for`, or else the first that exists of the usual ones.
pub(super) fn find(asked_for: Option<&Path>) -> Result<PathBuf, Report> {
    match asked_for {
        Some(path) => Ok(path.to_owned()),
        None => first_existing(&candidates(std::env::home_dir())),
    }
}

/// Reads `path` whole.
pub(super) fn read(path: &Path) -> Result<SourceFile, Report> {
    let (mut bytes, is_shared, state) = read_bytes(path).map_err(|error| {
        Report::of_error(
            Some(path),
            format!("error reading config file '{}': {error}", path.display()),
            match error.kind() {
                io::ErrorKind::NotFound => "check the path given with -f",
                io::ErrorKind::PermissionDenied => "make it readable for the user that runs the broker",
                _ => "it must be a file of YAML text",
            },
        )
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Report::of_error(
            Some(path),
            format!("the file has more than {} MiB", FILE_BYTES_MAX >> 20),
            "a configuration of 5,000 services has about 4 MiB: is this the right file?",
        ));
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(SourceFile { text: Zeroizing::new(text), is_shared, state }),
        Err(error) => {
            let valid_up_to = error.utf8_error().valid_up_to();
            let bytes = Zeroizing::new(error.into_bytes());
            let valid = std::str::from_utf8(&bytes[..valid_up_to]).unwrap_or_default();
            let mut report = Report::default();
            report.push(Finding {
                severity: Severity::Error,
                file: Some(path.to_owned()),
                place: Some(Place::of_offset(valid, valid.len())),
                key: String::new(),
                message: "expected UTF-8, found other bytes".to_owned(),
                help: "save the file as UTF-8".to_owned(),
            });
            Err(report)
        }
    }
}

fn candidates(home: Option<PathBuf>) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from("./secretless.yml")];
    paths.extend(home.map(|home| home.join(".secretless.yml")));
    paths.push(PathBuf::from("/etc/secretless.yml"));
    paths
}

/// One that cannot be looked at exists too: its error is the answer, not the next file.
fn first_existing(candidates: &[PathBuf]) -> Result<PathBuf, Report> {
    let missing = |path: &PathBuf| {
        path.symlink_metadata().is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        })
    };
    match candidates.iter().find(|path| !missing(path)) {
        Some(path) => Ok(path.clone()),
        None => {
            let list =
                candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            Err(Report::of_error(
                None,
                "Unable to locate any working configuration files",
                format!("name one with -f, or put it where it is looked for: {list}"),
            ))
        }
    }
}

/// Reads at most one byte more than [`FILE_BYTES_MAX`]. No copy of the bytes stays behind.
fn read_bytes(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, bool, FileState)> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let is_shared = metadata.is_file() && metadata.mode() & 0o044 != 0;
    let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(FILE_BYTES_MAX);
    let mut bytes = Zeroizing::new(vec![0; expected + 1]);
    let mut filled = 0;
    loop {
        if filled == bytes.len() {
            if filled > FILE_BYTES_MAX {
                break;
            }
            // A pipe does not know its length. Growing in place would leave the old bytes in freed memory.
            let mut larger = Zeroizing::new(vec![0; (filled * 2).clamp(4096, FILE_BYTES_MAX + 1)]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok((bytes, is_shared, FileState::of(&metadata)))
}

/// Four times the largest file known, of 5,120 services.
const FILE_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_beside_the_program_then_at_home_then_in_etc() {
        let home = Some(PathBuf::from("/users/app"));
        let paths = ["./secretless.yml", "/users/app/.secretless.yml", "/etc/secretless.yml"];
        assert_eq!(candidates(home), paths.map(PathBuf::from));
        assert_eq!(candidates(None).len(), 2);
    }

    #[test]
    fn the_first_file_that_exists_decides_even_if_it_cannot_be_read() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let missing = here.join("no-such-file.yml");
        let beneath_a_file = here.join("Cargo.toml/secretless.yml");
        let found = first_existing(&[missing.clone(), beneath_a_file, here.clone(), PathBuf::from("/etc")]);
        assert_eq!(found.expect("a directory exists"), here);
        assert!(read(&here).is_err_and(|report| report.to_string().contains("error reading config file")));

        let report = first_existing(&[missing]).expect_err("nothing exists");
        assert!(
            report
                .to_string()
                .starts_with("error: Unable to locate any working configuration files\n  help: ")
        );
    }

    #[test]
    fn reads_a_file_that_does_not_know_its_length() {
        // The kernel says that files in /proc have no bytes.
        let source = read(Path::new("/proc/self/mountinfo")).expect("it is readable text");
        assert!(source.text.lines().count() > 1);
    }
}
