//! TLS between clients and the broker.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::broker::{Broker, File, Listen, Service, binary, pg};
use tests::certificates::{Authority, Identity};
use tests::postgres::{Cluster, Login, Major, shared};
use tests::psql::{Psql, clean};
use tests::wire::{self, CANCEL_REQUEST, SSL_REQUEST, VERSION_3_0, Wire, packet, startup};
use tests::{obtain, places, ports, process, wait};

use crate::cancel::{assert_is_cancelled, cancel_of, press_ctrl_c, wait_for_sleeper};
use crate::support::{assert_is_ours, broker, only_error, psql, refusal, session, started};

fn cluster() -> (&'static Cluster, Login) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    (cluster, login)
}

/// A service that takes clients in TLS only, and shows them the certificate of the process.
fn required() -> (Login, Service) {
    let (cluster, login) = cluster();
    (login.clone(), pg("db", cluster, &login).line("clientTls: required"))
}

/// A certificate for this machine, its key, and who is to be trusted for it, each in a file.
struct Shown {
    directory: PathBuf,
    authority: Authority,
}

impl Shown {
    fn new() -> Self {
        let shown = Self { directory: places::fresh("shown").unwrap(), authority: Authority::new("one") };
        shown.show(&shown.authority.server(&["localhost", "127.0.0.1"]));
        fs::write(shown.path("root.crt"), &shown.authority.certificate).unwrap();
        shown
    }

    fn show(&self, identity: &Identity) {
        fs::write(self.path("tls.crt"), &identity.certificate).unwrap();
        fs::write(self.path("tls.key"), &identity.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A service that shows it.
    fn service(&self, cluster: &Cluster, login: &Login) -> Service {
        pg("db", cluster, login).line(&format!(
            "clientTls: {{mode: required, certificate: {}, key: {}}}",
            self.path("tls.crt").display(),
            self.path("tls.key").display()
        ))
    }

    /// psql that trusts nobody else.
    fn psql(&self, service: &Service, login: &Login) -> Psql {
        let root = self.path("root.crt");
        psql(&service.listen, login).with(&format!("sslmode=verify-full sslrootcert={}", root.display()))
    }
}

#[test]
fn psql_speaks_either_version_of_tls_where_it_is_required() {
    let (login, service) = required();
    let broker =
        broker([service.clone(), Service { name: "other".into(), listen: Listen::tcp(), ..service.clone() }]);
    for sslmode in ["prefer", "require"] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let options = format!(
                "sslmode={sslmode} ssl_min_protocol_version={version} ssl_max_protocol_version={version}"
            );
            let said = psql(&service.listen, &login)
                .with(&options)
                .query("SELECT current_user; \\conninfo")
                .unwrap();
            assert!(said.starts_with(&login.name) && said.contains(version), "{said}");
        }
    }
    let said = broker.said();
    assert_eq!(said.matches("SHA-256 fingerprint").count(), 1, "one for the process: {said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");
}

#[test]
fn a_certificate_of_the_file_is_verified_by_its_name_and_chain() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    let service = shown.service(cluster, &login);
    let broker = broker([service.clone()]);
    assert_eq!(shown.psql(&service, &login).query("SELECT current_user").unwrap(), login.name);
    assert_eq!(
        shown.psql(&service, &login).with("host=localhost hostaddr=127.0.0.1").query("SELECT 1").unwrap(),
        "1"
    );
    // Somebody else's root does not do, and the broker hears of it.
    fs::write(shown.path("root.crt"), &Authority::stranger().certificate).unwrap();
    let said = shown.psql(&service, &login).refusal();
    assert!(said.contains("certificate verify failed"), "{said}");
    broker
        .process()
        .wait_for_words("the client's alert", |said| {
            said.contains("TLS with the client failed: remote error: tls: unknown certificate authority")
        })
        .unwrap();
    let failed = broker.metric("secretless_sessions_failed_total", &["cause=\"client_tls\""]).unwrap();
    assert!((failed - 1.0).abs() < 0.5, "{failed} failures");
}

#[test]
fn a_client_in_clear_is_refused_in_words_that_help() {
    let (login, service) = required();
    let _broker = broker([service.clone()]);
    let error = refusal(&service.listen, &login.name);
    assert_is_ours(
        &error,
        "db",
        "28000",
        "this service takes clients in TLS only (`clientTls: required`)",
        &login,
    );
    let plain = psql(&service.listen, &login).with("sslmode=disable");
    // The newer psql knows no TLS at all.
    for client in [plain, psql(&service.listen, &login).newer().unwrap()] {
        let said = client.refusal();
        assert!(
            said.contains("FATAL:  secretless-broker db: ") && said.contains("sslmode=require"),
            "{said}"
        );
    }
}

#[test]
fn a_client_of_a_unix_socket_may_speak_in_clear() {
    let (login, service) = required();
    let service = service.listening_on(Listen::unix().unwrap());
    let _broker = broker([service.clone()]);
    assert_eq!(psql(&service.listen, &login).query("SELECT current_user").unwrap(), login.name);
}

#[test]
fn off_and_auto_give_nobody_tls() {
    let (cluster, login) = cluster();
    for mode in ["off", "auto"] {
        let service = pg("db", cluster, &login).line(&format!("clientTls: {mode}"));
        let _broker = broker([service.clone()]);
        let said = psql(&service.listen, &login).with("sslmode=require").refusal();
        assert!(said.contains("server does not support SSL, but SSL was required"), "{mode}: {said}");
        assert_eq!(psql(&service.listen, &login).query("SELECT 1").unwrap(), "1");
    }
}

#[test]
fn libpq_may_begin_with_tls_at_once() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    let service = shown.service(cluster, &login);
    let _broker = broker([service.clone()]);
    let root = shown.path("root.crt").display().to_string();
    let conninfo =
        shown.psql(&service, &login).with(&format!("sslnegotiation=direct sslrootcert={root}")).conninfo();
    let mut python = Command::new(obtain::python().unwrap());
    clean(&mut python).arg(obtain::drivers().join("python/with_direct_tls.py")).arg(conninfo);
    let said = process::run(&mut python).unwrap().succeeded().unwrap();
    assert_eq!(said.trim(), format!("True TLSv1.3 {}", login.name));

    let mut wire = Wire::connect(&service.listen).unwrap().in_tls(&shown.authority.certificate).unwrap();
    wire.log_in(&login.name).unwrap();
    assert_eq!(wire.query("SELECT current_user").unwrap(), [login.name]);
}

/// Lines for COPY that can be told from one another.
fn lines(bytes: usize) -> String {
    let mut text = String::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut number = 0;
    while text.len() < bytes {
        write!(text, "{number}\t").unwrap();
        for _ in 0..60 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            write!(text, "{state:016x}").unwrap();
        }
        text.push('\n');
        number += 1;
    }
    text
}

#[test]
fn bulk_data_is_unchanged_with_tls_on_either_leg_and_on_both() {
    let (cluster, login) = cluster();
    let directory = places::fresh("bulk").unwrap();
    let (sent, received) = (directory.join("sent"), directory.join("received"));
    let lines = lines(48 << 20);
    fs::write(&sent, &lines).unwrap();
    let shown = Shown::new();
    for sslmode in ["disable", "require"] {
        let service = shown.service(cluster, &login).literal("sslmode", sslmode);
        let _broker = broker([service.clone()]);
        let statements = format!(
            "CREATE UNLOGGED TABLE bulk (n int, noise text);\n\\copy bulk FROM '{}'\n\\copy (SELECT * FROM bulk \
             ORDER BY n) TO '{}'\nDROP TABLE bulk;\n",
            sent.display(),
            received.display()
        );
        shown.psql(&service, &login).query(&statements).unwrap();
        assert!(fs::read(&received).unwrap() == lines.as_bytes(), "to a target with sslmode={sslmode}");
    }
}

#[test]
fn a_reader_in_tls_that_pauses_loses_nothing_and_holds_up_nobody() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    for sslmode in ["disable", "require"] {
        let service = shown.service(cluster, &login).literal("sslmode", sslmode);
        let _broker = broker([service.clone()]);
        let open = || {
            let mut wire = Wire::connect_in_tls(&service.listen, &shown.authority.certificate).unwrap();
            wire.log_in(&login.name).unwrap();
            wire
        };
        let mut slow = open();
        slow.send(&wire::query("SELECT repeat('x', 50000000)")).unwrap();
        for n in 0..30 {
            assert_eq!(open().query(&format!("SELECT {n}")).unwrap(), [n.to_string()]);
        }
        let answer = slow.messages_until('Z').unwrap();
        let row = answer.iter().find(|message| message.kind == 'D').expect("a row");
        assert!(row.body.len() == 2 + 4 + 50_000_000 && row.body[6..].iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn a_cancel_request_is_taken_inside_tls_and_in_clear() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    for sslmode in ["disable", "require"] {
        let service = shown.service(cluster, &login).literal("sslmode", sslmode);
        let _broker = broker([service.clone()]);
        press_ctrl_c(&shown.psql(&service, &login), cluster, &login);
        for in_tls in [true, false] {
            let open = || Wire::connect_in_tls(&service.listen, &shown.authority.certificate).unwrap();
            let mut wire = open();
            let cancel = cancel_of(&wire.log_in(&login.name).unwrap());
            wire.send(&wire::query("SELECT pg_sleep(600)")).unwrap();
            wait_for_sleeper(cluster, &login);
            let mut canceller = if in_tls { open() } else { Wire::connect(&service.listen).unwrap() };
            canceller.send(&cancel).unwrap();
            // Inside TLS the end is one only if it is said.
            assert_eq!(canceller.rest().unwrap(), b"", "a cancel request has no answer");
            assert_is_cancelled(wire);
        }
        let mut wrong = Wire::connect_in_tls(&service.listen, &shown.authority.certificate).unwrap();
        wrong.send(&packet(CANCEL_REQUEST, b"")).unwrap();
        assert_eq!(wrong.rest().unwrap(), b"");
    }
}

#[test]
fn why_a_session_is_refused_can_be_read_inside_tls() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    let service = shown.service(cluster, &login);
    let ours = service.clone().literal("port", &ports::free().to_string());
    let servers = service.clone();
    for (service, sqlstate, database) in
        [(ours, "08001", login.name.as_str()), (servers, "3D000", "no-such-database")]
    {
        let _broker = broker([service.clone()]);
        let mut wire = Wire::connect_in_tls(&service.listen, &shown.authority.certificate).unwrap();
        wire.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", database)])).unwrap();
        let mut error = wire.message().unwrap();
        if error.kind == 'R' {
            error = wire.message().unwrap();
        }
        assert_eq!((error.kind, error.field('C').as_str()), ('E', sqlstate), "{:?}", error.fields());
        assert_eq!(wire.rest().unwrap(), b"", "its end is said inside TLS, too");
        let mut psql = shown.psql(&service, &login);
        psql.database = database.to_owned();
        assert!(psql.refusal().contains(&error.field('M')[..20]));
    }
}

#[test]
fn what_is_no_client_hello_gets_an_alert_and_bothers_nobody() {
    let (login, service) = required();
    let broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&packet(SSL_REQUEST, b"")).unwrap();
    assert_eq!(wire.byte().unwrap(), b'S');
    wire.send(&startup(VERSION_3_0, &[("user", "anybody")])).unwrap();
    let told = wire.rest().unwrap();
    // A fatal alert, in clear.
    assert_eq!((told.first(), told.get(5)), (Some(&0x15), Some(&2)), "{told:x?}");
    broker
        .process()
        .wait_for_words("the failure", |said| {
            said.contains("TLS with the client failed: it does not speak TLS")
        })
        .unwrap();

    // What comes before the S is nobody's TLS.
    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.send(&[packet(SSL_REQUEST, b""), vec![0x16, 3, 1, 0, 1]].concat()).unwrap();
    let error = only_error(&mut wire);
    assert_is_ours(&error, "db", "08P01", "the client sent bytes behind its request for encryption", &login);
    assert_eq!(psql(&service.listen, &login).with("sslmode=require").query("SELECT 1").unwrap(), "1");
}

#[test]
fn a_reload_takes_another_certificate_for_new_connections_and_refuses_one_that_is_wrong() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    let service = shown.service(cluster, &login);
    let file = File::with([service.clone()]).unwrap();
    let broker = started(Broker::start(&file));
    let connect = |root: &Authority| Wire::connect_in_tls(&service.listen, &root.certificate);
    let mut open = connect(&shown.authority).unwrap();
    open.log_in(&login.name).unwrap();

    let other = Authority::new("other");
    shown.show(&other.server(&["localhost"]));
    broker.reload(&file).unwrap();
    wait::until("the other certificate is shown", || connect(&other).is_ok());
    assert!(connect(&shown.authority).is_err(), "the first is shown no more");
    assert_eq!(open.query("SELECT 1").unwrap(), ["1"], "what is open goes on as it was");

    let wrong = Identity { key: other.server(&["localhost"]).key, ..other.server(&["localhost"]) };
    shown.show(&wrong);
    let said_before = broker.said().len();
    broker.reload(&file).unwrap();
    broker
        .process()
        .wait_for_words("what is wrong", |said| {
            said[said_before..].contains("the key is not that of the certificate")
        })
        .unwrap();
    connect(&other).unwrap().log_in(&login.name).unwrap();
}

#[test]
fn a_certificate_that_cannot_be_shown_is_an_error_of_the_file() {
    let (cluster, login) = cluster();
    let shown = Shown::new();
    let file = File::with([shown.service(cluster, &login)]).unwrap();
    let config = file.write().unwrap();
    fs::remove_file(shown.path("tls.key")).unwrap();
    for check in [false, true] {
        let mut command = Command::new(binary().unwrap());
        if check {
            command.arg("check");
        }
        command.arg("-f").arg(&config).current_dir(&shown.directory);
        let finished = process::run(&mut command).unwrap();
        assert_eq!(finished.status.code(), Some(1), "{finished}");
        let said = [finished.stdout.as_str(), &finished.stderr].concat();
        assert!(said.contains("services.db.clientTls.key: open ") && said.contains("help: "), "{said}");
    }
}

#[test]
fn sessions_in_tls_and_in_clear_go_side_by_side() {
    let (cluster, login) = cluster();
    let (plain, encrypted) = (pg("plain", cluster, &login), pg("encrypted", cluster, &login));
    let encrypted = encrypted.line("config: {clientTls: required}");
    let _broker = broker([plain.clone(), encrypted.clone()]);
    let mut in_clear = session(&plain.listen, &login);
    let in_tls = psql(&encrypted.listen, &login).with("sslmode=require");
    assert_eq!(in_tls.query("SELECT current_user").unwrap(), login.name);
    assert_eq!(in_clear.query("SELECT current_user").unwrap(), [login.name]);
}
