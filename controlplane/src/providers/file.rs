//! `file`: values that lie in files.
//!
//! Owns the reading of one file into the memory of secrets and what a file must be to hold a value. Knows nothing of when
//! files change.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{SecretArena, SecretBytes};
use protocol::{Secret, SecretMemory};
use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::{FetchError, Fetched, Fetching, Flaw, Item, Kind, Provider, Request, Settings};
use crate::clock;
use crate::offload::{Lost, offload};
use crate::os_words::words;

/// The kind `file`, and the one store of it that there is.
pub(super) struct File;

impl Kind for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn trims(&self) -> bool {
        true
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        match id {
            "" => Err("the path of a file is empty".into()),
            _ if id.contains('\0') => Err(format!("'{}' cannot be a path", id.escape_debug())),
            _ => Ok(()),
        }
    }

    fn open(&self, _: Settings) -> Arc<dyn Provider> {
        Arc::new(File)
    }
}

impl Provider for File {
    fn fetch(&self, request: Request) -> Fetching {
        Box::pin(async move {
            let work = format!("read {}", names(&request));
            match offload(&work, PATIENCE, move || read_all(&request)).await {
                Ok(fetched) => fetched,
                Err(Lost::TooSlow | Lost::StillStuck) => {
                    Err(FetchError::Failing(format!("{work}: i/o timeout")))
                }
                Err(Lost::Died) => Err(FetchError::Failing(format!("{work}: interrupted"))),
            }
        })
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        let waits = "the service waits for it: its clients cannot connect until it is there";
        let (words, help, is_fatal) = match read(item) {
            Ok((_, note, _)) => (note?, format!("run `chmod 600 {}`", item.id), false),
            Err(FetchError::Unusable(words)) => (words, "name a file that holds the value".to_owned(), true),
            Err(error) if item.id.starts_with('~') => {
                (error.to_string(), "write the whole path: `~` is a shell's word for one".to_owned(), true)
            }
            Err(error) => (error.to_string(), waits.to_owned(), true),
        };
        Some(Flaw { words, help, is_fatal })
    }

    fn watch_path(&self, id: &str) -> Option<PathBuf> {
        Some(PathBuf::from(id))
    }
}

/// One file as it is, for who needs it now and may wait for it, and what its owner should know about it.
pub(crate) fn read_whole(path: &str, is_public: bool) -> Result<(Secret, Option<String>), FetchError> {
    let (value, note, _) = read(&Item { id: path.to_owned(), raw: true, is_public })?;
    Ok((value, note))
}

fn names(request: &Request) -> String {
    let ids: Vec<&str> = request.items.iter().map(|item| item.id.as_str()).collect();
    ids.join(", ")
}

/// Reads until nothing has changed meanwhile: a user name of one version must not meet a password of the next. Whoever
/// writes without a pause is not waited for; the next event brings the rest.
fn read_all(request: &Request) -> Result<Fetched, FetchError> {
    let mut reads = 0;
    loop {
        reads += 1;
        let mut fetched = Fetched::new(Vec::with_capacity(request.items.len()));
        let mut versions = Vec::with_capacity(request.items.len());
        for item in &request.items {
            let (value, note, version) = read(item)?;
            fetched.values.push(value);
            fetched.notes.extend(note);
            versions.push(version);
        }
        let is_still = |(item, version): (&Item, &Version)| {
            rustix::fs::stat(&item.id).is_ok_and(|stat| Version::of(&stat) == *version)
        };
        if reads == READS_MAX || versions.len() < 2 || request.items.iter().zip(&versions).all(is_still) {
            fetched.refetch_at = Some(clock::now() + REFETCH_AFTER);
            return Ok(fetched);
        }
    }
}

/// How often files are read that change while they are read.
const READS_MAX: u32 = 5;

/// What tells one version of a file from the next.
#[derive(PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    modified: (i64, u64),
    size: i64,
}

impl Version {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            size: stat.st_size,
        }
    }
}

/// One file's value, and what the operator should know about it.
fn read(item: &Item) -> Result<(Secret, Option<String>, Version), FetchError> {
    let path = item.id.as_str();
    // A FIFO without a writer would hold a blocking open for ever. O_NOCTTY: a terminal must not become ours.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed("open", path, &e.into()))?;
    let stat = rustix::fs::fstat(&fd).map_err(|e| failed("stat", path, &e.into()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(FetchError::Unusable(format!("read {path}: is a directory"))),
        _ => return Err(FetchError::Unusable(format!("read {path}: not a regular file"))),
    }
    let memory =
        |len| if item.is_public { SecretBytes::on_heap(len) } else { SecretArena::of_process().zeroed(len) };
    let mut bytes = read_to_end(std::fs::File::from(fd), usize::try_from(stat.st_size).unwrap_or(0), memory)
        .map_err(|e| failed("read", path, &e))?
        .ok_or_else(|| FetchError::Unusable(format!("read {path}: larger than {BYTES_MAX} bytes")))?;
    if !item.raw {
        trim_newline(&mut bytes);
    }
    if bytes.bytes().is_empty() {
        return Err(FetchError::Empty(format!("read {path}: the file is empty")));
    }
    let note = (!item.is_public && stat.st_mode & 0o044 != 0).then(|| {
        format!(
            "{path} holds a secret and is readable by its group or by others (mode {:03o})",
            stat.st_mode & 0o777
        )
    });
    // What it was read into is larger than it.
    let mut value = memory(bytes.bytes().len());
    value.bytes_mut().copy_from_slice(bytes.bytes());
    Ok((Secret::new(value), note, Version::of(&stat)))
}

/// Everything up to the end of the file, or `None` if that is more than a value may have. The kernel writes it into `memory`, and no
/// copy is left behind: what is outgrown wipes itself. `expected` may be wrong; files that are generated when read claim zero.
fn read_to_end(
    mut file: impl Read,
    expected: usize,
    memory: impl Fn(usize) -> SecretBytes,
) -> io::Result<Option<SecretBytes>> {
    let mut bytes = memory(expected.clamp(BYTES_EXPECTED_MIN, BYTES_MAX) + 1);
    let mut filled = 0;
    loop {
        match file.read(&mut bytes.bytes_mut()[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled > BYTES_MAX {
            return Ok(None);
        }
        if filled == bytes.bytes().len() {
            let mut larger = memory((filled * 2).min(BYTES_MAX + 1));
            larger.bytes_mut()[..filled].copy_from_slice(bytes.bytes());
            bytes = larger;
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// One newline, as every editor and `echo` leave it; Windows' form too.
pub(super) fn trim_newline(value: &mut SecretBytes) {
    let len = without_newline(value.bytes()).len();
    value.truncate(len);
}

/// The same of bytes that stay where they are.
pub(super) fn without_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The kernel's answer in the words that users of the Go broker search their logs for.
fn failed(call: &str, path: &str, error: &io::Error) -> FetchError {
    let said = format!("{call} {path}: {}", words(error));
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FetchError::NotFound(said),
        io::ErrorKind::PermissionDenied => FetchError::Denied(said),
        _ => FetchError::Failing(said),
    }
}

/// A password has tens of bytes and a chain of certificates thousands.
const BYTES_MAX: usize = 1024 * 1024;

/// Spares the short and the generated ones a second buffer. With one byte more, it is as large as a block of the arena.
const BYTES_EXPECTED_MIN: usize = 4 * 1024 - 1;

/// A local file answers in microseconds; a network file system that takes this long is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// Changes made on another machine of a network file system raise no event here.
const REFETCH_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::testing::TempDir;

    fn fetch(path: &Path, raw: bool) -> Result<Fetched, FetchError> {
        let request = Request::of(vec![Item { id: path.display().to_string(), raw, is_public: false }]);
        crate::testing::block_on(File.fetch(request))
    }

    fn value(path: &Path, raw: bool) -> Vec<u8> {
        let fetched = fetch(path, raw).unwrap_or_else(|e| panic!("{e}"));
        fetched.values[0].expose(<[u8]>::to_vec)
    }

    fn error(path: &Path) -> FetchError {
        fetch(path, false).err().expect("must not be readable as a value")
    }

    #[test]
    fn trims_one_newline_unless_raw() {
        let dir = TempDir::new();
        for (content, trimmed) in
            [("s3\n", "s3"), ("s3\r\n", "s3"), ("s3\n\n", "s3\n"), (" s3 ", " s3 "), ("s3\r", "s3\r")]
        {
            let path = dir.file("secret", content);
            assert_eq!(value(&path, false), trimmed.as_bytes());
            assert_eq!(value(&path, true), content.as_bytes());
        }
    }

    #[test]
    fn reads_a_value_of_the_largest_size_and_none_beyond() {
        let dir = TempDir::new();
        let largest = "x".repeat(1_048_576);
        assert_eq!(value(&dir.file("largest", &largest), true), largest.as_bytes());
        assert!(matches!(error(&dir.file("larger", &(largest + "x"))), FetchError::Unusable(_)));
    }

    #[test]
    fn reads_on_when_the_size_was_understated() {
        let content = [7u8; 10_000];
        let bytes = read_to_end(&content[..], 0, SecretBytes::on_heap)
            .expect("memory does not fail")
            .expect("is not too large");
        assert_eq!(bytes.bytes(), content);
    }

    #[test]
    fn says_what_the_kernel_said() {
        let dir = TempDir::new();
        let gone = dir.path().join("gone");
        let words = format!("open {}: no such file or directory", gone.display());
        assert_eq!(error(&gone), FetchError::NotFound(words));
    }

    #[test]
    fn refuses_what_is_no_file_without_waiting_for_it() {
        let dir = TempDir::new();
        assert_eq!(
            error(dir.path()),
            FetchError::Unusable(format!("read {}: is a directory", dir.path().display()))
        );
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).expect("makes a fifo");
        assert_eq!(
            error(&fifo),
            FetchError::Unusable(format!("read {}: not a regular file", fifo.display()))
        );
    }

    #[test]
    fn calls_an_empty_file_empty() {
        let dir = TempDir::new();
        assert!(matches!(error(&dir.file("empty", "")), FetchError::Empty(_)));
        assert!(matches!(error(&dir.file("newline", "\n")), FetchError::Empty(_)));
    }

    #[test]
    fn warns_of_a_file_that_others_can_read() {
        let dir = TempDir::new();
        let path = dir.file("secret", "s3");
        for (mode, notes) in [(0o600, 0), (0o640, 1), (0o604, 1), (0o611, 0)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
            let fetched = fetch(&path, false).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(fetched.notes.len(), notes, "{mode:o}");
            assert!(!fetched.notes.concat().contains("s3"));
        }
    }
}
