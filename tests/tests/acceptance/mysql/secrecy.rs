//! No form of the secret comes out, and nothing of it stays behind.

use tests::broker::{Broker, File, Listen, Service, mysql};
use tests::mysql::wire::{Packet, Wire, change_user, response};
use tests::mysql::{Plugin, Which, shared};
use tests::ports;
use tests::postgres::{Login, unguessable};

use super::{Front, servers, unix};
use crate::memory::assert_nowhere_else;
use crate::secrecy::{find, forms};
use crate::support::started;

/// What a client hears that logs in, or tries to, in every way.
fn hear(listen: &Listen, database: &str) -> Vec<u8> {
    let mut heard = Vec::new();
    let login = |plugin, proof: &[u8]| Packet { number: 1, payload: response("x", database, plugin, proof) };
    let change = Packet { number: 0, payload: change_user("x", database, "mysql_native_password", b"") };
    for said in [
        [login("mysql_native_password", b"").bytes(), change.bytes()].concat(),
        login("caching_sha2_password", &[7; 32]).bytes(),
        [login("parsec", b"").bytes(), Packet { number: 3, payload: Vec::new() }.bytes()].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let Ok(mut wire) = Wire::connect(listen) else { continue };
        let mut packets = std::iter::from_fn(|| wire.packet().ok());
        let Some(greeting) = packets.next() else { continue };
        heard.extend(greeting.bytes());
        if greeting.error_code().is_some() || wire.send_bytes(&said).is_err() {
            continue;
        }
        // What comes until the end, which a session reaches with COM_QUIT.
        let quit = Packet { number: 0, payload: vec![1] };
        let _ = wire.send_bytes(&quit.bytes());
        heard.extend(wire.rest().unwrap_or_default());
    }
    heard
}

#[test]
fn no_form_of_the_secret_comes_out_on_any_path() {
    for server in servers() {
        let mut file = File::new().unwrap();
        let mut accounts = Vec::new();
        for (number, &plugin) in
            server.plugins().iter().filter(|plugin| **plugin != Plugin::Nothing).enumerate()
        {
            let account = server.user(plugin).unwrap();
            let plain = |name: &str| mysql(&format!("{name}{number}"), server, &account);
            let socket = server.socket().display().to_string();
            file.services.extend([
                plain("tls"),
                plain("clear").literal("sslmode", "disable").line("config: {allowPublicKeyRetrieval: true}"),
                plain("no-key").literal("sslmode", "disable"),
                plain("unix").literal("host", &socket).listening_on(unix()),
                plain("refused").literal("port", &ports::free().to_string()),
                plain("wrong-user").literal("username", "nobody_of_that_name"),
                plain("mode").literal("sslmode", &account.password),
                plain("key").literal("serverPublicKey", &account.password),
            ]);
            accounts.push(account);
        }
        let services: Vec<Service> = file.services.clone();
        let config = file.write().unwrap();
        let mut command = tests::broker::command(&config).unwrap();
        command.arg("-debug");
        let broker = started(Broker::launch_with(&mut command, file.admin(), config));
        broker.wait_until_ready().unwrap();
        let mut seen = Vec::new();
        for service in &services {
            for account in &accounts {
                seen.extend(hear(&service.listen, &account.name));
            }
        }
        for path in ["/ready?full=1", "/metrics"] {
            seen.extend(broker.get(path).unwrap().body.into_bytes());
        }
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
        seen.extend(broker.said().into_bytes());
        assert!(seen.len() > 10_000, "hardly a word was heard");
        for account in &accounts {
            let login = Login { name: account.name.clone(), password: account.password.clone() };
            let forms = forms(&login, "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$a:b");
            assert_eq!(find(&seen, &forms), [""; 0], "{:?}", account.plugin);
        }
    }
}

#[test]
fn nothing_of_a_password_stays_behind_a_login_or_a_change_of_user() {
    for server in servers() {
        for &plugin in server.plugins().iter().filter(|plugin| **plugin != Plugin::Nothing) {
            let front = Front::with(server, plugin, |service| service);
            let mut open = Vec::new();
            for _ in 0..10 {
                let mut wire = Wire::session(&front.endpoint.listen, &front.account.name).unwrap();
                wire.send(0, &change_user("x", &front.account.name, "mysql_native_password", b"")).unwrap();
                assert_eq!(wire.packet().unwrap().payload.first(), Some(&0));
                open.push(wire);
            }
            assert_nowhere_else(&front.broker, &front.account.password);
            drop(open);
            front.end();
        }
    }
}

#[test]
fn a_password_that_a_client_volunteers_is_wiped_unread() {
    let server = shared(Which::Newer).unwrap();
    let front = Front::with(server, Plugin::NativePassword, |service| service);
    let volunteered = unguessable();
    let proof = [volunteered.as_bytes(), b"\0"].concat();
    for _ in 0..20 {
        let mut wire = Wire::connect(&front.endpoint.listen).unwrap();
        wire.packet().unwrap();
        wire.send(1, &response("x", &front.account.name, "mysql_clear_password", &proof)).unwrap();
        assert_eq!(wire.packet().unwrap().payload.first(), Some(&0));
        wire.send(0, &change_user("x", &front.account.name, "mysql_clear_password", &proof)).unwrap();
        assert_eq!(wire.packet().unwrap().payload.first(), Some(&0));
    }
    assert_nowhere_else(&front.broker, &volunteered);
    front.end();
}
