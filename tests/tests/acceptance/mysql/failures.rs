//! What goes wrong, and what a client is told.

use tests::broker::{Broker, Listen, Service, mysql};
use tests::mysql::wire::{Wire, response};
use tests::mysql::{Client, Endpoint, Kind, Options, Plugin, Which, shared};
use tests::{ports, wait};

use super::{Front, servers, service};
use crate::support::broker;

#[track_caller]
fn abandoned(broker: &Broker) -> f64 {
    broker.metric("secretless_handshakes_abandoned_total", &[]).unwrap()
}

#[test]
fn a_target_that_cannot_be_reached_is_named() {
    let server = shared(Which::Distribution).unwrap();
    let account = server.user(Plugin::NativePassword).unwrap();
    let nowhere = ports::free();
    let service = mysql("db", server, &account).literal("port", &nowhere.to_string());
    let endpoint = Endpoint::broker(&service.listen, &account);
    let _broker = broker([service]);
    for client in [Client::new(&endpoint).ok(), Client::newer(&endpoint).ok(), Client::mysql(&endpoint)] {
        let Some(client) = client else { continue };
        let said = client.refusal().unwrap();
        let expected =
            format!("secretless-broker db: dial tcp 127.0.0.1:{nowhere}: connect: connection refused (id=");
        assert!(said.contains("ERROR 1429") && said.contains(&expected), "{said}");
    }
}

#[test]
fn the_servers_own_words_reach_the_client() {
    for server in servers() {
        let front = Front::of(server);
        let mut endpoint = front.endpoint.clone();
        endpoint.database = Some("nosuch".to_owned());
        let said = Client::new(&endpoint).unwrap().refusal().unwrap();
        assert!(
            said.contains("ERROR 1044 (42000): Access denied")
                || said.contains("ERROR 1049 (42000): Unknown database"),
            "{said}"
        );
        front.end();
        let front =
            Front::with(server, Plugin::usual(server.kind()), |service| service.literal("password", "wrong"));
        let said = front.client().refusal().unwrap();
        assert!(said.contains("ERROR 1045 (28000): Access denied for user"), "{said}");
        // Who comes later hears the same, and the server is not asked again.
        let said = front.client().refusal().unwrap();
        assert!(said.contains("ERROR 1045") && said.contains("Access denied for user"), "{said}");
        assert!(!front.broker.said().contains("wrong"));
        front.end();
    }
}

#[test]
fn a_server_without_room_says_so() {
    for which in Which::ALL {
        let options = Options { settings: vec!["--max-connections=10".to_owned()], ..Options::with_tls() };
        let Some(server) = which.start(&options).unwrap() else { continue };
        let front = Front::of(&server);
        front.client().query("SELECT 1").unwrap();
        let mut open = Vec::new();
        // One more than for everybody is for the administrator.
        let full = loop {
            let mut wire = Wire::connect(&Listen::Tcp(server.port)).unwrap();
            let first = wire.packet().unwrap();
            if first.error_code() == Some(1040) {
                break true;
            }
            if open.len() > 20 {
                break false;
            }
            open.push(wire);
        };
        // MySQL counts a connection only when it has logged in.
        if full {
            let said = front.client().refusal().unwrap();
            assert!(said.contains("ERROR 1040") && said.contains("Too many connections"), "{said}");
        } else {
            assert_eq!(server.kind(), Kind::MySql);
        }
        front.end();
    }
}

#[test]
fn an_expired_password_is_the_servers_affair() {
    let Some(server) = shared(Which::MySql) else { return };
    let front = Front::of(server);
    server.sql(&format!("ALTER USER {}@'%' PASSWORD EXPIRE", front.account.name)).unwrap();
    let client = || Client::mysql(&front.endpoint).unwrap();
    let said = client().run("SELECT 1").unwrap();
    // The tool has words of its own for error 1862.
    assert!(said.to_string().contains("--connect-expired-password"), "{said}");
    let said = client().with(&["--connect-expired-password"]).run("SELECT 1").unwrap().stderr;
    assert!(said.contains("ERROR 1820 (HY000)"), "{said}");
    front.end();
}

#[test]
fn a_client_that_leaves_at_any_byte_costs_nothing_but_a_count() {
    let server = shared(Which::Distribution).unwrap();
    let front = Front::of(server);
    let whole = [&[0x51, 0, 0, 1][..], &response("nobody", "books", "mysql_native_password", b"")].concat();
    let mut left = 0.0;
    for len in (0..whole.len()).step_by(4) {
        let mut wire = Wire::connect(&front.endpoint.listen).unwrap();
        wire.packet().unwrap();
        wire.send_bytes(&whole[..len]).unwrap();
        drop(wire);
        left += 1.0;
        wait::until("the broker notices", || abandoned(&front.broker) >= left);
        if len % 64 == 0 {
            // As long as somebody gets in now and then, nobody waits.
            front.client().query("SELECT 1").unwrap();
        }
    }
    wait::until("all have ended", || front.broker.metric("secretless_sessions_active", &[]).unwrap() == 0.0);
    front.client().query("SELECT 1").unwrap();
    front.end();
}

/// A server blocks whoever leaves it in the middle of its handshake again and again: nobody does, whatever clients do.
#[test]
fn clients_that_leave_make_no_server_count_an_aborted_handshake() {
    for which in Which::ALL {
        let Some(server) = which.start(&Options::with_tls()).unwrap() else { continue };
        let front = Front::of(&server);
        front.client().query("SELECT 1").unwrap();
        let aborted = || server.sql("SHOW GLOBAL STATUS LIKE 'Aborted_connects'").unwrap();
        let before = aborted();
        let login =
            [&[0x51, 0, 0, 1][..], &response("nobody", "nosuch", "mysql_native_password", b"")].concat();
        for said in [&b""[..], &login, &login[..20], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut burst: Vec<Wire> =
                (0..40).map(|_| Wire::connect(&front.endpoint.listen).unwrap()).collect();
            for wire in &mut burst {
                assert_eq!(wire.packet().unwrap().error_code(), None);
                wire.send_bytes(said).unwrap();
            }
        }
        // And some that do not even wait for the greeting.
        for _ in 0..40 {
            Wire::connect(&front.endpoint.listen).unwrap();
        }
        wait::until("all have ended", || {
            let count = |name| front.broker.metric(name, &[]).unwrap();
            count("secretless_sessions_opened_total") == count("secretless_sessions_closed_total")
                && count("secretless_sessions_opened_total") == 201.0
        });
        assert_eq!(aborted(), before, "{:?} {:?}", server.kind(), server.version());
        assert!(abandoned(&front.broker) >= 120.0, "they are counted");
        front.end();
    }
}

/// The first one that connects tries the credential for all. If it says nothing, the broker tries it without.
#[test]
fn clients_that_say_nothing_do_not_keep_others_from_a_new_credential() {
    let server = shared(Which::Distribution).unwrap();
    let front = Front::of(server);
    let silent: Vec<Wire> = (0..60).map(|_| Wire::connect(&front.endpoint.listen).unwrap()).collect();
    front.client().query("SELECT 1").unwrap();
    // Whoever makes up its mind later is served as any other.
    for mut wire in silent {
        assert_eq!(wire.packet().unwrap().error_code(), None);
        let login = response("nobody", &front.account.name, "mysql_native_password", b"");
        wire.send(1, &login).unwrap();
        let answer = wire.packet().unwrap();
        assert_eq!((answer.number, answer.payload.first()), (2, Some(&0)), "{}", answer.text());
    }
    assert!(front.broker.said().contains("the target was connected to again"), "{}", front.broker.said());
    front.end();
}

#[test]
fn a_client_that_says_nothing_is_told_why_it_ends() {
    let server = shared(Which::Distribution).unwrap();
    let front =
        Front::with(server, Plugin::NativePassword, |service| service.line("timeouts: {handshake: 300ms}"));
    let mut wire = Wire::connect(&front.endpoint.listen).unwrap();
    assert_eq!(wire.packet().unwrap().number, 0);
    let error = wire.packet().unwrap();
    assert_eq!((error.number, error.error_code()), (2, Some(1159)), "{}", error.text());
    assert_eq!(wire.rest().unwrap(), b"");
    front.end();
}

#[test]
fn nonsense_is_a_bad_handshake() {
    let server = shared(Which::Distribution).unwrap();
    let front = Front::of(server);
    let cases: [(u8, Vec<u8>, u16); 5] = [
        (1, vec![0xFF; 40], 1043),
        (1, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 1251),
        (0, response("x", "y", "z", b""), 1156),
        (1, response(&"x".repeat(65_536), "y", "z", b""), 1043),
        (1, vec![5, 0, 0, 0, 0, b'r', 0], 1251),
    ];
    for (number, payload, code) in cases {
        let mut wire = Wire::connect(&front.endpoint.listen).unwrap();
        wire.packet().unwrap();
        wire.send(number, &payload).unwrap();
        let error = wire.packet().unwrap();
        assert_eq!(error.error_code(), Some(code), "{}", error.text());
        assert_eq!(wire.rest().unwrap(), b"");
    }
    front.client().query("SELECT 1").unwrap();
    front.end();
}

#[test]
fn a_target_without_tls_is_refused_unless_it_is_wanted_so() {
    let Some(server) = Which::Distribution.start(&Options::default()).unwrap() else { return };
    let account = server.user(Plugin::NativePassword).unwrap();
    let service = service(&server, &account).literal("sslmode", "require");
    let endpoint = Endpoint::broker(&service.listen, &account);
    let broker = broker([service]);
    let said = Client::new(&endpoint).unwrap().refusal().unwrap();
    assert!(
        said.contains("ERROR 1429 (HY000)")
            && said.contains("SSL is required but the server doesn't support it"),
        "{said}"
    );
    drop(broker);
}

#[test]
fn certificates_are_checked_as_sslmode_says() {
    let server = shared(Which::Newer).unwrap();
    let account = server.user(Plugin::NativePassword).unwrap();
    let authority = tests::certificates::Authority::shared();
    let said = |mode: &str, host: &str, root: Option<&str>| {
        let mut service = service(server, &account).literal("sslmode", mode).literal("sslhost", host);
        if let Some(root) = root {
            service = service.literal("sslrootcert", root);
        }
        let endpoint = Endpoint::broker(&service.listen, &account);
        let _broker = broker([service]);
        let finished = Client::new(&endpoint).unwrap().run("SELECT 'in'").unwrap();
        finished.stdout + &finished.stderr
    };
    let root = Some(authority.certificate.as_str());
    assert_eq!(said("verify-full", "db", root), "in\n");
    assert_eq!(said("verify-ca", "elsewhere", root), "in\n");
    let refused = said("verify-full", "elsewhere", root);
    assert!(refused.contains("x509: certificate is valid for"), "{refused}");
    let refused = said("verify-ca", "db", None);
    assert!(refused.contains("x509: certificate signed by unknown authority"), "{refused}");
}

#[test]
fn an_account_that_wants_a_certificate_is_shown_one() {
    for server in servers() {
        let account = server.user(Plugin::usual(server.kind())).unwrap();
        server.sql(&format!("ALTER USER {}@'%' REQUIRE X509", account.name)).unwrap();
        let said = |service: Service| {
            let endpoint = Endpoint::broker(&service.listen, &account);
            let _broker = broker([service]);
            let finished = Client::new(&endpoint).unwrap().run("SELECT 'in'").unwrap();
            finished.stdout + &finished.stderr
        };
        let plain = || mysql("db", server, &account).literal("sslmode", "require");
        let refused = said(plain());
        assert!(refused.contains("ERROR 1045"), "{refused}");
        let shown = tests::certificates::Authority::shared().client("app");
        let service = plain().literal("sslcert", &shown.certificate).literal("sslkey", &shown.key);
        assert_eq!(said(service), "in\n", "{:?} {:?}", server.kind(), server.version());
    }
}
