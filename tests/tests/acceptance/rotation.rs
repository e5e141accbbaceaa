//! A credential changes while everything runs.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tests::broker::{Broker, File, Service, pg};
use tests::postgres::{Cluster, Login, Major, shared};
use tests::pretend::Pretender;
use tests::wait;
use tests::wire::{self, VERSION_3_0, Wire, startup};

use crate::support::{broker, psql, refusal, session, started};

/// A service whose password lies in a file, and a broker that serves it.
struct Kept {
    cluster: &'static Cluster,
    login: Login,
    /// The file.
    password: PathBuf,
    service: Service,
    broker: Broker,
}

/// The file holds the right password, or else this one.
fn kept_in_a_file(other: Option<&str>) -> Kept {
    kept(other, |service| service)
}

/// The same with a service that differs from the plain one.
fn kept(other: Option<&str>, differ: impl FnOnce(Service) -> Service) -> Kept {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    let password = file.secret("password", other.unwrap_or(&login.password)).unwrap();
    let service = differ(pg("db", cluster, &login).file("password", &password));
    file.services.push(service.clone());
    let broker = started(Broker::start(&file));
    Kept { cluster, login, password, service, broker }
}

/// How often the server has refused this user's password.
fn refusals(cluster: &Cluster, login: &Login) -> usize {
    let words = format!("password authentication failed for user \"{}\"", login.name);
    cluster.log().lines().filter(|line| line.contains(&words)).count()
}

/// A service whose password lies in a file that has a wrong one, then the right one, then a newer one.
fn assert_new_password_is_taken(change: impl Fn(&Path, &str)) {
    let Kept { cluster, login, password, service, broker } = kept_in_a_file(Some("wrong"));

    // Whoever comes while the credential rests waits for a better one, and hears the same without another failed login: 1 s
    // and 2 s lie between three logins, and each waits for 2 s.
    for _ in 0..3 {
        let error = refusal(&service.listen, &login.name);
        assert_eq!(error.field('C'), "28P01", "the server's own words: {}", error.field('M'));
        assert!(error.field('M').starts_with("password authentication failed"), "{}", error.field('M'));
    }
    assert!(refusals(cluster, &login) <= 4, "{} failed logins", refusals(cluster, &login));

    // No back-off may stand in the way of a value that has changed.
    change(&password, &login.password);
    wait::until("the right password is taken", || {
        psql(&service.listen, &login).run("").unwrap().status.success()
    });
    let mut open = session(&service.listen, &login);
    let pid = open.query("SELECT pg_backend_pid()").unwrap();

    alter(cluster, &login, "another");
    change(&password, "another");
    session(&service.listen, &login);

    // What was open has not noticed, nor has the process.
    assert_eq!(open.query("SELECT pg_backend_pid()").unwrap(), pid);
    assert!(broker.process().ended().is_none());
}

#[test]
fn open_sessions_end_once_the_server_has_accepted_a_new_password_if_the_service_wants_it() {
    for line in ["onRotation: close", "onRotation: drain\ndrainWithin: 100ms"] {
        let Kept { cluster, login, password, service, broker } =
            kept(None, |service| line.lines().fold(service, Service::line));
        let mut open = session(&service.listen, &login);
        // A password that the server refuses ends nothing.
        fs::write(&password, "not yet known").unwrap();
        broker
            .process()
            .wait_for_words("that it has changed", |said| said.contains("the credential has changed"))
            .unwrap();
        session(&service.listen, &login);
        assert_eq!(open.query("SELECT 1").unwrap(), ["1"], "{line}");

        alter(cluster, &login, "not yet known");
        let mut newer = session(&service.listen, &login);
        assert_eq!(open.rest().unwrap(), Vec::<u8>::new(), "{line}");
        assert_eq!(newer.query("SELECT 1").unwrap(), ["1"], "{line}");
        wait::until("it is counted", || {
            broker.metric("secretless_sessions_recycled_total", &["db"]).unwrap() >= 1.0
        });
    }
}

#[test]
fn a_password_that_the_file_has_before_the_server_costs_nobody_a_session() {
    let Kept { cluster, login, password, service, broker } = kept_in_a_file(None);
    session(&service.listen, &login);

    fs::write(&password, "not yet known").unwrap();
    // One session tries it and is refused; it and all others go on with the one that works.
    wait::until("the server is asked about the new password", || {
        session(&service.listen, &login);
        refusals(cluster, &login) > 0
    });
    broker
        .process()
        .wait_for_words("that the last one stays in use", |said| {
            said.contains("the target refuses the new credential")
        })
        .unwrap();
    assert_eq!(broker.metric("secretless_credential_refused", &["db"]).unwrap(), 1.0);
    let before = refusals(cluster, &login);
    for _ in 0..20 {
        session(&service.listen, &login);
    }
    assert!(refusals(cluster, &login) <= before + 2, "the account is left alone");

    // Now the server follows, and refuses the old one.
    alter(cluster, &login, "not yet known");
    for _ in 0..20 {
        session(&service.listen, &login);
    }
    broker
        .process()
        .wait_for_words("that the new one is in use", |said| said.contains("the new credential is in use"))
        .unwrap();
}

#[test]
fn many_clients_of_a_wrong_password_are_one_failed_login() {
    let Kept { cluster, login, service, broker: _broker, .. } = kept_in_a_file(Some("wrong"));

    let clients: Vec<Wire> = (0..50).map(|_| ask(&service)).collect();
    for mut client in clients {
        let error = client.message().unwrap();
        assert_eq!((error.kind, &*error.field('C')), ('E', "28P01"), "{}", error.field('M'));
    }
    assert!(refusals(cluster, &login) <= 4, "{} failed logins", refusals(cluster, &login));
}

/// A server that asks for an MD5 response, and leaves the answer to `verdict`: it is given the number of the proof.
fn judge(
    verdict: impl Fn(usize, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> (Pretender, Arc<AtomicUsize>) {
    let proofs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&proofs);
    let target = Pretender::new(move |mut stream| {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        stream.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize - 4])?;
        stream.write_all(&wire::message('R', b"\0\0\0\x05salt"))?;
        // `p`, a length, and the response with its NUL.
        stream.read_exact(&mut [0; 5 + 36])?;
        verdict(count.fetch_add(1, Ordering::SeqCst), &mut stream)
    });
    (target, proofs)
}

fn judged(target: &Pretender) -> Service {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    pg("db", cluster, &login).literal("port", &target.port.to_string()).literal("sslmode", "disable")
}

#[test]
fn a_client_that_goes_early_does_not_have_the_password_tried_over_and_over() {
    let (sender, go) = mpsc::channel::<()>();
    let go = Mutex::new(go);
    let (target, proofs) = judge(move |number, stream| {
        if number == 0 {
            let _ = go.lock().unwrap().recv();
            return stream.write_all(&wire::message('E', b"C28P01\0Mno\0\0"));
        }
        stream.write_all(&wire::message('R', &[0; 4]))
    });
    let service = judged(&target);
    let mut file = File::with([service.clone()]).unwrap();
    file.broker.push("workers: 1".to_owned());
    let _broker = started(Broker::start(&file));
    let first = ask(&service);
    wait::until("the first one tries", || proofs.load(Ordering::SeqCst) == 1);
    drop(first);
    // The worker has seen the end of the first one when it has taken the second.
    let mut second = ask(&service);
    wait::until("the second one is at the target", || target.connections() == 2);
    sender.send(()).unwrap();
    let error = second.message().unwrap();
    assert_eq!((error.kind, &*error.field('C')), ('E', "28P01"), "what was said to the first one");
    assert_eq!(proofs.load(Ordering::SeqCst), 1);
}

/// A client that has sent its startup packet.
fn ask(service: &Service) -> Wire {
    let mut client = Wire::connect(&service.listen).unwrap();
    client.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", "db")])).unwrap();
    client
}

#[test]
fn clients_that_go_while_they_wait_for_a_trial_hold_up_nobody() {
    let (sender, go) = mpsc::channel::<()>();
    let go = Mutex::new(go);
    let (target, proofs) = judge(move |number, stream| {
        if number == 0 {
            // Breaks off without a word, when it is told to.
            let _ = go.lock().unwrap().recv();
            return Ok(());
        }
        stream.write_all(&wire::message('R', &[0; 4]))?;
        stream.write_all(&wire::message('Z', b"I"))?;
        io::copy(stream, &mut io::sink()).map(drop)
    });
    let service = judged(&target);
    let broker = broker([service.clone()]);
    let mut first = ask(&service);
    wait::until("the first one tries", || proofs.load(Ordering::SeqCst) == 1);
    let waiting: Vec<Wire> = (0..12).map(|_| ask(&service)).collect();
    wait::until("the others are at the target", || target.connections() == 13);
    drop(waiting);
    wait::until("they are gone", || broker.metric("secretless_connections", &[]).is_ok_and(|n| n <= 1.0));
    let mut honest = ask(&service);
    wait::until("the honest one is at the target", || target.connections() == 14);
    sender.send(()).unwrap();
    assert_eq!(first.message().unwrap().kind, 'E');
    assert_eq!(honest.message().unwrap().kind, 'R', "it does not wait for those who went");
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
    let Kept { cluster, login, password, service, broker: _broker } = kept_in_a_file(None);
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
fn a_credential_that_never_will_be_there_is_not_waited_for() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let value = |provider| tests::broker::Value::From(provider, "NOBODY_SETS_THIS".to_owned());
    let unset = pg("unset", cluster, &login).credential("password", value("env"));
    let unknown = pg("unknown", cluster, &login).credential("password", value("keychain"));
    let file = File::with([unset.clone(), unknown.clone()]).unwrap();
    let broker = started(Broker::launch(&file));
    for service in [unset, unknown] {
        wait::until("it listens", || Wire::connect(&service.listen).is_ok());
        let error = refusal(&service.listen, &login.name);
        crate::support::assert_is_ours(&error, &service.name, "57P03", "cannot be had", &login);
    }
    let ready = broker.get("/ready?full=1").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("NOBODY_SETS_THIS") && ready.body.contains("keychain"), "{}", ready.body);
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
