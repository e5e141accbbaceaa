//! A credential changes while everything runs.

use std::fs;
use std::path::Path;

use tests::broker::{Broker, File, pg};
use tests::postgres::{Cluster, Login, Major, shared};
use tests::wait;

use crate::support::{broker, psql, refusal, session, started};

/// A service whose password lies in a file that has a wrong one, and an open session from before it was wrong.
fn assert_new_password_is_taken(change: impl Fn(&Path, &str)) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let password = file.secret("password", &login.password).unwrap();
    let service = pg("db", cluster, &login).file("password", &password);
    file.services.push(service.clone());
    let broker = started(Broker::start(&file));

    let mut open = session(&service.listen, &login);
    let pid = open.query("SELECT pg_backend_pid()").unwrap();

    change(&password, "wrong");
    wait::until("the wrong password is refused", || {
        !psql(&service.listen, &login).run("").unwrap().status.success()
    });
    let error = refusal(&service.listen, &login.name);
    assert_eq!(error.field('C'), "28P01", "the server's own words: {}", error.field('M'));
    assert!(error.field('M').starts_with("password authentication failed"), "{}", error.field('M'));

    // Right again, and never refused again: no back-off may stand in the way of a value that has changed.
    change(&password, &login.password);
    wait::until("the right password is taken", || {
        psql(&service.listen, &login).run("").unwrap().status.success()
    });
    session(&service.listen, &login);

    // What was open has not noticed, nor has the process.
    assert_eq!(open.query("SELECT pg_backend_pid()").unwrap(), pid);
    assert!(broker.process().ended().is_none());
}

#[test]
fn a_password_file_that_is_written_in_place_is_taken_up() {
    assert_new_password_is_taken(|path, password| fs::write(path, password).unwrap());
}

#[test]
fn a_password_file_that_is_renamed_into_place_is_taken_up() {
    assert_new_password_is_taken(|path, password| {
        let beside = path.with_extension("beside");
        fs::write(&beside, password).unwrap();
        fs::rename(&beside, path).unwrap();
    });
}

#[test]
fn a_password_behind_symbolic_links_is_taken_up_when_the_directory_is_swapped() {
    // As Kubernetes mounts secrets: name -> ..data/name, ..data -> ..version, and ..data is what changes.
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let mount = file.directory().join("mount");
    let swap = |version: &str, content: &str| {
        let directory = mount.join(version);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("password"), content).unwrap();
        std::os::unix::fs::symlink(version, mount.join("..new")).unwrap();
        fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    };
    swap("..1", "wrong");
    std::os::unix::fs::symlink("..data/password", mount.join("password")).unwrap();
    let service = pg("db", cluster, &login).file("password", &mount.join("password"));
    file.services.push(service.clone());
    let _broker = started(Broker::start(&file));
    assert_eq!(refusal(&service.listen, &login.name).field('C'), "28P01");

    swap("..2", &login.password);
    wait::until("the right password is taken", || {
        psql(&service.listen, &login).run("").unwrap().status.success()
    });
}

#[test]
fn a_password_that_the_server_changes_first_costs_nobody_a_session_once_the_file_follows() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let password = file.secret("password", &login.password).unwrap();
    let service = pg("db", cluster, &login).file("password", &password);
    file.services.push(service.clone());
    let _broker = started(Broker::start(&file));
    session(&service.listen, &login);

    for round in 0..5 {
        let next = format!("next-password-{round}");
        // The file is older than the server's mind for a moment only; the session may wait, but not fail.
        alter(cluster, &login, &next);
        fs::write(&password, &next).unwrap();
        session(&service.listen, &login);
    }
}

fn alter(cluster: &Cluster, login: &Login, password: &str) {
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
}

#[test]
fn a_credential_that_is_not_there_yet_is_awaited_and_said_so() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let password = file.directory().join("password");
    // A client waits for the credential as long as a handshake may take.
    let service = pg("late", cluster, &login).file("password", &password).line("timeouts: {handshake: 2s}");
    let other = pg("other", cluster, &login);
    file.services.extend([service.clone(), other.clone()]);
    let broker = started(Broker::launch(&file));

    wait::until("the other service works", || psql(&other.listen, &login).run("").unwrap().status.success());
    let ready = broker.get("/ready?full=1").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("late"), "{}", ready.body);
    assert_eq!(broker.get("/live").unwrap().status, 200);
    let error = refusal(&service.listen, &login.name);
    crate::support::assert_is_ours(&error, "late", "57P03", "credential", &login);

    fs::write(&password, &login.password).unwrap();
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);

    // What was once there serves on when its file goes, or is empty for a moment.
    fs::write(&password, "").unwrap();
    session(&service.listen, &login);
    fs::remove_file(&password).unwrap();
    session(&service.listen, &login);
    assert_eq!(broker.get("/ready").unwrap().status, 200);
}

#[test]
fn a_credential_may_come_from_the_environment() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login)
        .credential("password", tests::broker::Value::From("env", "TEST_DB_PASSWORD".to_owned()));
    let file = File::with([service.clone()]).unwrap();
    let config = file.write().unwrap();
    let mut command = tests::broker::command(&config).unwrap();
    command.env("TEST_DB_PASSWORD", &login.password);
    let broker = started(Broker::launch_with(&mut command, file.admin(), config));
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}

#[test]
fn a_service_that_is_not_required_does_not_hold_up_readiness() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let file = File::new().unwrap();
    let optional = pg("optional", cluster, &login)
        .file("password", &file.directory().join("nothing"))
        .line("required: false");
    broker([optional, pg("db", cluster, &login)]);
}
