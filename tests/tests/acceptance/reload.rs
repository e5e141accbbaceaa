//! The configuration changes while everything runs.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, thread};

use rustix::process::Signal;
use tests::broker::{Broker, File, Listen, Service, command, pg};
use tests::postgres::{Login, Major, shared};
use tests::wait;
use tests::wire::Wire;

use crate::support::{psql, session, started};

fn login() -> Login {
    shared(Major::Distribution).user(None).unwrap()
}

fn service(name: &str, login: &Login) -> Service {
    pg(name, shared(Major::Distribution), login)
}

#[track_caller]
fn wait_for_listener(listen: &Listen) {
    wait::until("the new service listens", || Wire::connect(listen).is_ok());
}

#[track_caller]
fn wait_for_no_listener(listen: &Listen) {
    wait::until("the removed service listens no more", || Wire::connect(listen).is_err());
}

#[test]
fn services_come_go_and_change_and_open_sessions_stay() {
    let login = login();
    let (kept, removed) = (service("kept", &login), service("removed", &login));
    let mut file = File::with([kept.clone(), removed.clone()]).unwrap();
    let broker = started(Broker::start(&file));
    let mut sessions = [session(&kept.listen, &login), session(&removed.listen, &login)];

    let added = service("added", &login).listening_on(Listen::unix().unwrap());
    file.services = vec![kept.clone().literal("application_name", "changed"), added.clone()];
    broker.reload(&file).unwrap();
    wait_for_listener(&added.listen);
    wait_for_no_listener(&removed.listen);

    assert_eq!(psql(&added.listen, &login).query("SELECT current_user").unwrap(), login.name);
    let mut changed = session(&kept.listen, &login);
    assert_eq!(changed.query("SHOW application_name").unwrap(), ["changed"]);
    for session in &mut sessions {
        assert_eq!(session.query("SHOW application_name").unwrap(), [""], "what is open goes on as it was");
    }
    assert_eq!(broker.get("/ready").unwrap().status, 200);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_told() {
    let login = login();
    let kept = service("kept", &login);
    let file = File::with([kept.clone()]).unwrap();
    let broker = started(Broker::start(&file));
    let mut open = session(&kept.listen, &login);
    for (wrong, told) in
        [("services: [", "secretless.yml"), ("version: \"2\"\nservices: {}\n", "cannot be blank")]
    {
        let said_before = broker.said().len();
        fs::write(broker.config(), wrong).unwrap();
        broker.process().signal(Signal::USR1);
        broker.process().wait_for_words("what is wrong", |said| said[said_before..].contains(told)).unwrap();
        session(&kept.listen, &login);
    }
    // Nor may a service lose the credential that it has.
    let said_before = broker.said().len();
    let mut file = file;
    file.services = vec![kept.clone().file("password", &file.directory().join("nothing"))];
    broker.reload(&file).unwrap();
    broker
        .process()
        .wait_for_words("what is lost", |said| {
            said[said_before..].contains("service 'kept' would be without a credential")
        })
        .unwrap();
    session(&kept.listen, &login);
    assert_eq!(open.query("SELECT 1").unwrap(), ["1"]);
    assert_eq!(broker.get("/ready").unwrap().status, 200);

    // And a right one is taken again.
    file.services = vec![kept, service("added", &login)];
    broker.reload(&file).unwrap();
    wait_for_listener(&file.services[1].listen);
}

#[test]
fn with_watch_a_change_of_the_file_is_enough() {
    let login = login();
    let mut file = File::with([service("first", &login)]).unwrap();
    let config = file.write().unwrap();
    let mut watching = command(&config).unwrap();
    let broker = started(Broker::launch_with(watching.arg("-watch"), file.admin(), config.clone()));
    broker.wait_until_ready().unwrap();

    // As an editor saves: a new file in the old one's place.
    file.services.push(service("renamed", &login));
    file.write_to(&config).unwrap();
    wait_for_listener(&file.services[1].listen);

    // As a shell writes: the same file, emptied and filled.
    file.services.push(service("in-place", &login));
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&config)
        .unwrap()
        .write_all(file.text().as_bytes())
        .unwrap();
    wait_for_listener(&file.services[2].listen);
    session(&file.services[2].listen, &login);
}

#[test]
fn under_load_no_connect_is_refused_and_no_session_lost() {
    let login = login();
    let steady = [service("tcp", &login), service("unix", &login).listening_on(Listen::unix().unwrap())];
    let mut file = File::with(steady.clone()).unwrap();
    let broker = started(Broker::start(&file));
    let done = AtomicBool::new(false);
    let sessions = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for service in &steady {
            for _ in 0..2 {
                workers.push(scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // Any failure here is the test's.
                        let mut session = session(&service.listen, &login);
                        assert_eq!(session.query("SELECT 1").unwrap(), ["1"]);
                        sessions.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            }
        }
        for round in 0.. {
            if round >= 30 && sessions.load(Ordering::Relaxed) >= 200 {
                break;
            }
            let passing = service(&format!("passing-{round}"), &login);
            file.services = steady.to_vec();
            for service in &mut file.services {
                *service = service.clone().literal("application_name", &format!("round-{round}"));
            }
            file.services.push(passing.clone());
            broker.reload(&file).unwrap();
            wait_for_listener(&passing.listen);
            if workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_service_that_goes_serves_every_connect_that_was_made() {
    let login = login();
    let keeper = service("keeper", &login);
    let mut file = File::with([keeper.clone()]).unwrap();
    let broker = started(Broker::start(&file));
    for listen in [Listen::tcp(), Listen::unix().unwrap()] {
        for round in 0..10 {
            let leaving = service(&format!("leaving-{round}"), &login).listening_on(listen.clone());
            file.services = vec![keeper.clone(), leaving.clone()];
            broker.reload(&file).unwrap();
            wait_for_listener(&leaving.listen);
            let gone = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while !gone.load(Ordering::Relaxed) {
                            // A connect may be refused once the service is going; one that was made is served.
                            let Ok(mut wire) = Wire::connect(&leaving.listen) else { continue };
                            wire.log_in(&login.name).unwrap();
                        }
                    });
                }
                file.services = vec![keeper.clone()];
                broker.reload(&file).unwrap();
                wait_for_no_listener(&leaving.listen);
                gone.store(true, Ordering::Relaxed);
            });
        }
    }
}
