//! COM_CHANGE_USER, which pools send: another login in the middle of a session.

use tests::broker::{Broker, File, Value};
use tests::mysql::wire::{Packet, Wire, change_user};
use tests::mysql::{Client, Endpoint, Kind, Plugin, Server, Which, shared};
use tests::wait;

use super::{Front, servers, service};
use crate::support::started;

const NATIVE: &str = "mysql_native_password";

#[test]
fn a_change_of_user_logs_in_anew_by_every_method() {
    for server in servers() {
        for &plugin in server.plugins() {
            let front = Front::with(server, plugin, |service| service);
            let name = &front.account.name;
            let mut wire = Wire::session(&front.endpoint.listen, name).unwrap();
            let id = wire.value("SELECT CONNECTION_ID()").unwrap();
            assert_eq!(wire.run("SET @x = 5").unwrap().error_code(), None);
            if server.kind() == Kind::MySql {
                // Then the server wants the password in full.
                server.sql("FLUSH PRIVILEGES").unwrap();
            }
            for (method, proof) in [(NATIVE, &b""[..]), (NATIVE, b"not a proof at all.."), ("dialog", b"x\0")]
            {
                wire.send(0, &change_user("somebody", name, method, proof)).unwrap();
                let ok = wire.packet().unwrap();
                assert_eq!((ok.number, ok.payload.first()), (1, Some(&0)), "{plugin:?} {}", ok.text());
            }
            // With a proof of this method a client waits for a word before that.
            wire.send(0, &change_user("somebody", name, "caching_sha2_password", &[7; 32])).unwrap();
            assert_eq!(wire.packet().unwrap(), Packet { number: 1, payload: vec![1, 3] });
            let ok = wire.packet().unwrap();
            assert_eq!((ok.number, ok.payload.first()), (2, Some(&0)));
            assert_eq!(wire.value("SELECT CURRENT_USER()").unwrap(), front.account.current_user());
            assert_eq!(wire.value("SELECT CONNECTION_ID()").unwrap(), id, "the same connection");
            assert_eq!(wire.value("SELECT @x IS NULL").unwrap(), "1", "and another session");
            // The broker would wait for it.
            drop(wire);
            front.end();
        }
    }
}

#[test]
fn a_change_of_user_that_the_server_refuses_ends_the_session_in_its_own_words() {
    for server in servers() {
        let front = Front::of(server);
        let mut wire = Wire::session(&front.endpoint.listen, &front.account.name).unwrap();
        wire.send(0, &change_user("somebody", "no such database", NATIVE, b"")).unwrap();
        let error = wire.packet().unwrap();
        assert!(
            error.number == 1 && matches!(error.error_code(), Some(1044 | 1049 | 1102)),
            "{}",
            error.text()
        );
        assert_eq!(wire.rest().unwrap(), b"");
        front.end();
    }
}

#[test]
fn a_change_of_user_before_an_answer_is_refused() {
    let front = Front::of(shared(Which::Distribution).unwrap());
    let mut wire = Wire::session(&front.endpoint.listen, &front.account.name).unwrap();
    let sleep = Packet { number: 0, payload: b"\x03SELECT SLEEP(600)".to_vec() };
    let change = Packet { number: 0, payload: change_user("x", &front.account.name, NATIVE, b"") };
    wire.send_bytes(&[sleep.bytes(), change.bytes()].concat()).unwrap();
    let error = wire.packet().unwrap();
    assert_eq!((error.number, error.error_code()), (1, Some(1047)), "{}", error.text());
    assert_eq!(wire.rest().unwrap(), b"");
    front.end();
}

/// What looks like the command is data: in a file whose packets are numbered round and round, and in large values.
#[test]
fn what_looks_like_a_change_of_user_is_relayed() {
    for server in servers() {
        let front = Front::of(server);
        let name = &front.account.name;
        let mut wire = Wire::session(&front.endpoint.listen, name).unwrap();
        assert_eq!(wire.run("CREATE TABLE kept (b LONGBLOB)").unwrap().error_code(), None);
        let request = wire.run("LOAD DATA LOCAL INFILE 'x' INTO TABLE kept CHARACTER SET binary FIELDS TERMINATED BY ',' ESCAPED BY '' LINES TERMINATED BY 'end'");
        let request = request.unwrap();
        assert_eq!((request.number, request.payload.first()), (1, Some(&0xFB)), "{}", request.text());
        let mut number = 1u8;
        for _ in 0..300 {
            number = number.wrapping_add(1);
            wire.send(number, &[0x11; 1000]).unwrap();
        }
        number = number.wrapping_add(1);
        wire.send(number, b"").unwrap();
        let ok = wire.packet().unwrap();
        assert_eq!(ok.payload.first(), Some(&0), "{}", ok.text());
        assert_eq!(wire.value("SELECT CONCAT(COUNT(*), ' ', SUM(LENGTH(b))) FROM kept").unwrap(), "1 300000");

        // Longer than one packet: the second begins with what would be the command's number.
        let statement =
            [&b"\x03INSERT INTO kept VALUES (REPEAT('y', 7)), ('"[..], &vec![0x11; 20 << 20], b"')"].concat();
        let (first, second) = statement.split_at(0xFF_FFFF);
        wire.send(0, first).unwrap();
        wire.send(1, second).unwrap();
        let ok = wire.packet().unwrap();
        assert_eq!(ok.payload.first(), Some(&0), "{}", ok.text());
        let total = 300_000 + 7 + (20 << 20);
        assert_eq!(wire.value("SELECT SUM(LENGTH(b)) FROM kept").unwrap(), total.to_string());

        // And right behind all that comes a real one.
        wire.send(0, &change_user("somebody", name, NATIVE, b"")).unwrap();
        let ok = wire.packet().unwrap();
        assert_eq!((ok.number, ok.payload.first()), (1, Some(&0)), "{}", ok.text());
        drop(wire);
        front.end();
    }
}

#[test]
fn a_change_of_user_works_inside_tls_on_both_legs() {
    let server = shared(Which::Newer).unwrap();
    let front = Front::with(server, Plugin::Parsec, |service| service.line("clientTls: required"));
    let driver =
        tests::mysql::drivers::ALL.iter().find(|driver| driver.name == "mysql-connector-python").unwrap();
    let endpoint = front.endpoint.clone().encrypted(tests::mysql::Encryption::On);
    let without: Vec<&str> = driver
        .steps
        .iter()
        .copied()
        .filter(|step| !["user", "large", "change user"].contains(step))
        .collect();
    driver.drive(&endpoint, &without).unwrap_or_else(|failure| panic!("{failure}\n{}", front.broker.said()));
    front.end();
}

/// Sends two statements at once, waits for the answer to the first, and asks for another user: what is read as the answer to
/// that is the one to the second.
fn asks_for_another_user_behind(wire: &mut Wire, database: &str, slow: &str) {
    let statement = |text: &str| Packet { number: 0, payload: [b"\x03", text.as_bytes()].concat() };
    wire.send_bytes(&[statement("DO 1").bytes(), statement(slow).bytes()].concat()).unwrap();
    assert_eq!(wire.packet().unwrap().payload.first(), Some(&0));
    wire.send(0, &change_user("x", database, NATIVE, b"")).unwrap();
}

/// A procedure that takes a second and says that access was denied.
fn make_denial(server: &Server, database: &str) {
    let body =
        "BEGIN DO SLEEP(1); SIGNAL SQLSTATE '28000' SET MYSQL_ERRNO = 1045, MESSAGE_TEXT = 'denied'; END";
    server.sql(&format!("DELIMITER //\nCREATE PROCEDURE {database}.denial() {body}//\nDELIMITER ;")).unwrap();
    server.sql(&format!("GRANT EXECUTE ON {database}.* TO {database}@'%'")).unwrap();
}

#[test]
fn an_answer_to_something_else_says_nothing_against_the_credential() {
    for server in servers() {
        let front = Front::of(server);
        let name = &front.account.name;
        make_denial(server, name);
        front.client().query("SELECT 1").unwrap();
        let mut wire = Wire::session(&front.endpoint.listen, name).unwrap();
        asks_for_another_user_behind(&mut wire, name, &format!("CALL {name}.denial()"));
        let error = wire.packet().unwrap();
        assert_eq!(error.error_code(), Some(1047), "{}", error.text());
        assert_eq!(wire.rest().unwrap(), b"");
        assert_eq!(front.client().query("SELECT 1").unwrap(), "1", "{}", front.broker.said());
        front.end();
    }
}

#[test]
fn an_answer_to_something_else_says_nothing_for_the_credential() {
    for server in servers() {
        let account = server.user(Plugin::usual(server.kind())).unwrap();
        let mut file = File::new().unwrap();
        let secret = file.secret("password", &account.password).unwrap();
        let service = service(server, &account)
            .credential("password", Value::From("file", secret.display().to_string()));
        let endpoint = Endpoint::broker(&service.listen, &account);
        file.services.push(service);
        let broker = started(Broker::start(&file));
        let client = || Client::new(&endpoint).unwrap();
        client().query("SELECT 1").unwrap();
        let mut wire = Wire::session(&endpoint.listen, &account.name).unwrap();
        file.secret("password", "not the password").unwrap();
        broker.reload(&file).unwrap();
        wait::until("the broker has read it", || broker.said().contains("the credential has changed"));
        asks_for_another_user_behind(&mut wire, &account.name, "DO SLEEP(1)");
        let _ = wire.packet();
        // The last one that worked stands in.
        for _ in 0..3 {
            assert_eq!(client().query("SELECT 1").unwrap(), "1", "{}", broker.said());
        }
        drop(wire);
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
    }
}
