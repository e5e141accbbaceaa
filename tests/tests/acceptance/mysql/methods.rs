//! Every method by which a server knows us, over every line.

use tests::broker::Service;
use tests::mysql::{Account, Client, Endpoint, Options, Plugin, Server, Which};
use tests::places;

use super::{Front, servers, service};
use crate::support::broker;

/// What a service must differ in.
type Differ = Box<dyn Fn(Service) -> Service>;

/// Over TCP in clear, with a key that may be asked for; inside TLS; over a Unix socket.
fn lines(server: &Server) -> [(&'static str, Differ); 3] {
    let socket = server.socket().display().to_string();
    [
        (
            "in clear",
            Box::new(|service: Service| {
                service.literal("sslmode", "disable").line("config: {allowPublicKeyRetrieval: true}")
            }),
        ),
        ("in TLS", Box::new(|service: Service| service.literal("sslmode", "require"))),
        ("on a Unix socket", Box::new(move |service: Service| service.literal("host", &socket))),
    ]
}

#[test]
fn accounts_of_every_plugin_are_served_over_every_line() {
    for server in servers() {
        for &plugin in server.plugins() {
            for (line, differ) in lines(server) {
                let front = Front::with(server, plugin, differ);
                let who = front.client().run("SELECT CURRENT_USER(), DATABASE()").unwrap();
                let expected = format!("{}\t{}\n", front.account.current_user(), front.account.name);
                assert_eq!(who.stdout, expected, "{plugin:?} {line}: {who}\n{}", front.broker.said());
                front.end();
            }
        }
    }
}

/// What a server has seen of a password is gone with a restart and with FLUSH PRIVILEGES: everything works until then
/// where full authentication does not.
#[test]
fn mysql_is_shown_the_password_in_full_whenever_it_has_forgotten_it() {
    let Some(server) = Which::MySql.start(&Options::with_tls()).unwrap() else { return };
    for plugin in [Plugin::CachingSha2Password, Plugin::Sha256Password] {
        for (line, differ) in lines(&server) {
            let front = Front::with(&server, plugin, differ);
            let works = |when: &str| {
                let finished = front.client().run("SELECT 'in'").unwrap();
                assert_eq!(
                    finished.stdout,
                    "in\n",
                    "{plugin:?} {line}, {when}: {finished}\n{}",
                    front.broker.said()
                );
            };
            works("first");
            works("again");
            server.sql("FLUSH PRIVILEGES").unwrap();
            works("after FLUSH PRIVILEGES");
            server.restart().unwrap();
            works("after a restart");
            front.end();
        }
    }
}

/// The key that MySQL makes for itself at its first start.
fn server_key(server: &Server) -> String {
    server
        .sql("SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'")
        .unwrap()
        .split_once('\t')
        .unwrap()
        .1
        .replace("\\n", "\n")
}

#[test]
fn a_key_is_trusted_if_it_is_pinned_or_may_be_asked_for_and_not_else() {
    let Some(server) = Which::MySql.start(&Options::with_tls()).unwrap() else { return };
    let account = server.user(Plugin::CachingSha2Password).unwrap();
    let plain = || service(&server, &account).literal("sslmode", "disable");
    let said = |service: Service| refusal_or_rows(service, &account);

    let refused = said(plain());
    assert!(refused.contains("ERROR 1105") && refused.contains("allowPublicKeyRetrieval"), "{refused}");

    let key = places::fresh("key").unwrap().join("public.pem");
    std::fs::write(&key, server_key(&server)).unwrap();
    assert_eq!(said(plain().file("serverPublicKey", &key)), "in\n");

    server.sql("FLUSH PRIVILEGES").unwrap();
    let other = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----\n";
    std::fs::write(&key, other).unwrap();
    let refused = said(plain().file("serverPublicKey", &key));
    assert!(refused.contains("is not the one in credential 'serverPublicKey'"), "{refused}");

    // A password that the server has seen needs no key.
    assert_eq!(said(plain().line("config: {allowPublicKeyRetrieval: true}")), "in\n");
    assert_eq!(said(plain()), "in\n");
}

#[track_caller]
fn refusal_or_rows(service: Service, account: &Account) -> String {
    let endpoint = Endpoint::broker(&service.listen, account);
    let broker = broker([service]);
    let finished = Client::new(&endpoint).unwrap().run("SELECT 'in'").unwrap();
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
    finished.stdout + &finished.stderr
}

#[test]
fn full_authentication_wants_verified_tls_where_that_is_asked_for() {
    let Some(server) = Which::MySql.start(&Options::with_tls()).unwrap() else { return };
    let account = server.user(Plugin::CachingSha2Password).unwrap();
    let strict = || service(&server, &account).line("config: {cleartextPassword: verified}");
    let refused = refusal_or_rows(strict().literal("sslmode", "require"), &account);
    assert!(refused.contains("refusing to send the password in clear"), "{refused}");
    let authority = tests::certificates::Authority::shared();
    let verified = strict().literal("sslmode", "verify-full").literal("sslrootcert", &authority.certificate);
    assert_eq!(refusal_or_rows(verified, &account), "in\n");
}
