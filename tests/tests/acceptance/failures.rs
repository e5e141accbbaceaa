//! Every failure is an ErrorResponse that a person can act on: FATAL, with its SQLSTATE, the service, the cause
//! and the id of the log line; never the user or the password.

use tests::broker::{Service, pg};
use tests::certificates::Authority;
use tests::ports;
use tests::postgres::{Login, Major, plaintext, shared};
use tests::pretend::{Pretender, unanswering};
use tests::wire::{self, Message};

use crate::support::{assert_is_ours, broker, psql, refusal};

/// A login that exists, and a service for it named `db` on the shared server, to be bent by the test.
fn service() -> (Login, Service) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    (login, service)
}

/// Checks that the service refuses with this SQLSTATE and cause, in words that psql shows.
#[track_caller]
fn assert_refuses(service: &Service, login: &Login, sqlstate: &str, cause: &str) {
    let broker = broker([service.clone()]);
    let error = refusal(&service.listen, &login.name);
    assert_is_ours(&error, "db", sqlstate, cause, login);
    let shown = psql(&service.listen, login).refusal();
    assert!(shown.contains("FATAL:  secretless-broker db: ") && shown.contains(cause), "{shown}");

    // The id leads to the log, which says the same and no secret.
    let text = error.field('M');
    let id = text.rsplit_once("id=").map_or("", |(_, id)| id.trim_end_matches(')')).to_owned();
    let process = broker.process();
    process.wait_for_words("the failure", |said| said.contains(&id)).unwrap();
    let said = broker.said();
    let line = said.lines().find(|line| line.contains(&id)).unwrap_or_default();
    assert!(line.contains(cause), "{line:?} does not say {cause:?}");
    assert!(!said.contains(&login.password), "{said}");
}

#[test]
fn a_target_that_refuses_the_connection() {
    let (login, service) = service();
    let port = ports::free();
    let service = service.literal("port", &port.to_string());
    assert_refuses(
        &service,
        &login,
        "08001",
        &format!("dial tcp 127.0.0.1:{port}: connect: connection refused"),
    );
}

#[test]
fn a_target_whose_name_does_not_resolve() {
    let (login, service) = service();
    // An empty label: the resolver knows without asking anybody.
    let service = service.literal("host", "no..such.host");
    assert_refuses(&service, &login, "08001", "dial tcp: lookup no..such.host: ");
}

#[test]
fn a_target_that_never_takes_the_connection() {
    let (login, service) = service();
    let (port, _queued, _listener) = unanswering();
    let service = service.literal("port", &port.to_string()).line("timeouts: {dial: 1s}");
    assert_refuses(&service, &login, "08001", &format!("dial tcp 127.0.0.1:{port}: i/o timeout"));
}

#[test]
fn a_target_that_takes_the_connection_and_says_nothing() {
    let (login, service) = service();
    let silent = Pretender::silent();
    let service = service.literal("port", &silent.port.to_string()).line("timeouts: {handshake: 1s}");
    assert_refuses(&service, &login, "08006", "the target did not finish the handshake in time");
}

#[test]
fn a_target_that_closes_at_once() {
    let (login, service) = service();
    let closing = Pretender::new(|_stream| Ok(()));
    let service = service.literal("port", &closing.port.to_string());
    assert_refuses(&service, &login, "08006", "the target closed the connection during the handshake");
}

#[test]
fn a_target_without_tls_where_the_service_wants_it() {
    let login = plaintext().user(None).unwrap();
    for sslmode in ["require", "verify-ca", "verify-full", ""] {
        let service = pg("db", plaintext(), &login)
            .literal("sslmode", sslmode)
            .literal("sslrootcert", &Authority::shared().certificate);
        assert_refuses(&service, &login, "08001", "the backend does not allow SSL connections");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let (login, service) = service();
    for sslmode in ["require", "verify-ca", "verify-full"] {
        let service = service
            .clone()
            .literal("host", "localhost")
            .literal("sslmode", sslmode)
            .literal("sslrootcert", &Authority::stranger().certificate);
        assert_refuses(&service, &login, "08001", "x509: certificate signed by unknown authority");
    }
}

#[test]
fn a_certificate_for_another_name() {
    let (login, service) = service();
    let service = service
        .literal("host", "localhost")
        .literal("sslmode", "verify-full")
        .literal("sslhost", "invalid")
        .literal("sslrootcert", &Authority::shared().certificate);
    let cause =
        "tls: failed to verify certificate: x509: certificate is valid for localhost, pg, not invalid";
    assert_refuses(&service, &login, "08001", cause);
}

#[test]
fn roots_that_are_no_certificates() {
    let (login, service) = service();
    let service = service.literal("sslmode", "verify-ca").literal("sslrootcert", "malformed");
    assert_refuses(&service, &login, "08001", "couldn't parse pem in sslrootcert");
}

#[test]
fn an_sslmode_that_does_not_exist() {
    let (login, service) = service();
    for sslmode in ["prefer", "allow", "nonsense"] {
        let service = service.clone().literal("sslmode", sslmode);
        let cause = "only \"require\" (default), \"verify-ca\", \"verify-full\" and \"disable\" supported";
        assert_refuses(&service, &login, "08001", cause);
    }
}

#[test]
fn a_credential_that_is_not_there() {
    let (login, service) = service();
    let service = service
        .credential("password", tests::broker::Value::From("env", "NO_SUCH_VARIABLE".to_owned()))
        .line("required: false")
        .line("timeouts: {handshake: 1s}");
    assert_refuses(&service, &login, "57P03", "credential");
}

#[test]
fn a_credential_that_the_server_refuses_is_told_in_the_servers_words() {
    let cluster = shared(Major::Distribution);
    for group in [None, Some("with_md5")] {
        let login = cluster.user(group).unwrap();
        let service = pg("db", cluster, &login).literal("password", "wrong");
        let _broker = broker([service.clone()]);
        let error = refusal(&service.listen, &login.name);
        assert_eq!((error.field('S'), error.field('C')), ("FATAL".to_owned(), "28P01".to_owned()));
        assert_eq!(error.field('M'), format!("password authentication failed for user \"{}\"", login.name));
        assert!(psql(&service.listen, &login).refusal().contains("FATAL:  password authentication failed"));
    }
}

#[test]
fn whatever_else_the_server_refuses_is_told_in_its_words() {
    let cluster = shared(Major::Distribution);
    let (login, service) = service();
    let rejected = cluster.user(Some("nobody_may")).unwrap();
    let unwelcome = pg("unwelcome", cluster, &rejected);
    let _broker = broker([service.clone(), unwelcome.clone()]);

    let error = refusal(&service.listen, "no_such_database");
    assert_eq!(error.field('C'), "3D000");
    assert_eq!(error.field('M'), "database \"no_such_database\" does not exist");
    assert_eq!(refusal(&unwelcome.listen, &rejected.name).field('C'), "28000");

    cluster.sql(&format!("ALTER ROLE {} CONNECTION LIMIT 0", login.name)).unwrap();
    assert_eq!(refusal(&service.listen, &login.name).field('C'), "53300");
}

#[test]
fn a_password_in_clear_is_sent_only_where_nobody_can_read_it() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(Some("with_password")).unwrap();
    let authority = Authority::shared();
    let plain = pg("db", cluster, &login);
    let unverified = plain.clone().literal("sslmode", "require");
    let verified = plain
        .clone()
        .literal("host", "localhost")
        .literal("sslmode", "verify-full")
        .literal("sslrootcert", &authority.certificate);
    for refused in [
        plain.clone(),
        plain.clone().line("config: {cleartextPassword: tls}"),
        unverified.clone(),
        unverified.clone().line("config: {cleartextPassword: verified}"),
    ] {
        assert_refuses(&refused, &login, "28000", "cleartextPassword");
    }
    for allowed in [
        verified,
        unverified.line("config: {cleartextPassword: tls}"),
        plain.line("config: {cleartextPassword: always}"),
    ] {
        let _broker = broker([allowed.clone()]);
        assert_eq!(psql(&allowed.listen, &login).query("SELECT current_user").unwrap(), login.name);
    }
}

/// A startup packet as the broker sends it to a target is read in full before the target answers: its length is
/// in its first four bytes.
fn after_startup(answer: Vec<u8>) -> Pretender {
    use std::io::{Read, Write};
    Pretender::new(move |mut stream| {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(4) - 4;
        stream.read_exact(&mut vec![0; rest])?;
        stream.write_all(&answer)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    })
}

fn authentication(code: u32, rest: &[u8]) -> Vec<u8> {
    wire::message('R', &[&code.to_be_bytes()[..], rest].concat())
}

#[test]
fn a_target_that_asks_for_what_we_do_not_do() {
    let (login, service) = service();
    for (answer, sqlstate, cause) in [
        (authentication(7, b""), "0A000", "GSS"),
        (authentication(9, b""), "0A000", "SSPI"),
        (authentication(2, b""), "0A000", "Kerberos"),
        (authentication(99, b""), "0A000", "Authentication method 99 is not supported"),
        (authentication(10, b"SCRAM-SHA-1\0\0"), "0A000", "SASL"),
    ] {
        let target = after_startup(answer);
        assert_refuses(&service.clone().literal("port", &target.port.to_string()), &login, sqlstate, cause);
    }
}

#[test]
fn a_target_that_talks_nonsense() {
    let (login, service) = service();
    for (answer, cause) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "the target sent"),
        (wire::message('R', b""), "the target sent a malformed message"),
        (wire::message('D', b"\0\x01"), "the target sent a message out of place"),
        ([&b"R"[..], &u32::MAX.to_be_bytes()].concat(), "the target sent a message that is too long"),
        (authentication(10, b"SCRAM-SHA-256"), "the target"),
    ] {
        let target = after_startup(answer);
        assert_refuses(&service.clone().literal("port", &target.port.to_string()), &login, "08006", cause);
    }
}

#[test]
fn a_target_that_answers_the_tls_request_with_something_else() {
    let (login, service) = service();
    let error = wire::message('E', b"SERROR\0C0A000\0Mevil words\0\0");
    for answer in [error, b"x".to_vec(), b"SS".to_vec()] {
        let target = Pretender::scripted(vec![(8, answer.clone())]);
        let service = service.clone().literal("port", &target.port.to_string()).literal("sslmode", "require");
        let broker = broker([service.clone()]);
        let error: Message = refusal(&service.listen, &login.name);
        assert_is_ours(&error, "db", "08006", "the target", &login);
        assert!(!error.field('M').contains("evil"), "unauthenticated words are not passed on");
        drop(broker);
    }
}

#[test]
fn a_target_that_takes_any_password_without_proving_that_it_knows_it() {
    let (login, service) = service();
    // SCRAM is asked for, and then everything is fine at once.
    let answer = [authentication(10, b"SCRAM-SHA-256\0\0"), authentication(0, b"")].concat();
    let target = after_startup(answer);
    let service = service.literal("port", &target.port.to_string());
    assert_refuses(
        &service,
        &login,
        "08006",
        "the target declared success without proving that it knows the password",
    );
}
