//! A Unix socket's place in the file system.
//!
//! Owns the path: who may take it over, who may connect from the first moment on, and that only what we made is
//! removed. Knows nothing of connections.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chmod, chownat, fstat, lstat, open, rename, unlink,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::umask;

use crate::config::SocketAccess;

/// A bound Unix socket's path. Dropping it removes the path, if it still leads to that socket.
pub(crate) struct UnixSocket {
    /// Where the socket is now.
    here: PathBuf,
    /// Where it belongs.
    place: PathBuf,
    inode: Inode,
}

/// Which call failed, and how.
#[derive(Debug)]
pub(crate) struct UnixError {
    pub call: &'static str,
    pub error: io::Error,
}

/// A file's identity, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl UnixSocket {
    /// Binds a socket beside `place`, under a name of its own, open to nobody but those who may.
    pub(crate) fn bind(
        place: &Path,
        access: &SocketAccess,
        is_ours: bool,
    ) -> Result<(OwnedFd, Self), UnixError> {
        make_sure_of_place(place, is_ours)?;
        let failed = |call| move |error: Errno| UnixError { call, error: error.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed("socket"))?;
        let here = beside(place);
        // Both fit if the longer does; a name that is too long is an error of the name in the file.
        SocketAddrUnix::new(place).map_err(failed("bind"))?;
        let address = SocketAddrUnix::new(&here).map_err(failed("bind"))?;
        // Connecting needs the right to write (unix(7)): nobody has it until owner and mode are what they should be.
        // The umask is the process's, and this thread is the only one that makes files.
        let before = umask(Mode::RWXU | Mode::RWXG | Mode::RWXO);
        let bound = bind(&socket, &address);
        umask(before);
        bound.map_err(failed("bind"))?;
        // Whoever may write to the directory may have put a link there by now: owner and mode are given to what was
        // opened and looked at, not to what the name leads to.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(&here, flags, Mode::empty()).map_err(failed("open"))?;
        let found = fstat(&file).map_err(failed("stat"))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            let error = io::Error::other("the socket was replaced while it was made");
            return Err(UnixError { call: "bind", error });
        }
        let inode = Inode { device: found.st_dev, number: found.st_ino };
        let unix = Self { here, place: place.to_owned(), inode };
        if access.owner.is_some() || access.group.is_some() {
            let (owner, group) = (access.owner.map(Uid::from_raw), access.group.map(Gid::from_raw));
            chownat(&file, "", owner, group, AtFlags::EMPTY_PATH).map_err(failed("chown"))?;
        }
        let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        chmod(by_descriptor, Mode::from_raw_mode(access.mode)).map_err(failed("chmod"))?;
        Ok((socket, unix))
    }

    /// Puts the listening socket in its place.
    pub(crate) fn reveal(&mut self) -> io::Result<()> {
        rename(&self.here, &self.place)?;
        self.here.clone_from(&self.place);
        Ok(())
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Another socket may have taken the place meanwhile: after a reload, or another process's.
        if inode_of(&self.here).is_ok_and(|found| found == self.inode) {
            // It can only be gone already.
            let _ = unlink(&self.here);
        }
    }
}

/// Whether we may put a socket at `place`: nothing is there, or a socket that nobody listens on any more.
fn make_sure_of_place(place: &Path, is_ours: bool) -> Result<(), UnixError> {
    let taken = || UnixError { call: "bind", error: Errno::ADDRINUSE.into() };
    match lstat(place) {
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(UnixError { call: "bind", error: error.into() }),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Socket => {
            let error = io::Error::other("the path is taken by something that is not a socket");
            return Err(UnixError { call: "bind", error });
        }
        Ok(_) if is_ours => return Ok(()),
        Ok(_) => {}
    }
    let failed = |error: Errno| UnixError { call: "bind", error: error.into() };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
    match connect(&probe, &SocketAddrUnix::new(place).map_err(failed)?) {
        // Nobody listens, or it went meanwhile.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // Somebody does, or we may not know.
        _ => Err(taken()),
    }
}

fn inode_of(path: &Path) -> Result<Inode, Errno> {
    let found = lstat(path)?;
    Ok(Inode { device: found.st_dev, number: found.st_ino })
}

/// A name beside `place` that nobody else uses.
fn beside(place: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name: OsString = format!(".sb{:x}.{count:x}", std::process::id()).into();
    place.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;
    use crate::testing::TempDir;

    const ACCESS: SocketAccess = SocketAccess { owner: None, group: None, mode: 0o660 };

    fn names(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .expect("it is there")
            .map(|entry| entry.expect("it is readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn listening(place: &Path) -> (OwnedFd, UnixSocket) {
        let (socket, mut unix) = UnixSocket::bind(place, &ACCESS, false).expect("binds");
        rustix::net::listen(&socket, 16).expect("listens");
        unix.reveal().expect("reveals");
        (socket, unix)
    }

    #[test]
    fn is_not_in_its_place_before_it_listens() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        let (socket, mut unix) = UnixSocket::bind(&place, &ACCESS, false).expect("binds");
        assert!(!place.exists());
        rustix::net::listen(&socket, 16).expect("listens");
        unix.reveal().expect("reveals");
        UnixStream::connect(&place).expect("connects");
        assert_eq!(names(&dir), ["pg.sock"]);
        drop(unix);
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn has_the_mode_and_owner_it_was_given_whatever_the_umask() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        let us = fs::metadata(dir.path()).expect("it is there");
        for mode in [0o600, 0o660, 0o666] {
            let access = SocketAccess { owner: Some(us.uid()), group: Some(us.gid()), mode };
            let (_socket, unix) = UnixSocket::bind(&place, &access, false).expect("binds");
            let found = fs::symlink_metadata(&unix.here).expect("it is there").permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
    }

    #[test]
    fn replaces_a_stale_socket() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        drop(UnixListener::bind(&place).expect("binds"));
        assert!(place.exists(), "std leaves it behind");
        let _listening = listening(&place);
        UnixStream::connect(&place).expect("connects");
    }

    #[test]
    fn refuses_the_place_of_a_live_socket_or_of_any_other_file() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        let live = UnixListener::bind(&place).expect("binds");
        let error = UnixSocket::bind(&place, &ACCESS, false).err().expect("refused");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&place).expect("the live one still listens");
        drop(live);

        let datagram = dir.path().join("datagram");
        let _live = UnixDatagram::bind(&datagram).expect("binds");
        assert!(UnixSocket::bind(&datagram, &ACCESS, false).is_err());

        let file = dir.file("file", "precious");
        assert!(UnixSocket::bind(&file, &ACCESS, false).is_err());
        assert_eq!(fs::read(&file).expect("it is there"), b"precious");
        assert_eq!(names(&dir), ["datagram", "file", "pg.sock"], "nothing is left of the attempts");
    }

    #[test]
    fn takes_over_from_a_live_socket_of_our_own_without_a_gap() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        let (_first, old) = listening(&place);
        let (socket, mut new) = UnixSocket::bind(&place, &ACCESS, true).expect("binds");
        UnixStream::connect(&place).expect("the old one listens");
        rustix::net::listen(&socket, 16).expect("listens");
        new.reveal().expect("reveals");
        drop(old);
        UnixStream::connect(&place).expect("the new one listens");
    }

    #[test]
    fn leaves_another_socket_in_its_place_alone() {
        let dir = TempDir::new();
        let place = dir.path().join("pg.sock");
        let (_socket, unix) = listening(&place);
        fs::remove_file(&place).expect("removes");
        let _other = UnixListener::bind(&place).expect("binds");
        drop(unix);
        assert!(place.exists());
    }

    #[test]
    fn says_when_a_path_is_too_long() {
        let dir = TempDir::new();
        let error = UnixSocket::bind(&dir.path().join("x".repeat(200)), &ACCESS, false).err();
        assert_eq!(error.map(|error| error.error.kind()), Some(io::ErrorKind::InvalidFilename));
    }
}
