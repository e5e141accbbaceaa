//! The broker stops as it was asked to: nothing new, what is open may finish, then the rest is cut.

use std::thread;

use rustix::process::Signal;
use tests::broker::{Broker, File, Listen, pg};
use tests::postgres::{Login, Major, shared};
use tests::pretend::Pretender;
use tests::wait;
use tests::wire::{self, VERSION_3_0, Wire, startup};

use crate::support::{assert_is_ours, only_error, session, started};

/// A broker with one service, and how long it lets sessions go on.
fn draining(listen: Listen, drain: &str) -> (Login, Listen, Broker) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::with([pg("db", cluster, &login).listening_on(listen.clone())]).unwrap();
    file.broker.push(format!("drainTimeout: {drain}"));
    (login, listen, started(Broker::start(&file)))
}

#[test]
fn it_ends_at_once_when_nothing_is_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_, listen, broker) = draining(Listen::tcp(), "600s");
        broker.process().signal(signal);
        assert_eq!(broker.process().wait().unwrap().code(), Some(0), "{signal:?}: {}", broker.said());
        assert!(Wire::connect(&listen).is_err());
    }
}

#[test]
fn open_sessions_finish_first_and_nothing_new_begins() {
    for listen in [Listen::tcp(), Listen::unix().unwrap()] {
        let (login, listen, broker) = draining(listen, "600s");
        let mut open = session(&listen, &login);
        broker.process().signal(Signal::TERM);
        wait::until("nothing new begins", || Wire::connect(&listen).is_err());
        let ready = broker.get("/ready").unwrap();
        assert_eq!(ready.status, 503, "{}", ready.body);
        assert_eq!(broker.get("/live").unwrap().status, 200);
        assert_eq!(open.query("SELECT 'still served'").unwrap(), ["still served"]);
        assert!(broker.process().ended().is_none());

        open.send(&wire::message('X', b"")).unwrap();
        assert_eq!(open.rest().unwrap(), b"");
        drop(open);
        assert_eq!(broker.process().wait().unwrap().code(), Some(0), "{}", broker.said());
        if let Listen::Unix(path) = listen {
            assert!(!path.exists(), "its socket is gone");
        }
    }
}

#[test]
fn sessions_that_do_not_finish_are_cut_after_the_drain_time() {
    let (login, listen, broker) = draining(Listen::tcp(), "1s");
    let mut open = session(&listen, &login);
    broker.process().signal(Signal::TERM);
    assert_eq!(broker.process().wait().unwrap().code(), Some(0), "{}", broker.said());
    // The session ends with it, whatever was said before.
    let _ = open.rest();
    assert!(open.query("SELECT 1").is_err());
}

#[test]
fn a_second_signal_waits_for_nobody() {
    let (login, listen, broker) = draining(Listen::tcp(), "600s");
    let _open = session(&listen, &login);
    broker.process().signal(Signal::TERM);
    wait::until("nothing new begins", || Wire::connect(&listen).is_err());
    broker.process().signal(Signal::TERM);
    assert_eq!(broker.process().wait().unwrap().code(), Some(0), "{}", broker.said());
}

#[test]
fn a_handshake_that_is_under_way_is_told_why_it_ends() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let silent = Pretender::silent();
    let service = pg("db", cluster, &login).literal("port", &silent.port.to_string());
    let mut file = File::with([service.clone()]).unwrap();
    file.broker.push("drainTimeout: 1s".to_owned());
    let broker = started(Broker::start(&file));
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)])).unwrap();
    wait::until("the target is dialled", || silent.connections() == 1);
    let told = thread::spawn(move || only_error(&mut wire));
    broker.process().signal(Signal::TERM);
    assert_is_ours(&told.join().unwrap(), "db", "57P01", "the broker is shutting down", &login);
    assert_eq!(broker.process().wait().unwrap().code(), Some(0), "{}", broker.said());
}

#[test]
fn a_new_broker_takes_over_the_address_of_one_that_drains() {
    for listen in [Listen::tcp(), Listen::unix().unwrap()] {
        let (login, listen, old) = draining(listen, "600s");
        let mut open = session(&listen, &login);
        old.process().signal(Signal::TERM);
        wait::until("the old one listens no more", || Wire::connect(&listen).is_err());
        let service = pg("db", shared(Major::Distribution), &login).listening_on(listen.clone());
        let new = started(Broker::start(&File::with([service]).unwrap()));
        session(&listen, &login);
        drop(open.query("SELECT 1").unwrap());
        drop(open);
        assert_eq!(old.process().wait().unwrap().code(), Some(0));
        // The old one has not taken the new one's socket along.
        session(&listen, &login);
        assert!(new.stop().unwrap().success());
    }
}
