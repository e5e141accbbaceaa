//! What secrets lie in where the kernel does not give the best, and how one learns of it.

use std::fs;
use std::process::Command;

use tests::broker::{Broker, File, binary, pg};
use tests::postgres::{Major, shared, unguessable};
use tests::wait;

use crate::memory::{edges, look};
use crate::support::{session, started};

/// How a broker fares that is started by `command`, which is given the broker's program and its arguments: it says that secrets lie in
/// `kind`, warns with all of `words`, works, and has secrets there and nowhere else.
fn assert_lies_in(mut command: Command, kind: &str, label: &str, words: &[&str]) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let path = file.secret("password", &login.password).unwrap();
    let service = pg("db", cluster, &login).file("password", &path);
    let listen = service.listen.clone();
    file.services.push(service);
    // Whether rings are granted is not what this is about.
    file.broker.push("io: epoll".to_owned());
    let config = file.write().unwrap();
    command.arg(binary().unwrap()).arg("-f").arg(&config).current_dir(file.directory());
    let broker = started(Broker::launch_with(&mut command, file.admin(), config));
    broker.wait_until_ready().unwrap();
    session(&listen, &login);
    broker
        .process()
        .wait_for_words("where secrets lie", |said| said.contains(&format!("secrets in {kind}")))
        .unwrap();
    let said = broker.said();
    let line = said.lines().find(|line| line.contains(words[0])).unwrap_or_else(|| panic!("{said}"));
    for word in [" WARN "].iter().chain(words) {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    let labels = format!("{{protection=\"{label}\"}}");
    assert!(broker.metric("secretless_secret_memory_bytes", &[&labels]).unwrap() > 0.0);

    let old = edges("old", login.password.as_bytes());
    let Some(found) = look(&broker, &old) else { return };
    assert_eq!((found.elsewhere, found.is_hidden), (Vec::new(), false));
    assert!(found.kept.contains(&"old-last".to_owned()), "this memory can be seen, so it is found there");
    let next = unguessable();
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '{next}'", login.name)).unwrap();
    fs::write(&path, &next).unwrap();
    session(&listen, &login);
    wait::until("the old one is wiped there, too", || {
        look(&broker, &old).is_some_and(|found| found.kept.is_empty())
    });
    assert_eq!(look(&broker, &old).unwrap().elsewhere, [""; 0]);
    assert!(look(&broker, &edges("next", next.as_bytes())).unwrap().kept.contains(&"next-last".to_owned()));
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}

#[test]
fn without_memfd_secret_it_is_locked_memory() {
    for (error, remedy) in [("ENOSYS", "secretmem.enable=1"), ("EPERM", "allow memfd_secret")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refuse"));
        command.args(["memfd_secret", error]);
        assert_lies_in(command, "locked memory", "locked", &["secrets do not lie in memfd_secret", remedy]);
    }
}

#[test]
fn without_a_limit_of_locked_memory_it_is_memory_that_no_dump_has() {
    // Root may lock what it likes, so it gives that up for good.
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]);
    }
    command.args(["prlimit", "--memlock=0:0"]);
    let words = ["secrets may be swapped out", "RLIMIT_MEMLOCK", "LimitMEMLOCK="];
    assert_lies_in(command, "memory that may be swapped out", "undumped", &words);
}

#[test]
fn a_soft_limit_of_locked_memory_is_raised() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let file = File::with([pg("db", cluster, &login)]).unwrap();
    let config = file.write().unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--memlock=0:").arg(binary().unwrap()).arg("-f").arg(&config).current_dir(file.directory());
    let broker = started(Broker::launch_with(&mut command, file.admin(), config));
    broker.wait_until_ready().unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", broker.process().pid())).unwrap();
    let memlock = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap_or_default();
    let words: Vec<&str> = memlock.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{memlock}");
    assert_ne!(words[3], "0", "{memlock}");
}
