//! Limits are kept, told, and forgotten once there is room again.

use std::process::Command;

use tests::broker::{Broker, File, command, pg};
use tests::postgres::{Major, shared};
use tests::wait;
use tests::wire::Wire;

use crate::support::{assert_is_ours, broker, refusal, session, started};

#[test]
fn a_service_takes_as_many_sessions_as_it_may() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let narrow = pg("narrow", cluster, &login).line("limits: {sessions: 3}");
    let wide = pg("wide", cluster, &login);
    let _broker = broker([narrow.clone(), wide.clone()]);
    let mut sessions: Vec<Wire> = (0..3).map(|_| session(&narrow.listen, &login)).collect();
    let error = refusal(&narrow.listen, &login.name);
    assert_is_ours(&error, "narrow", "53300", "limits: sessions", &login);
    session(&wide.listen, &login);

    sessions.pop();
    wait::until("there is room again", || {
        Wire::connect(&narrow.listen).is_ok_and(|mut wire| wire.log_in(&login.name).is_ok())
    });
}

#[test]
fn the_broker_takes_as_many_sessions_as_it_may() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let (one, two) = (pg("one", cluster, &login), pg("two", cluster, &login));
    let mut file = File::with([one.clone(), two.clone()]).unwrap();
    file.broker.push("limits: {sessions: 4}".to_owned());
    let _broker = started(Broker::start(&file));
    let sessions: Vec<Wire> = (0..4).map(|n| session([&one.listen, &two.listen][n % 2], &login)).collect();
    assert_is_ours(&refusal(&one.listen, &login.name), "one", "53300", "limits: sessions", &login);
    drop(sessions);
    wait::until("there is room again", || {
        Wire::connect(&two.listen).is_ok_and(|mut wire| wire.log_in(&login.name).is_ok())
    });
}

#[test]
fn the_listener_recovers_once_descriptors_are_free_again() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    let mut file = File::with([service.clone()]).unwrap();
    file.broker.push("workers: 2".to_owned());
    let config = file.write().unwrap();
    let plain = command(&config).unwrap();
    // Hard limit too, or the broker would raise it.
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=100:100").arg("--").arg(plain.get_program()).args(plain.get_args());
    let broker = started(Broker::launch_with(&mut limited, file.admin(), config));
    broker.wait_until_ready().unwrap();
    let warning = "WARN 100 descriptors are room for about 0 sessions, and broker.limits.sessions is 10000";
    broker.process().wait_for_words("how few they are", |said| said.contains(warning)).unwrap();

    // Connections that do nothing, until no descriptor is left. The kernel's queue takes what the broker cannot.
    let crowd: Vec<Wire> = (0..200).map(|_| Wire::connect(&service.listen).unwrap()).collect();
    let directory = format!("/proc/{}/fd", broker.process().pid());
    wait::until("every descriptor is taken", || {
        std::fs::read_dir(&directory).is_ok_and(|open| open.count() >= 95)
    });
    drop(crowd);

    for _ in 0..20 {
        session(&service.listen, &login);
    }
    assert_eq!(broker.get("/live").unwrap().status, 200);
    // One worker may still rest while the other one serves.
    broker.wait_until_ready().unwrap();
}

#[test]
fn an_idle_session_ends_after_the_idle_time_and_a_busy_one_does_not() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).line("timeouts: {idle: 1s}");
    let _broker = broker([service.clone()]);
    let mut idle = session(&service.listen, &login);
    let mut busy = session(&service.listen, &login);
    let ended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| idle.rest().is_ok());
        while !waiting.is_finished() {
            assert_eq!(busy.query("SELECT 1").unwrap(), ["1"]);
        }
        waiting.join().unwrap()
    });
    assert!(ended, "the idle session ends without a reset");
    assert_eq!(busy.query("SELECT 1").unwrap(), ["1"]);
}
