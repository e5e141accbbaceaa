//! What clients send first, well-formed and not.

use tests::broker::{Listen, Service, pg};
use tests::postgres::{Login, Major, shared};
use tests::pretend::Pretender;
use tests::wire::{GSSENC_REQUEST, SSL_REQUEST, VERSION_3_0, Wire, packet, startup};

use crate::support::{assert_is_ours, broker, only_error, psql, session};

fn service() -> (Login, Service) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    (login, service)
}

/// A service whose target is only counted, and what must come back for these bytes.
#[track_caller]
fn assert_refused_without_a_dial(bytes: &[u8], sqlstate: &str, cause: &str) {
    let (login, service) = service();
    let target = Pretender::silent();
    let service = service.literal("port", &target.port.to_string());
    let _broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(bytes).unwrap();
    assert_is_ours(&only_error(&mut wire), "db", sqlstate, cause, &login);
    assert_eq!(target.connections(), 0, "nobody has to be asked for this");
}

#[test]
fn encryption_is_refused_in_either_order_and_the_session_goes_on() {
    let (login, service) = service();
    let _broker = broker([service.clone()]);
    for order in [
        &[GSSENC_REQUEST, SSL_REQUEST][..],
        &[SSL_REQUEST, GSSENC_REQUEST],
        &[SSL_REQUEST],
        &[GSSENC_REQUEST],
    ] {
        let mut wire = Wire::connect(&service.listen).unwrap();
        for request in order {
            wire.send(&packet(*request, b"")).unwrap();
            assert_eq!(wire.byte().unwrap(), b'N');
        }
        wire.log_in(&login.name).unwrap();
    }
}

#[test]
fn libpq_with_each_sslmode_does_as_with_a_server_without_tls() {
    let (login, service) = service();
    let unix = service.clone().listening_on(Listen::unix().unwrap());
    let _broker = broker([service.clone(), Service { name: "unix".to_owned(), ..unix.clone() }]);
    for sslmode in ["disable", "allow", "prefer"] {
        let psql = psql(&service.listen, &login).with(&format!("sslmode={sslmode}"));
        assert_eq!(psql.query("SELECT current_user").unwrap(), login.name, "{sslmode}");
    }
    let strict = psql(&service.listen, &login).with("sslmode=require");
    assert!(strict.refusal().contains("server does not support SSL, but SSL was required"));
    let strict = psql(&unix.listen, &login).with("sslmode=require");
    assert_eq!(strict.query("SELECT current_user").unwrap(), login.name, "libpq ignores it on a Unix socket");
}

#[test]
fn asking_twice_for_encryption() {
    let (login, service) = service();
    let _broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&packet(SSL_REQUEST, b"")).unwrap();
    assert_eq!(wire.byte().unwrap(), b'N');
    wire.send(&packet(SSL_REQUEST, b"")).unwrap();
    assert_is_ours(&only_error(&mut wire), "db", "08P01", "asked for encryption twice", &login);
}

#[test]
fn bytes_behind_a_request_for_encryption() {
    let (login, service) = service();
    let _broker = broker([service.clone()]);
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let mut wire = Wire::connect(&service.listen).unwrap();
        let stuffed =
            [packet(request, b""), startup(VERSION_3_0, &[("user", "x"), ("database", &login.name)])];
        wire.send(&stuffed.concat()).unwrap();
        assert_eq!(wire.byte().unwrap(), b'N');
        assert_is_ours(
            &only_error(&mut wire),
            "db",
            "08P01",
            "bytes behind its request for encryption",
            &login,
        );
    }
}

#[test]
fn a_version_that_nobody_speaks() {
    let parameters = [("user", "anybody"), ("database", "db")];
    for (version, name) in [(0x0002_0000, "2.0"), (0x0004_0000, "4.0")] {
        assert_refused_without_a_dial(
            &startup(version, &parameters),
            "0A000",
            &format!("unsupported frontend protocol {name}"),
        );
    }
}

#[test]
fn a_first_packet_that_is_too_short_or_too_long() {
    for length in [0u32, 4, 7, 10_001, 0x7fff_ffff, 0xffff_ffff] {
        let bytes = [length.to_be_bytes(), VERSION_3_0.to_be_bytes()].concat();
        assert_refused_without_a_dial(&bytes, "08P01", "invalid length of startup packet");
    }
}

#[test]
fn a_first_packet_that_is_not_well_formed() {
    for rest in [&b"user\0anybody"[..], b"user\0anybody\0", b"user\0", b"", b"user\0anybody\0\0more"] {
        assert_refused_without_a_dial(&packet(VERSION_3_0, rest), "08P01", "invalid startup packet layout");
    }
}

#[test]
fn the_longest_startup_packet_that_postgresql_takes_is_taken() {
    let (login, service) = service();
    let _broker = broker([service.clone()]);
    let frame =
        startup(VERSION_3_0, &[("user", "u"), ("database", &login.name), ("application_name", "")]).len();
    // The injected user's name is longer than the client's, and the target has the same limit.
    let filler = "x".repeat(10_000 - frame - 64);
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&startup(
        VERSION_3_0,
        &[("user", "u"), ("database", &login.name), ("application_name", &filler)],
    ))
    .unwrap();
    wire.messages_until('Z').unwrap();
}

#[test]
fn a_startup_packet_may_come_byte_by_byte() {
    let (login, service) = service();
    let _broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    for byte in startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)]) {
        wire.send(&[byte]).unwrap();
    }
    wire.messages_until('Z').unwrap();
    assert_eq!(wire.query("SELECT 1").unwrap(), ["1"]);
}

#[test]
fn a_client_that_opens_with_tls_is_told_in_tls() {
    let (_, service) = service();
    let _broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    // The head of a ClientHello.
    wire.send(&[0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00]).unwrap();
    let alert = wire.rest().unwrap();
    assert_eq!(alert.first_chunk::<2>(), Some(&[0x15, 0x03]), "a TLS alert: {alert:?}");
}

#[test]
fn a_client_that_goes_at_once_is_a_health_probe_and_no_alarm() {
    let (login, service) = service();
    let broker = broker([service.clone()]);
    for _ in 0..10 {
        drop(Wire::connect(&service.listen).unwrap());
    }
    session(&service.listen, &login);
    tests::wait::until("all have gone", || {
        broker.metric("secretless_sessions_closed_total", &["db"]).is_ok_and(|closed| closed >= 11.0)
    });
    let said = broker.said().to_lowercase();
    assert!(!said.contains("error") && !said.contains("warn"), "{said}");
}

#[test]
fn a_client_that_stalls_is_told_and_cut() {
    let (login, service) = service();
    let service = service.line("timeouts: {handshake: 1s}");
    let _broker = broker([service.clone()]);
    let opening = startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&opening[..20]).unwrap();
    // There is no startup packet to answer, so there is no answer either.
    assert_eq!(wire.rest().unwrap(), b"");
}
