//! The embedded vault and what happens to those who write it: they are killed, the disk is full, others write, too.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use tests::broker::binary;
use tests::mysql::not_run;
use tests::process;
use tests::vault::Vault;

fn names_beside(path: &Path) -> Vec<String> {
    let entries = path.parent().unwrap().read_dir().unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `secret` with these words, allowed to write files of at most `bytes`. Without `signal` it gets an error beyond that, as on
/// a full disk; with it, it is killed in the middle of the write.
fn bounded(vault: &Vault, bytes: u32, signal: bool, words: &[&str]) -> Command {
    let trap = if signal { "" } else { "trap '' XFSZ; " };
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{trap}exec prlimit --fsize={bytes} \"$@\""));
    command.arg("sh").arg(binary().unwrap()).arg("secret").args(words);
    vault.tell(&mut command);
    command
}

#[test]
fn a_full_disk_leaves_the_old_vault_whole() {
    let vault = Vault::new().unwrap();
    vault.set("name", "old").unwrap();
    let (before, key) = (fs::read(&vault.vault).unwrap(), fs::read(&vault.key).unwrap());
    let large = vec![b'x'; 60_000];
    let full = process::run_with_input(&mut bounded(&vault, 4096, false, &["set", "name"]), &large).unwrap();
    assert_eq!(full.status.code(), Some(1), "{full}");
    assert!(full.stderr.contains("write ") && full.stderr.contains("file too large"), "{full}");
    let full = process::run(&mut bounded(&vault, 100, false, &["rotate-key"])).unwrap();
    assert_eq!(full.status.code(), Some(1), "{full}");
    assert_eq!((fs::read(&vault.vault).unwrap(), fs::read(&vault.key).unwrap()), (before, key));
    assert_eq!(names_beside(&vault.vault), ["vault.age", "vault.age.lock"], "nothing is left of it");
    assert_eq!(names_beside(&vault.key), ["vault.key"]);
    assert_eq!(vault.get("name").unwrap(), "old");
}

/// In a mount namespace of its own: sets a secret on a small disk, fills the disk, sets the secret again, frees what was taken, and
/// shows what is there.
const ON_A_SMALL_DISK: &str = r#"
    mkdir "$1" && mount -t tmpfs -o size=64k,mode=700 tmpfs "$1" || exit 77
    printf old | "$2" secret set name || exit 1
    head -c 1000000 /dev/zero >"$1/rest" 2>/dev/null
    if printf new | "$2" secret set name; then exit 2; fi
    if "$2" secret rotate-key; then exit 3; fi
    "$2" secret get name --reveal && echo && rm "$1/rest" && ls "$1"
    printf new | "$2" secret set name >/dev/null && "$2" secret get name --reveal
"#;

#[test]
fn a_disk_without_a_free_block_leaves_the_old_vault_whole() {
    let vault = Vault::new().unwrap();
    let disk = vault.vault.parent().unwrap();
    fs::create_dir_all(disk.parent().unwrap()).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]).arg(disk);
    command.arg(binary().unwrap());
    let done = process::run(vault.tell(&mut command)).unwrap();
    if done.stderr.contains("unshare:") || done.status.code() == Some(77) {
        return not_run("namespaces for users");
    }
    assert!(done.status.success(), "{done}");
    assert_eq!(done.stderr.matches("no space left on device").count(), 2, "{done}");
    let shown = done.stdout.lines().rev().take(4).collect::<Vec<_>>();
    assert_eq!(shown, ["new", "vault.age.lock", "vault.age", "old"], "{done}");
}

#[test]
fn a_write_that_is_torn_in_the_middle_is_never_the_vault() {
    let vault = Vault::new().unwrap();
    vault.set("name", "old").unwrap();
    let large = vec![b'x'; 60_000];
    // The kernel counts the memory of secrets as a file, too, and that is made first: it has 64 KiB.
    let bytes = 70_000;
    let killed =
        process::run_with_input(&mut bounded(&vault, bytes, true, &["set", "name"]), &large).unwrap();
    assert!(killed.status.code().is_none_or(|code| code > 128), "{killed}");
    let beside = fs::metadata(vault.vault.with_extension("age.new")).unwrap();
    assert_eq!(beside.len(), u64::from(bytes), "not all of it was written");
    assert_eq!(vault.get("name").unwrap(), "old");
    vault.set("name", "new").unwrap();
    assert_eq!(vault.get("name").unwrap(), "new");
    assert_eq!(names_beside(&vault.vault), ["vault.age", "vault.age.lock"]);
}

/// Kills a rotation when the kernel reports the n-th change in either directory, for every n that there is: opening,
/// writing, closing and renaming of the files beside the key, the vault, and the key again. How far it has come
/// meanwhile is chance; what must hold is not.
#[test]
fn a_rotation_that_is_killed_anywhere_loses_nothing() {
    let vault = Vault::new().unwrap();
    vault.set("name", "kept").unwrap();
    let mut was_cut_short = 0;
    for nth in 1.. {
        let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
        for path in [&vault.vault, &vault.key] {
            let changes =
                WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
            inotify::add_watch(&watch, path.parent().unwrap(), changes).unwrap();
        }
        let mut command = vault.command(&["rotate-key"]).unwrap();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&watch, &mut buffer);
        let mut seen = 0;
        // The last change of a whole rotation is the second one of the key's place.
        let mut renames = 0;
        while seen < nth && renames < 3 {
            let event = events.next().unwrap();
            seen += 1;
            renames += i32::from(event.events().contains(inotify::ReadFlags::MOVED_TO));
        }
        let is_whole = seen < nth;
        if is_whole {
            assert!(child.wait().unwrap().success());
        } else {
            child.kill().unwrap();
            was_cut_short += i32::from(!child.wait().unwrap().success());
        }
        assert_eq!(vault.get("name").unwrap(), "kept", "killed at change {nth}");
        if is_whole {
            break;
        }
    }
    assert!(was_cut_short > 0, "none was killed before its end");
    vault.set("name", "changed").unwrap();
    vault.run(&["rotate-key"], b"").unwrap().succeeded().unwrap();
    let keys = fs::read_to_string(&vault.key).unwrap();
    assert_eq!(keys.matches("AGE-SECRET-KEY-1").count(), 1, "what was begun is finished");
    assert_eq!(vault.get("name").unwrap(), "changed");
}

#[test]
fn writers_at_the_same_time_wait_for_each_other() {
    let vault = Vault::new().unwrap();
    thread::scope(|scope| {
        for number in 0..6 {
            let vault = &vault;
            scope.spawn(move || vault.set(&format!("name-{number}"), "value").unwrap());
        }
    });
    let listed = vault.run(&["list"], b"").unwrap().succeeded().unwrap();
    assert_eq!(listed.lines().count(), 6, "{listed}");
}

#[test]
fn a_writer_that_is_stuck_is_not_waited_for_for_ever() {
    let vault = Vault::new().unwrap();
    vault.set("name", "old").unwrap();
    let lock = fs::OpenOptions::new().write(true).open(vault.vault.with_extension("age.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(vault.get("name").unwrap(), "old", "readers wait for nobody");
    let mut child = {
        let mut command = vault.command(&["rm", "name"]).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.contains("somebody else is writing the vault"), "{said}");
    drop(lock);
    vault.run(&["rm", "name"], b"").unwrap().succeeded().unwrap();
}
