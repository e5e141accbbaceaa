//! Unix sockets: who may connect, what may lie in their place, what is left of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tests::broker::{Broker, File, Listen, Service, pg};
use tests::postgres::{Login, Major, shared};
use tests::process::{Process, User};

use crate::support::{broker, psql, session, started};

fn service() -> (Login, Service, PathBuf) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let listen = Listen::unix().unwrap();
    let Listen::Unix(path) = listen.clone() else { unreachable!("a Unix socket was asked for") };
    (login.clone(), pg("db", cluster, &login).listening_on(listen), path)
}

#[test]
fn a_socket_has_the_mode_that_the_file_says() {
    for (lines, mode) in
        [(None, 0o660), (Some("socket: {mode: 0600}"), 0o600), (Some("socket: {mode: \"0666\"}"), 0o666)]
    {
        let (login, mut service, path) = service();
        service.more.extend(lines.map(str::to_owned));
        let broker = broker([service.clone()]);
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{lines:?}");
        session(&service.listen, &login);
        assert!(broker.stop().unwrap().success());
        assert!(!path.exists(), "it goes with the broker");
    }
}

#[test]
fn a_socket_belongs_to_whom_the_file_says() {
    let (login, service, path) = service();
    if !rustix::process::geteuid().is_root() {
        // Only root may give a file away: then a group of our own is all that can be asked for.
        let group = rustix::process::getegid().as_raw();
        let _broker = broker([service.line(&format!("socket: {{group: {group}}}"))]);
        assert_eq!(fs::symlink_metadata(&path).unwrap().gid(), group);
        return;
    }
    let service = service.line("socket: {owner: nobody, mode: \"0600\"}");
    let _broker = broker([service.clone()]);
    let nobody = fs::symlink_metadata(&path).unwrap().uid();
    assert_ne!(nobody, 0);
    // nobody may connect, and whoever is somebody else may not.
    for (user, may) in [("nobody", true), ("daemon", false)] {
        let mut command = psql(&service.listen, &login).command();
        command.args(["--command", "SELECT 'connected'"]);
        let run =
            Process::start("psql", &command, &User::Named(user.to_owned()), rustix::process::Signal::TERM);
        let run = run.unwrap();
        assert_eq!(run.wait().unwrap().success(), may, "{user}: {}", run.said());
        assert_eq!(run.said().contains("Permission denied"), !may, "{user}: {}", run.said());
    }
}

#[test]
fn a_socket_that_nobody_serves_any_more_is_replaced() {
    let (login, service, path) = service();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _broker = broker([service.clone()]);
    session(&service.listen, &login);
}

#[test]
fn a_socket_that_is_served_and_a_file_of_somebody_are_left_alone() {
    let (_, service, path) = service();
    let served = UnixListener::bind(&path).unwrap();
    let broker = started(Broker::launch(&File::with([service.clone()]).unwrap()));
    assert_eq!(broker.process().wait().unwrap().code(), Some(1), "{}", broker.said());
    assert!(broker.said().contains(&path.display().to_string()), "{}", broker.said());
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(served);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "a letter").unwrap();
    let broker = started(Broker::launch(&File::with([service]).unwrap()));
    assert_eq!(broker.process().wait().unwrap().code(), Some(1), "{}", broker.said());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
}

#[test]
fn a_socket_that_somebody_else_has_put_in_its_place_is_not_taken_along() {
    let (_, service, path) = service();
    let broker = broker([service]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    assert!(broker.stop().unwrap().success());
    std::os::unix::net::UnixStream::connect(&path).unwrap();
}
