//! Stores that are away, sealed, or not what they should be; tokens that are none.

use std::io::Write;

use serde_json::json;
use tests::broker::{Service, pg};
use tests::openbao::{OpenBao, Options, Storage, shared};
use tests::postgres::{Login, Major, shared as postgres, unguessable};
use tests::pretend::Pretender;
use tests::wait;

use super::{answer, broker, head_of, launch, served, vault, wait_for_reason};
use crate::support::{psql, refusal, session};

fn service(id: &str) -> (Login, Service) {
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).credential("password", vault(id));
    (login, service)
}

#[test]
fn a_store_that_goes_down_and_comes_back_sealed_costs_nobody_a_session() {
    let store = OpenBao::start(&Options { storage: Storage::Raft, ..Options::default() }).unwrap();
    let (login, service) = service("kv/outage#password");
    let write = |password: &str| store.write("kv/outage", &json!({"password": password})).unwrap();
    write(&login.password);
    let broker = broker([service.clone()], &store, &["kv/outage"]);
    session(&service.listen, &login);

    store.stop().unwrap();
    broker.process().signal(rustix::process::Signal::USR1);
    let said =
        |words: &'static str| broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    said("connection refused; the last value stays in use");
    session(&service.listen, &login);

    store.resume().unwrap();
    // Sealed, it answers; and what it says is no word on the secret.
    said("Code: 503. Errors: * Vault is sealed; the last value stays in use");
    session(&service.listen, &login);
    assert_eq!(broker.get("/ready").unwrap().status, 200);

    store.unseal().unwrap();
    said("the credential was fetched again");
    let password = unguessable();
    postgres(Major::Distribution).sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
    write(&password);
    session(&service.listen, &login);
}

#[test]
fn a_token_that_the_store_does_not_know_is_an_outage_and_a_new_one_ends_it() {
    let store = shared();
    let (login, service) = service("kv/token#password");
    let service = service.line("timeouts: {handshake: 2s}");
    store.write("kv/token", &json!({"password": login.password})).unwrap();
    // The token lies in the file that the store's own client writes.
    let home = tests::places::fresh("home").unwrap();
    let variables = [("VAULT_ADDR", store.url()), ("HOME", home.display().to_string())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let broker = launch([service.clone()], &variables);
    wait_for_reason(&broker, "VAULT_TOKEN is not set");
    let write = |token: &str| std::fs::write(home.join(".vault-token"), token).unwrap();
    write("s.NobodyKnowsThisOne");
    wait_for_reason(&broker, "the store does not know our token, or not any more");
    let error = refusal(&service.listen, &login.name);
    crate::support::assert_is_ours(&error, "db", "57P03", "credential", &login);
    let token = store.reader(&["kv/token"]).unwrap();
    write(&token);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);

    // A token that is revoked withdraws nothing.
    store.write("auth/token/revoke", &json!({"token": token})).unwrap();
    broker.process().signal(rustix::process::Signal::USR1);
    let words =
        "the store does not know our token, or not any more: get another one; the last value stays in use";
    broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    session(&service.listen, &login);
    assert!(!broker.said().contains(&token) && !broker.said().contains("NobodyKnows"), "{}", broker.said());
}

#[test]
fn a_wrong_variable_is_said_at_once() {
    let (login, service) = service("kv/any#password");
    let broker = launch([service.clone()], &[("VAULT_ADDR", "vault.example.com"), ("VAULT_TOKEN", "t")]);
    wait_for_reason(&broker, "VAULT_ADDR has no scheme: write https://HOST:PORT");
    assert!(!psql(&service.listen, &login).run("").unwrap().status.success());
}

/// A store that breaks off in the middle of its answer.
fn cut_short() -> Pretender {
    Pretender::new(|mut stream| {
        head_of(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"da")
    })
}

#[test]
fn answers_that_are_garbage_or_huge_or_never_come_are_outages() {
    let huge = |length: usize| {
        let body = format!("{{\"data\": {{\"password\": \"{}\"}}}}", "hunter2".repeat(length / 7));
        answer("200 OK", body.as_bytes())
    };
    let (large, larger) = (huge(1_000_000), huge(2_000_000));
    let endless = {
        let chunk = format!("10000\r\n{}\r\n", "h".repeat(0x10000));
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(40)).into_bytes()
    };
    let cases: Vec<(&str, Pretender)> = vec![
        ("the answer is not HTTP", served(|_, _| b"SSH-2.0-hunter2\r\n\r\n".to_vec())),
        (
            "the answer's head is too long",
            served(|_, _| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "hunter2".repeat(20_000)).into_bytes()),
        ),
        (
            "is no JSON: is this the store's address?",
            served(|_, _| answer("200 OK", b"<html>hunter2</html>")),
        ),
        ("Code: 404. Errors:", served(|_, _| answer("404 Not Found", b"hunter2: no such page"))),
        (
            "Code: 500. Errors: * internal error",
            served(|_, _| answer("500 Internal Server Error", b"{\"errors\": [\"internal error\"]}")),
        ),
        ("the answer is larger than 1048576 bytes", served(move |_, _| larger.clone())),
        ("the answer is larger than 1048576 bytes", served(move |_, _| endless.clone())),
        ("peer disconnected", cut_short()),
        ("i/o timeout", Pretender::silent()),
        (
            "got <nil> in the field 'password'",
            served(|_, _| answer("200 OK", b"{\"data\": {\"password\": null}}")),
        ),
        // As large as it may be, and no password that PostgreSQL takes: what counts is that it came.
        ("", served(move |_, _| large.clone())),
    ];
    for (words, store) in cases {
        let (_, service) = service("kv/garbage#password");
        let url = format!("http://127.0.0.1:{}", store.port);
        let variables = [
            ("VAULT_ADDR", url.as_str()),
            ("VAULT_TOKEN", "t0ken"),
            ("VAULT_CLIENT_TIMEOUT", "2s"),
            ("VAULT_MAX_RETRIES", "0"),
        ];
        let broker = launch([service], &variables);
        if words.is_empty() {
            broker.wait_until_ready().unwrap();
        } else {
            wait_for_reason(&broker, words);
        }
        let ready = broker.get("/ready?full=1").unwrap().body;
        wait::until("it is in the metrics", || {
            broker.metric("secretless_credential_fetch_total", &["vault"]).is_ok_and(|count| count > 0.0)
        });
        for secret in ["hunter2", "t0ken"] {
            assert!(!broker.said().contains(secret) && !ready.contains(secret), "{words}: {ready}");
        }
        assert!(broker.stop().unwrap().success());
    }
}
