//! What the admin address says is true.

use std::net::TcpListener;

use tests::broker::{Broker, File, pg};
use tests::http;
use tests::postgres::{Major, shared};
use tests::wait;
use tests::wire;

use crate::support::{broker, refusal, session, started};

#[test]
fn live_and_ready_answer_as_those_of_the_go_broker() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let broker = broker([pg("db", cluster, &login)]);
    for path in ["/live", "/livez", "/healthz", "/ready", "/readyz"] {
        let response = broker.get(path).unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "{}\n"), "{path}");
        assert!(response.head.to_lowercase().contains("content-type: application/json; charset=utf-8"));
        let full = broker.get(&format!("{path}?full=1")).unwrap();
        assert_eq!(full.status, 200, "{path}");
        assert!(full.body.contains("OK"), "{}", full.body);
    }
    assert_eq!(http::request(broker.admin(), "POST", "/live").unwrap().status, 405);
    assert_eq!(broker.get("/elsewhere").unwrap().status, 404);
}

#[test]
fn metrics_count_what_happened() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let works = pg("works", cluster, &login);
    let fails = pg("fails", cluster, &login).literal("port", &tests::ports::free().to_string());
    let broker = broker([works.clone(), fails.clone()]);
    let mut sessions: Vec<_> = (0..3).map(|_| session(&works.listen, &login)).collect();
    for _ in 0..2 {
        refusal(&fails.listen, &login.name);
    }
    let answer = sessions[0].query("SELECT repeat('x', 100000)").unwrap();
    assert_eq!(answer[0].len(), 100_000);
    sessions.pop().unwrap().send(&wire::message('X', b"")).unwrap();

    let metric = |name: &str, labels: &[&str]| broker.metric(name, labels).unwrap();
    wait::until("the counters say so", || {
        metric("secretless_sessions_established_total", &["works"]) == 3.0
            && metric("secretless_sessions_active", &["works"]) == 2.0
            && metric("secretless_sessions_closed_total", &["works"]) == 1.0
            && metric("secretless_sessions_failed_total", &["fails", "cause=\"dial\""]) == 2.0
            && metric("secretless_bytes_total", &["works", "direction=\"to_client\""]) > 100_000.0
    });
    assert_eq!(metric("secretless_sessions_opened_total", &["works"]), 3.0);
    assert_eq!(metric("secretless_sessions_failed_total", &["works"]), 0.0);
    assert_eq!(metric("secretless_listener_up", &[]), 2.0);
    assert_eq!(metric("secretless_handshake_duration_seconds_count", &["works"]), 3.0);
    let text = broker.get("/metrics").unwrap();
    assert!(text.body.ends_with("# EOF\n"), "OpenMetrics ends with a word of its own");
}

#[test]
fn an_admin_address_that_is_taken_ends_the_start() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let file = File::with([pg("db", cluster, &login)]).unwrap();
    let _taken = TcpListener::bind(file.admin()).unwrap();
    let broker = started(Broker::launch(&file));
    assert_eq!(broker.process().wait().unwrap().code(), Some(1));
    assert!(broker.said().contains(&file.admin().to_string()), "{}", broker.said());
}

#[test]
fn the_admin_address_can_be_switched_off() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    let file = File::with([service.clone()]).unwrap();
    let path = file.directory().join("off.yml");
    let text = file.text().replace(&format!("admin: \"{}\"", file.admin()), "admin: off");
    std::fs::write(&path, text).unwrap();
    let mut command = tests::broker::command(&path).unwrap();
    let _broker = started(Broker::launch_with(&mut command, file.admin(), path));
    wait::until("it serves", || wire::Wire::connect(&service.listen).is_ok());
    session(&service.listen, &login);
    assert!(http::get(file.admin(), "/live").is_err());
}
