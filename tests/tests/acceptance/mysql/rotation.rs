//! A password that changes while everything runs.

use tests::broker::{File, Value, mysql};
use tests::mysql::wire::{Wire, change_user};
use tests::mysql::{Client, Endpoint, Plugin, Which, shared};
use tests::wait;

use super::servers;
use crate::support::started;

#[test]
fn a_password_that_has_changed_is_fetched_and_nobody_notices() {
    for server in servers() {
        for &plugin in server.plugins().iter().filter(|plugin| **plugin != Plugin::Nothing) {
            let mut account = server.user(plugin).unwrap();
            let mut file = File::new().unwrap();
            let secret = file.secret("password", &account.password).unwrap();
            let service = mysql("db", server, &account)
                .credential("password", Value::From("file", secret.display().to_string()));
            let endpoint = Endpoint::broker(&service.listen, &account);
            file.services.push(service);
            let broker = started(tests::broker::Broker::start(&file));
            let client = || Client::new(&endpoint).unwrap();
            client().query("SELECT 1").unwrap();
            let mut open = Wire::session(&endpoint.listen, &account.name).unwrap();
            for _ in 0..3 {
                // The server first: who comes now is refused, and nobody better is known for a moment.
                account.change_password(server).unwrap();
                file.secret("password", &account.password).unwrap();
                assert_eq!(
                    client().query("SELECT CURRENT_USER()").unwrap(),
                    account.current_user(),
                    "{plugin:?}\n{}",
                    broker.said()
                );
                assert_eq!(open.value("SELECT 7").unwrap(), "7", "open sessions go on");
            }
            // And a pool's next change of user has the newest.
            open.send(0, &change_user("x", &account.name, "mysql_native_password", b"")).unwrap();
            assert_eq!(open.packet().unwrap().payload.first(), Some(&0));
            assert!(!broker.said().contains(&account.password));
            drop(open);
            assert!(broker.stop().unwrap().success(), "{}", broker.said());
        }
    }
}

#[test]
fn a_second_try_is_told_to_the_log() {
    for server in servers() {
        let plugin = Plugin::usual(server.kind());
        let account = server.user(plugin).unwrap();
        let mut file = File::new().unwrap();
        let secret = file.secret("password", &account.password).unwrap();
        let service = mysql("db", server, &account)
            .credential("password", Value::From("file", secret.display().to_string()));
        let endpoint = Endpoint::broker(&service.listen, &account);
        file.services.push(service);
        let broker = started(tests::broker::Broker::start(&file));
        Client::new(&endpoint).unwrap().query("SELECT 1").unwrap();
        // The client is greeted by one connection, and served by another.
        let mut wire = Wire::connect(&endpoint.listen).unwrap();
        wire.packet().unwrap();
        // The new one is refused, and the last one that worked stands in for it.
        file.secret("password", "not yet").unwrap();
        wait::until("the new one is there", || broker.said().contains("the credential has changed"));
        let login = tests::mysql::wire::response("nobody", &account.name, "mysql_native_password", b"");
        wire.send(1, &login).unwrap();
        let ok = wire.packet().unwrap();
        assert_eq!((ok.number, ok.payload.first()), (2, Some(&0)), "{}\n{}", ok.text(), broker.said());
        wait::until("the log speaks of it", || broker.said().contains("KILL with it does nothing"));
        assert_eq!(wire.value("SELECT CURRENT_USER()").unwrap(), account.current_user());
        drop(wire);
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
    }
}

#[test]
fn a_client_that_takes_its_time_is_let_in_with_a_newer_credential_on_the_connection_that_is_there() {
    let server = shared(Which::Distribution).unwrap();
    let mut account = server.user(Plugin::NativePassword).unwrap();
    let mut file = File::new().unwrap();
    let secret = file.secret("password", &account.password).unwrap();
    let service = mysql("db", server, &account)
        .credential("password", Value::From("file", secret.display().to_string()))
        .literal("sslmode", "disable");
    let endpoint = Endpoint::broker(&service.listen, &account);
    file.services.push(service);
    let broker = started(tests::broker::Broker::start(&file));
    let query = || Client::new(&endpoint).unwrap().query("SELECT 1").unwrap();
    query();
    let mut wire = Wire::connect(&endpoint.listen).unwrap();
    let greeting = wire.packet().unwrap().payload;
    // Protocol 10: the version, a NUL, the connection's id.
    let id_at = 2 + greeting[1..].iter().position(|&byte| byte == 0).unwrap();
    let id = u32::from_le_bytes(greeting[id_at..id_at + 4].try_into().unwrap());
    account.change_password(server).unwrap();
    file.secret("password", &account.password).unwrap();
    query();
    let login = tests::mysql::wire::response("nobody", &account.name, "mysql_native_password", b"");
    wire.send(1, &login).unwrap();
    let ok = wire.packet().unwrap();
    assert_eq!(ok.payload.first(), Some(&0), "{}\n{}", ok.text(), broker.said());
    assert_eq!(wire.value("SELECT CONNECTION_ID()").unwrap(), id.to_string());
    assert_eq!(broker.metric("secretless_handshakes_abandoned_total", &[]).unwrap(), 0.0);
    drop(wire);
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}
