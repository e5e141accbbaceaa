//! A cancel request reaches the session that it is for, wherever it comes from.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tests::broker::{Broker, File, Listen, Service, pg};
use tests::postgres::{Cluster, Login, Major, shared};
use tests::psql::Psql;
use tests::wait;
use tests::wire::{self, CANCEL_REQUEST, GSSENC_REQUEST, Message, SSL_REQUEST, Wire, packet};

use crate::support::{broker, psql, session, started};

/// Waits until the login has a query that sleeps.
#[track_caller]
pub(crate) fn wait_for_sleeper(cluster: &Cluster, login: &Login) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'",
        login.name
    );
    wait::until("a query sleeps", || cluster.sql(&sql).is_ok_and(|count| count != "0"));
}

/// Starts psql with a query that would take ten minutes, and presses Ctrl-C.
#[track_caller]
pub(crate) fn press_ctrl_c(psql: &Psql, cluster: &Cluster, login: &Login) {
    let mut command = psql.command();
    command.args(["--command", "SELECT pg_sleep(600)"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_sleeper(cluster, login);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("57014: canceling statement due to user request"), "{said}");
}

#[test]
fn ctrl_c_in_psql_works_with_and_without_tls_over_either_socket() {
    for major in Major::ALL {
        let cluster = shared(major);
        for sslmode in ["disable", "require"] {
            for listen in [Listen::tcp(), Listen::unix().unwrap()] {
                let login = cluster.user(None).unwrap();
                let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
                let _broker = broker([service.clone()]);
                press_ctrl_c(&psql(&service.listen, &login), cluster, &login);
            }
        }
    }
}

#[test]
fn long_keys_of_protocol_3_2_work() {
    let cluster = shared(Major::Newer);
    for sslmode in ["disable", "require"] {
        let login = cluster.user(None).unwrap();
        let service = pg("db", cluster, &login).literal("sslmode", sslmode);
        let _broker = broker([service.clone()]);
        let newer = psql(&service.listen, &login).newer().unwrap().with("min_protocol_version=3.2");
        press_ctrl_c(&newer, cluster, &login);
    }
}

/// The bytes of a cancel request for a session that began with these messages.
pub(crate) fn cancel_of(opening: &[Message]) -> Vec<u8> {
    let key = opening.iter().find(|message| message.kind == 'K').expect("a cancel key");
    packet(CANCEL_REQUEST, &key.body)
}

/// A session that sleeps, and the cancel request for it.
#[track_caller]
fn sleeper(service: &Service, cluster: &Cluster, login: &Login) -> (Wire, Vec<u8>) {
    let mut wire = Wire::connect(&service.listen).unwrap();
    let cancel = cancel_of(&wire.log_in(&login.name).unwrap());
    wire.send(&wire::query("SELECT pg_sleep(600)")).unwrap();
    wait_for_sleeper(cluster, login);
    (wire, cancel)
}

#[track_caller]
pub(crate) fn assert_is_cancelled(mut wire: Wire) {
    let answer = wire.messages_until('Z').unwrap();
    let error = answer.iter().find(|message| message.kind == 'E').expect("the query fails");
    assert_eq!(error.field('C'), "57014");
    assert_eq!(wire.query("SELECT 'still here'").unwrap(), ["still here"]);
}

#[test]
fn a_cancel_may_ask_for_encryption_first_and_ends_without_an_answer() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).literal("sslmode", "require");
    let _broker = broker([service.clone()]);
    let (wire, cancel) = sleeper(&service, cluster, &login);
    let mut canceller = Wire::connect(&service.listen).unwrap();
    for request in [GSSENC_REQUEST, SSL_REQUEST] {
        canceller.send(&packet(request, b"")).unwrap();
        assert_eq!(canceller.byte().unwrap(), b'N');
    }
    canceller.send(&cancel).unwrap();
    assert_eq!(canceller.rest().unwrap(), b"", "a cancel request has no answer");
    assert_is_cancelled(wire);
}

#[test]
fn a_cancel_works_from_a_client_that_does_not_wait_for_the_end() {
    // tokio-postgres sends the request and is gone.
    let cluster = shared(Major::Distribution);
    for sslmode in ["disable", "require"] {
        for listen in [Listen::tcp(), Listen::unix().unwrap()] {
            let login = cluster.user(None).unwrap();
            let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
            let _broker = broker([service.clone()]);
            let (wire, cancel) = sleeper(&service, cluster, &login);
            Wire::connect(&service.listen).unwrap().send(&cancel).unwrap();
            assert_is_cancelled(wire);
        }
    }
}

#[test]
fn a_cancel_works_after_a_reload_and_for_a_session_that_outlived_its_service() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    let mut file = File::with([service.clone()]).unwrap();
    let broker = started(Broker::start(&file));
    let (wire, cancel) = sleeper(&service, cluster, &login);

    let added = pg("added", cluster, &login);
    file.services = vec![service.clone().literal("application_name", "changed"), added.clone()];
    broker.reload(&file).unwrap();
    wait::until("the added service listens", || Wire::connect(&added.listen).is_ok());

    let mut canceller = Wire::connect(&service.listen).unwrap();
    canceller.send(&cancel).unwrap();
    assert_eq!(canceller.rest().unwrap(), b"");
    assert_is_cancelled(wire);
}

#[test]
fn a_wrong_key_or_length_cancels_nothing_and_gets_no_answer() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    let _broker = broker([service.clone()]);
    let mut bystander = session(&service.listen, &login);
    // process id and key: an unknown one, the longest allowed, one byte too long, too short, none.
    for length in [8, 4 + 256, 4 + 257, 5, 0] {
        let mut canceller = Wire::connect(&service.listen).unwrap();
        canceller.send(&packet(CANCEL_REQUEST, &vec![0x55; length])).unwrap();
        assert_eq!(canceller.rest().unwrap(), b"", "{length} bytes");
    }
    assert_eq!(bystander.query("SELECT 1").unwrap(), ["1"]);
}
