//! The target goes away at every stage: the client is told, or sees its connection end, and never waits.

use tests::broker::{Listen, Service, pg};
use tests::postgres::{Cluster, Login, Major, Options, shared};
use tests::pretend::Pretender;
use tests::wire::{self, VERSION_3_0, Wire, startup};

use crate::support::{assert_is_ours, broker, psql, refusal, session};

/// A server that a test may kill.
fn mortal() -> (Cluster, Login, Service) {
    let cluster = Cluster::start(&Major::Distribution.installation().unwrap(), &Options::default()).unwrap();
    let login = cluster.user(None).unwrap();
    let service = pg("db", &cluster, &login);
    (cluster, login, service)
}

/// How many bytes the target sends in a handshake, counted up to the end of the session's first query.
fn bytes_of_a_handshake(service: &Service, login: &Login, target: std::net::SocketAddr) -> usize {
    // The shortest break that lets a session through: found by halving.
    let (mut fails, mut works) = (0, 1 << 16);
    while works - fails > 1 {
        let middle = usize::midpoint(fails, works);
        if opens(service, login, target, middle) { works = middle } else { fails = middle }
    }
    works
}

/// Whether a session opens if the wire to the target breaks after this many bytes.
fn opens(service: &Service, login: &Login, target: std::net::SocketAddr, bytes: usize) -> bool {
    let wire = Pretender::breaking(target, bytes);
    let service = service.clone().literal("port", &wire.port.to_string());
    let _broker = broker([service.clone()]);
    let mut client = Wire::connect(&service.listen).unwrap();
    client.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)])).unwrap();
    client.messages_until('Z').is_ok()
}

#[test]
fn a_target_that_breaks_off_after_any_byte_of_the_handshake_is_told_to_the_client() {
    let cluster = shared(Major::Distribution);
    for sslmode in ["disable", "require"] {
        let login = cluster.user(None).unwrap();
        let service = pg("db", cluster, &login).literal("sslmode", sslmode);
        let whole = bytes_of_a_handshake(&service, &login, cluster.address());
        // One service for each place to break at: each byte in clear, and a sample of TLS records' insides.
        let step = if sslmode == "disable" { 1 } else { 37 };
        let breaks: Vec<usize> = (0..whole).step_by(step).collect();
        assert!(breaks.len() > 30, "a handshake of {whole} bytes");
        let services: Vec<Service> = breaks
            .iter()
            .map(|bytes| {
                let wire = Pretender::breaking(cluster.address(), *bytes);
                let mut service = pg(&format!("break-{bytes}"), cluster, &login);
                service = service.literal("sslmode", sslmode).literal("port", &wire.port.to_string());
                service
            })
            .collect();
        let broker = broker(services.clone());
        for (bytes, service) in breaks.iter().zip(&services) {
            let mut client = Wire::connect(&service.listen).unwrap();
            client.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)])).unwrap();
            let first = client.message();
            let first = first.unwrap_or_else(|error| panic!("after {bytes} of {whole} bytes: {error}"));
            if first.kind == 'E' {
                assert_is_ours(&first, &service.name, "08006", "the target", &login);
                assert_eq!(client.rest().unwrap(), b"", "after {bytes} bytes");
            } else {
                // The handshake was over: what the target sent is passed on as far as it came, and nothing else.
                assert_eq!(first.kind, 'R', "after {bytes} of {whole} bytes");
                let rest = client.rest().unwrap();
                assert!(rest.len() < whole, "after {bytes} bytes");
            }
        }
        assert!(broker.process().ended().is_none());
    }
}

#[test]
fn a_server_that_dies_under_open_sessions_ends_them_and_serves_again_once_it_is_back() {
    let (cluster, login, service) = mortal();
    let broker = broker([service.clone()]);

    let mut idle = session(&service.listen, &login);
    let mut asking = session(&service.listen, &login);
    asking.send(&wire::query("SELECT pg_sleep(600)")).unwrap();
    let mut copying = session(&service.listen, &login);
    copying
        .send(&wire::query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT"))
        .unwrap();
    copying.messages_until('d').unwrap();
    let mut in_a_block = session(&service.listen, &login);
    in_a_block.query("BEGIN").unwrap();

    cluster.kill().unwrap();
    for (what, session) in [
        ("idle", &mut idle),
        ("asking", &mut asking),
        ("in a block", &mut in_a_block),
        ("copying", &mut copying),
    ] {
        // Whatever the server managed to say comes first; then the end, clean or by a reset.
        let _ = session.rest();
        assert!(session.query("SELECT 1").is_err(), "{what}: the session is over");
    }

    let error = refusal(&service.listen, &login.name);
    assert_is_ours(&error, "db", "08001", "connection refused", &login);

    cluster.resume().unwrap();
    assert_eq!(psql(&service.listen, &login).query("SELECT current_user").unwrap(), login.name);
    assert!(broker.process().ended().is_none());
}

#[test]
fn a_client_that_goes_takes_its_server_session_along() {
    let cluster = shared(Major::Distribution);
    for sslmode in ["disable", "require"] {
        for listen in [Listen::tcp(), Listen::unix().unwrap()] {
            let login = cluster.user(None).unwrap();
            let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
            let _broker = broker([service.clone()]);
            let sessions: Vec<Wire> = (0..10).map(|_| session(&service.listen, &login)).collect();
            let count = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", login.name);
            assert_eq!(cluster.sql(&count).unwrap(), "10");
            // Without a word, as a process that is killed.
            drop(sessions);
            tests::wait::until("the server's sessions end", || {
                cluster.sql(&count).is_ok_and(|open| open == "0")
            });
        }
    }
}
