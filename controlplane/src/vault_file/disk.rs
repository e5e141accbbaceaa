//! Files as vaults and keys need them: read whole, replaced whole, written by one at a time.
//!
//! Owns crash safety: after a stop of the process or the machine at any point, a path names its old content or its new
//! one. Knows nothing of what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use super::error::VaultError;

/// A file as it was read.
pub(super) struct Found {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Its permission bits.
    pub(super) mode: u32,
}

/// Reads a regular file of at most `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Found, VaultError> {
    let failed = |call, error: io::Error| VaultError::io(call, path, &error);
    // A FIFO without a writer would hold a blocking open for ever. O_NOCTTY: a terminal must not become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let mut file = opened.map_err(|error| failed("open", error))?;
    let metadata = file.metadata().map_err(|error| failed("stat", error))?;
    if !metadata.is_file() {
        return Err(failed("read", io::Error::other("not a regular file")));
    }
    let too_large = || failed("read", io::Error::other(format!("larger than {bytes_max} bytes")));
    let expected = usize::try_from(metadata.len()).ok().filter(|bytes| *bytes <= bytes_max);
    // One byte more than it has: the end is seen without another buffer.
    let mut bytes = Zeroizing::new(vec![0; expected.ok_or_else(too_large)? + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", error)),
        }
    }
    bytes.truncate(filled);
    Ok(Found { bytes, mode: metadata.mode() & 0o777 })
}

/// Who a new file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever writes it.
    Writer,
    /// The owner of its directory, if we may give it away: a vault in a service's own directory is for that service,
    /// also when root makes it.
    Directory,
}

/// Puts `bytes` in the place of what `path` names, for its owner alone to read.
///
/// Written beside it, flushed, renamed over it, and the directory flushed: a crash before the rename leaves the old
/// content, and one after it the new. Whoever calls this holds the [`Lock`].
pub(super) fn replace(path: &Path, bytes: &[u8], owner: Owner) -> Result<(), VaultError> {
    let place = behind_links(path)?;
    let staged = Staged::write(&place, bytes, owner)?;
    staged.put_in_place()
}

/// What a link leads to is replaced, and not the link.
///
/// A link that somebody else could have put there, or can turn, is not followed: it would choose which of our files is
/// written over. Whoever turns one after this look gets nothing by it, for a rename follows no link.
fn behind_links(path: &Path) -> Result<PathBuf, VaultError> {
    let us = rustix::process::geteuid().as_raw();
    let is_ours = |metadata: fs::Metadata| metadata.uid() == us || metadata.uid() == 0;
    let mut place = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(link) = place.symlink_metadata() else { return Ok(place) };
        if !link.is_symlink() {
            return Ok(place);
        }
        let failed = |call, error: io::Error| VaultError::io(call, &place, &error);
        let directory = directory_of(&place).metadata().map_err(|error| failed("stat", error))?;
        if !is_ours(link) || !is_ours(directory) {
            return Err(VaultError::OthersLink(place));
        }
        let leads_to = place.read_link().map_err(|error| failed("readlink", error))?;
        place = directory_of(&place).join(leads_to);
    }
    Err(VaultError::io("open", path, &rustix::io::Errno::LOOP.into()))
}

/// As many as the kernel follows: path_resolution(7).
const LINKS_MAX: u32 = 40;

/// New content beside its place. Dropped before it is put there, it is removed.
struct Staged<'a> {
    place: &'a Path,
    beside: PathBuf,
}

impl<'a> Staged<'a> {
    fn write(place: &'a Path, bytes: &[u8], owner: Owner) -> Result<Self, VaultError> {
        let beside = with_suffix(place, ".new");
        let failed = |call, error: &io::Error| VaultError::io(call, &beside, error);
        // Left by a writer that was killed; the lock says that there is no other.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &error)),
            _ => {}
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let mut file = opened.map_err(|error| failed("open", &error))?;
        let staged = Self { place, beside: beside.clone() };
        give(&file, owner_of(place, owner).as_ref(), place)?;
        // The umask may have taken some of it, and a change of the owner, too.
        let closed = file.set_permissions(Permissions::from_mode(0o600));
        closed.map_err(|error| failed("chmod", &error))?;
        file.write_all(bytes).map_err(|error| failed("write", &error))?;
        file.sync_all().map_err(|error| failed("fsync", &error))?;
        Ok(staged)
    }

    fn put_in_place(self) -> Result<(), VaultError> {
        fs::rename(&self.beside, self.place)
            .map_err(|error| VaultError::io("rename to", self.place, &error))?;
        sync_directory_of(self.place)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Whose a file at `place` is to be: the one that is there stays its owner's.
fn owner_of(place: &Path, owner: Owner) -> Option<fs::Metadata> {
    fs::metadata(place).ok().or_else(|| match owner {
        Owner::Writer => None,
        Owner::Directory => directory_for_root(place),
    })
}

/// The directory of `place`, if we are root and may give away what we make there.
fn directory_for_root(place: &Path) -> Option<fs::Metadata> {
    let is_root = rustix::process::geteuid().is_root();
    place.parent().filter(|_| is_root).and_then(|directory| fs::metadata(directory).ok())
}

/// Gives `file`, which is to be at `place`, to whom it belongs.
fn give(file: &File, to: Option<&fs::Metadata>, place: &Path) -> Result<(), VaultError> {
    let Some(to) = to else { return Ok(()) };
    let ours = file.metadata().map_err(|error| VaultError::io("stat", place, &error))?;
    if (to.uid(), to.gid()) == (ours.uid(), ours.gid()) {
        return Ok(());
    }
    match fchown(file, Some(to.uid()), Some(to.gid())) {
        // A group that is not ours is no loss: the file is for its owner alone.
        Err(_) if to.uid() != ours.uid() => Err(VaultError::OthersFile(place.to_owned())),
        _ => Ok(()),
    }
}

/// Makes the directories above `path` that are missing, for us alone.
pub(super) fn make_directories(path: &Path) -> Result<(), VaultError> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    if directory.is_dir() {
        return Ok(());
    }
    make_directories(directory)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        // Another first writer was quicker.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(VaultError::io("mkdir", directory, &error))
        }
        _ => sync_directory_of(directory),
    }
}

/// Makes what was created in, or renamed into, the directory of `path` last.
fn sync_directory_of(path: &Path) -> Result<(), VaultError> {
    let parent = directory_of(path);
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|error| VaultError::io("fsync", parent, &error))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The right to write a vault and its key, until it is dropped or the process ends. Readers need none.
pub(super) struct Lock {
    #[expect(dead_code, reason = "closing it is what unlocks")]
    file: File,
    /// Removed with the lock, for whoever has so little to write that a file should not stay for it.
    passing: Option<PathBuf>,
}

impl Lock {
    /// Waits for the turn, for at most `patience`.
    ///
    /// The lock is on a file beside the vault that stays: the vault itself is another file after each write.
    pub(super) fn take(vault: &Path, patience: Duration) -> Result<Self, VaultError> {
        let path = with_suffix(&behind_links(vault)?, ".lock");
        let started = Instant::now();
        loop {
            let file = lock(open_lock(&path)?, &path, patience.saturating_sub(started.elapsed()))?;
            // Somebody may have removed it while we waited: then the turn is with the one that is there now.
            let ours = file.metadata().map_err(|error| VaultError::io("stat", &path, &error))?;
            let is_there = |there: fs::Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
            if path.symlink_metadata().is_ok_and(is_there) {
                return Ok(Self { file, passing: None });
            }
            if started.elapsed() >= patience {
                return Err(VaultError::Busy(path));
            }
        }
    }

    /// The same for a key, which is written once in a long time: nothing stays beside it.
    pub(super) fn take_in_passing(key: &Path, patience: Duration) -> Result<Self, VaultError> {
        let passing = Some(with_suffix(&behind_links(key)?, ".lock"));
        let mut lock = Self::take(key, patience)?;
        lock.passing = passing;
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Who waits for it sees that it is gone, and takes the next one.
        let _ = self.passing.take().map(fs::remove_file);
    }
}

/// Opens the file to lock, which is made if it is not there.
fn open_lock(path: &Path) -> Result<File, VaultError> {
    let failed = |call, error: &io::Error| VaultError::io(call, path, error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // So that the service whose directory this is can write, too. What was there before is not given away: it may
            // be a second name of something else.
            give(&file, directory_for_root(path).as_ref(), path)?;
            return Ok(file);
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("open", &error)),
        Err(_) => {}
    }
    // In a directory of somebody else's this must not lead elsewhere, nor hold us.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.create(true).truncate(false).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|error| failed("open", &error))
}

fn lock(file: File, path: &Path, patience: Duration) -> Result<File, VaultError> {
    let failed = |error: rustix::io::Errno| VaultError::io("lock", path, &error.into());
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {}
        Err(error) => return Err(failed(error)),
    }
    // The kernel has no lock with a deadline. A thread that waits too long unlocks at once when its turn comes, for
    // nobody takes its file.
    let (sender, turn) = mpsc::channel();
    std::thread::spawn(move || {
        let locked = flock(&file, FlockOperation::LockExclusive);
        let _ = sender.send(locked.map(|()| file));
    });
    match turn.recv_timeout(patience) {
        Ok(locked) => locked.map_err(failed),
        Err(_) => Err(VaultError::Busy(path.to_owned())),
    }
}

/// `vault.age` and `.lock` make `vault.age.lock`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
