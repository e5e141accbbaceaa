//! Files: what a stop at any point leaves behind, and who may write when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::testing::TempDir;

fn content(path: &Path) -> Vec<u8> {
    read(path, 1000).map(|found| found.bytes.to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

fn put(path: &Path, text: &str) {
    replace(path, text.as_bytes(), Owner::Writer).unwrap_or_else(|error| panic!("{error}"));
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = dir.path().read_dir().expect("is there").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_and_is_for_its_owner_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    for text in ["one", "a longer one", "x"] {
        put(&path, text);
        assert_eq!(content(&path), text.as_bytes());
        assert_eq!(read(&path, 1000).map(|found| found.mode), Ok(0o600));
        assert_eq!(names(&dir), ["vault.age"]);
    }
    // Whatever modes were set by hand, the next version is closed again.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("ours");
    put(&path, "closed");
    assert_eq!(read(&path, 1000).map(|found| found.mode), Ok(0o600));
}

#[test]
fn a_reader_has_one_version_while_the_file_is_replaced() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    put(&path, "0000");
    let rounds = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (path, rounds) = (path.clone(), Arc::clone(&rounds));
        thread::spawn(move || {
            for round in 1..200 {
                put(&path, &round.to_string().repeat(50));
                rounds.store(round, Ordering::SeqCst);
            }
        })
    };
    while rounds.load(Ordering::SeqCst) < 199 {
        let text = String::from_utf8(content(&path)).expect("text");
        let first = text[..text.len() / 50].to_owned();
        assert!(text == "0000" || text == first.repeat(50), "{text}");
    }
    writer.join().expect("writes");
}

#[test]
fn a_torn_write_is_never_in_the_place_of_the_file() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    put(&path, "old");
    // What a writer leaves that was killed in the middle: half of it, and not the mode that it should have.
    dir.file("vault.age.new", "ne");
    assert_eq!(content(&path), b"old");
    put(&path, "new");
    assert_eq!(content(&path), b"new");
    assert_eq!(names(&dir), ["vault.age"]);
}

#[test]
fn what_is_not_put_in_place_leaves_nothing() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    put(&path, "old");
    let staged = Staged::write(&path, b"new", Owner::Writer).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(names(&dir), ["vault.age", "vault.age.new"]);
    drop(staged);
    assert_eq!((names(&dir), content(&path)), (vec!["vault.age".to_owned()], b"old".to_vec()));
}

#[test]
fn a_link_beside_the_file_is_not_written_through() {
    let dir = TempDir::new();
    let (path, elsewhere) = (dir.path().join("vault.age"), dir.file("elsewhere", "untouched"));
    for name in ["vault.age.new", "vault.age.lock"] {
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(name)).expect("links");
    }
    put(&path, "new");
    assert_eq!((content(&path), content(&elsewhere)), (b"new".to_vec(), b"untouched".to_vec()));
    assert!(matches!(Lock::take(&path, Duration::ZERO), Err(VaultError::Io { call: "open", .. })));
}

#[test]
fn what_a_link_leads_to_is_replaced_and_locked_and_not_the_link() {
    let (dir, elsewhere) = (TempDir::new(), TempDir::new());
    let real = elsewhere.file("real.age", "old");
    let link = dir.path().join("vault.age");
    std::os::unix::fs::symlink(&real, &link).expect("links");
    put(&link, "new");
    assert_eq!(content(&real), b"new");
    assert!(link.symlink_metadata().expect("is there").is_symlink());
    let _lock = Lock::take(&link, Duration::ZERO).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(Lock::take(&real, Duration::ZERO), Err(VaultError::Busy(_))));
    assert_eq!(names(&dir), ["vault.age"]);
}

#[test]
fn a_link_that_another_user_can_turn_is_not_followed() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can make what another user has made.
        return;
    }
    let (dir, theirs) = (TempDir::new(), TempDir::new());
    let ours = dir.file("ours", "untouched");
    std::os::unix::fs::chown(theirs.path(), Some(4321), Some(4321)).expect("root may");
    let link = theirs.path().join("vault.age");
    std::os::unix::fs::symlink(&ours, &link).expect("links");
    // By way of a link of ours, too: the last one decides.
    let first = dir.path().join("vault.age");
    std::os::unix::fs::symlink(&link, &first).expect("links");
    for path in [&link, &first] {
        let refused = VaultError::OthersLink(link.clone());
        assert_eq!(replace(path, b"new", Owner::Directory), Err(refused.clone()));
        assert_eq!(Lock::take(path, Duration::ZERO).err(), Some(refused));
    }
    std::os::unix::fs::chown(theirs.path(), Some(0), Some(0)).expect("root may");
    std::os::unix::fs::lchown(&link, Some(4321), Some(4321)).expect("root may");
    assert_eq!(replace(&link, b"new", Owner::Writer), Err(VaultError::OthersLink(link.clone())));
    assert_eq!((content(&ours), names(&dir), names(&theirs)), {
        (b"untouched".to_vec(), vec!["ours".to_owned(), "vault.age".to_owned()], vec!["vault.age".to_owned()])
    });
    fs::remove_file(&link).expect("ours");
    std::os::unix::fs::symlink("vault.age", &link).expect("links");
    assert!(replace(&link, b"new", Owner::Writer).is_err_and(|error| error.to_string().contains("links")));
}

#[test]
fn a_file_that_stands_in_the_place_of_the_lock_is_not_given_away() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let (dir, theirs) = (TempDir::new(), TempDir::new());
    std::os::unix::fs::chown(theirs.path(), Some(4321), Some(4321)).expect("root may");
    let ours = dir.file("ours", "");
    fs::hard_link(&ours, theirs.path().join("vault.age.lock")).expect("links");
    drop(Lock::take(&theirs.path().join("vault.age"), Duration::ZERO));
    assert_eq!(ours.metadata().expect("is there").uid(), 0);
}

#[test]
fn a_lock_whose_file_was_removed_is_no_lock() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    let first = Lock::take(&path, Duration::ZERO).unwrap_or_else(|error| panic!("{error}"));
    let waiter = {
        let path = path.clone();
        thread::spawn(move || Lock::take(&path, Duration::from_secs(120)))
    };
    // The waiter has opened the file, or is about to: either way its turn comes behind whoever has the one that is there.
    fs::remove_file(dir.path().join("vault.age.lock")).expect("ours");
    drop(first);
    let turn = waiter.join().expect("ends").unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(Lock::take(&path, Duration::from_millis(1)), Err(VaultError::Busy(_))));
    drop(turn);
}

#[test]
fn reads_no_more_than_the_bound_and_no_other_kind_of_file() {
    let dir = TempDir::new();
    let path = dir.file("file", "12345");
    assert!(read(&path, 5).is_ok());
    assert!(read(&path, 4).is_err_and(|error| error.to_string().contains("larger than 4 bytes")));
    let fifo = dir.path().join("fifo");
    let made = rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0);
    made.expect("makes a fifo");
    for other in [fifo.as_path(), dir.path()] {
        assert!(read(other, 5).is_err_and(|error| error.to_string().contains("not a regular file")));
    }
}

#[test]
fn makes_directories_for_us_alone() {
    let dir = TempDir::new();
    let path = dir.path().join("a/b/vault.age");
    for _ in 0..2 {
        make_directories(&path).unwrap_or_else(|error| panic!("{error}"));
        for made in ["a", "a/b"] {
            let mode = dir.path().join(made).metadata().expect("was made").mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }
}

#[test]
fn one_writes_at_a_time_and_a_waiter_gets_its_turn() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    let first = Lock::take(&path, Duration::ZERO).unwrap_or_else(|error| panic!("{error}"));
    let busy = Lock::take(&path, Duration::from_millis(1)).err();
    assert_eq!(busy, Some(VaultError::Busy(dir.path().join("vault.age.lock"))));
    let waiter = {
        let path = path.clone();
        thread::spawn(move || Lock::take(&path, Duration::from_secs(120)).map(drop))
    };
    drop(first);
    assert_eq!(waiter.join().expect("ends"), Ok(()));
    // The one that gave up above has not kept what it waited for.
    assert!(Lock::take(&path, Duration::from_secs(120)).is_ok());
    let mode = dir.path().join("vault.age.lock").metadata().expect("stays").mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_stays_its_owners_when_root_writes_it() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give files away; what others are told is checked below.
        return;
    }
    let dir = TempDir::new();
    let path = dir.path().join("vault.age");
    let owner = |path: &Path| path.metadata().map(|found| (found.uid(), found.gid())).expect("is there");
    std::os::unix::fs::chown(dir.path(), Some(4321), Some(8765)).expect("root may");
    put(&path, "for root");
    assert_eq!(owner(&path), (0, rustix::process::getegid().as_raw()));
    fs::remove_file(&path).expect("ours");
    replace(&path, b"for the service", Owner::Directory).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(owner(&path), (4321, 8765));
    drop(Lock::take(&path, Duration::ZERO));
    assert_eq!(owner(&dir.path().join("vault.age.lock")), (4321, 8765));
    std::os::unix::fs::chown(&path, Some(1234), Some(1234)).expect("root may");
    replace(&path, b"still theirs", Owner::Writer).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(owner(&path), (1234, 1234));
    assert_eq!(read(&path, 100).map(|found| found.mode), Ok(0o600));
}
