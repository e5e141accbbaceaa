//! What the broker moves bytes with: what was asked for, what the kernel leaves, and how one learns of it.

use std::process::Command;

use tests::broker::{Broker, File, Listen, Service, binary, command, pg};
use tests::postgres::{Login, Major, shared};

use crate::support::{psql, session, started};

/// A file that says this of `io`, and its one service.
fn file(io: &str) -> (File, Listen, Login) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service: Service = pg("db", cluster, &login);
    let listen = service.listen.clone();
    let mut file = File::with([service]).unwrap();
    file.broker.push(format!("io: {io}"));
    (file, listen, login)
}

/// A broker with this file whose kernel refuses io_uring with this error.
#[track_caller]
fn without_ring(error: &str, file: &File) -> Broker {
    let config = file.write().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_refuse"));
    command.args(["io_uring_setup", error]).arg(binary().unwrap()).arg("-f").arg(&config);
    started(Broker::launch_with(command.current_dir(file.directory()), file.admin(), config))
}

#[track_caller]
fn assert_runs_on(broker: &Broker, driver: &str, reason: &str) {
    let labels = format!("{{driver=\"{driver}\",reason=\"{reason}\"}}");
    let info = broker.metric("secretless_io_info", &[]).unwrap();
    let ours = broker.metric("secretless_io_info", &[&labels]).unwrap();
    assert_eq!((info, ours), (1.0, 1.0), "{labels} in {}", broker.get("/metrics").unwrap().body);
    // The log is written beside everything else: it may come after the broker is ready.
    broker.process().wait_for_words("the driver", |said| said.contains("bytes are moved with")).unwrap();
    let lines = broker.said().matches("bytes are moved with").count();
    assert_eq!(lines, 1, "{}", broker.said());
}

#[test]
fn without_a_ring_it_runs_on_epoll_and_says_why() {
    for (error, reason, cause) in [
        ("EPERM", "forbidden", "a seccomp profile forbids it, as Docker's"),
        ("ENOSYS", "absent", "a seccomp profile hides it, as podman's"),
    ] {
        let (file, listen, login) = file("auto");
        let broker = without_ring(error, &file);
        broker.wait_until_ready().unwrap();
        assert_runs_on(&broker, "epoll", reason);
        let said = broker.said();
        let line = said.lines().find(|line| line.contains("bytes are moved with")).unwrap();
        for words in [" WARN ", "with epoll: io_uring is not available", cause, "io_uring_setup"] {
            assert!(line.contains(words), "{words:?} is not in {line:?}");
        }
        assert_eq!(psql(&listen, &login).query("SELECT current_user").unwrap(), login.name);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn a_ring_that_is_demanded_and_refused_is_exit_1_with_the_ways_out() {
    let (file, ..) = file("uring");
    let broker = without_ring("EPERM", &file);
    assert_eq!(broker.process().wait().unwrap().code(), Some(1), "{}", broker.said());
    for words in ["io_uring is not available", "a seccomp profile forbids it", "`io: auto` or `io: epoll`"] {
        assert!(broker.said().contains(words), "{words:?} is not in {}", broker.said());
    }
}

#[test]
fn what_was_asked_for_is_used_and_the_command_line_has_the_last_word() {
    for (in_file, flag, driver, reason) in [
        ("uring", None, "uring", "configured"),
        ("epoll", None, "epoll", "configured"),
        ("auto", None, "uring", "available"),
        ("uring", Some("epoll"), "epoll", "configured"),
        ("epoll", Some("auto"), "uring", "available"),
    ] {
        let (file, listen, login) = file(in_file);
        let config = file.write().unwrap();
        let mut command = command(&config).unwrap();
        command.args(flag.map(|word| format!("--io={word}")));
        let broker = started(Broker::launch_with(&mut command, file.admin(), config));
        broker.wait_until_ready().unwrap();
        assert_runs_on(&broker, driver, reason);
        session(&listen, &login);
    }
}

#[test]
fn another_driver_takes_a_restart() {
    let (mut file, listen, login) = file("epoll");
    let broker = started(Broker::start(&file));
    file.broker = vec!["io: uring".to_owned()];
    broker.reload(&file).unwrap();
    let process = broker.process();
    process
        .wait_for_words("that it takes a restart", |said| {
            said.contains("broker.io has changed: that needs a restart")
        })
        .unwrap();
    process.wait_for_words("that it was reloaded", |said| said.contains("Configuration reloaded")).unwrap();
    assert_runs_on(&broker, "epoll", "configured");
    session(&listen, &login);
}
