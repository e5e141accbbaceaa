//! What clients have to do with a store: nothing, unless its value is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use serde_json::json;
use tests::broker::Value;
use tests::openbao::{OpenBao, Options, Storage};
use tests::postgres::{Major, shared as postgres, unguessable};
use tests::pretend::Pretender;
use tests::{ports, wait};

use super::{answer, file_with, launch_file, served, service_of_team};
use crate::support::{refusal, session};

/// A double of a store that counts what it is asked for, and answers with this password as long as nobody says otherwise.
fn counting(
    password: &str,
    answers: impl Fn(usize) + Send + Sync + 'static,
) -> (Pretender, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, body) = (Arc::clone(&asked), json!({"data": {"password": password}}).to_string());
    let store = served(move |_, _| {
        answers(count.fetch_add(1, Ordering::SeqCst));
        answer("200 OK", body.as_bytes())
    });
    (store, asked)
}

#[test]
fn hundreds_of_connects_ask_the_store_nothing() {
    let (login, service) = service_of_team();
    let (store, asked) = counting(&login.password, |_| ());
    let url = format!("http://127.0.0.1:{}", store.port);
    let service = service.line("refresh: off");
    let broker = launch_file(&file_with(&service, &[("address", &url), ("token", "a-token-of-ours")]), &[]);
    broker.wait_until_ready().unwrap();
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..300 {
        session(&service.listen, &login);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn a_store_that_hangs_delays_nobody_whose_credential_is_at_hand() {
    let (login, service) = service_of_team();
    let (sender, never) = mpsc::channel::<()>();
    let never = Mutex::new(never);
    // One question for the kind of the mount, and one for the secret; then silence.
    let (store, asked) = counting(&login.password, move |number| {
        if number >= 2 {
            let _ = never.lock().unwrap().recv();
        }
    });
    let url = format!("http://127.0.0.1:{}", store.port);
    let service = service.line("refresh: 100ms");
    let entry = [("address", url.as_str()), ("token", "a-token-of-ours"), ("timeout", "60s")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    wait::until("it hangs", || asked.load(Ordering::SeqCst) >= 3);
    for _ in 0..20 {
        session(&service.listen, &login);
    }
    drop(sender);
}

#[test]
fn clients_are_told_since_when_a_store_has_been_away_and_not_what_it_was_asked_for() {
    let (login, service) = service_of_team();
    let service = service.credential("username", Value::From("team", "kv/db#user".to_owned()));
    let url = format!("http://127.0.0.1:{}", ports::free());
    let file = file_with(&service, &[("address", &url), ("token", "a-token-of-ours"), ("retries", "0")]);
    let broker = launch_file(&file, &[]);
    broker
        .process()
        .wait_for_words("that the store does not answer", |said| {
            said.contains("store 'team' does not answer")
        })
        .unwrap();
    let error = refusal(&service.listen, &login.name);
    let words = error.field('M');
    assert_eq!(error.field('C'), "57P03", "{words}");
    assert!(words.contains("store 'team' has been unreachable since 20"), "{words}");
    assert!(!words.contains("kv/db") && !words.contains("127.0.0.1"), "{words}");
    assert_eq!(broker.metric("secretless_store_breaker_open", &["team"]).unwrap(), 1.0);
    assert!(broker.said().contains("kv/db"), "the log says what was asked for: {}", broker.said());
}

#[test]
fn clients_connect_while_their_store_is_killed_sealed_and_given_another_password() {
    let store = OpenBao::start(&Options { storage: Storage::Raft, ..Options::default() }).unwrap();
    let (login, service) = service_of_team();
    let set = |password: &str| store.write("kv/db", &json!({"password": password})).unwrap();
    set(&login.password);
    let (url, token) = (store.url(), store.reader(&["kv/db"]).unwrap());
    let service = service.line("refresh: 200ms");
    let entry = [("address", url.as_str()), ("token", token.as_str()), ("retries", "0")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    let is_over = AtomicBool::new(false);
    let connects = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    session(&service.listen, &login);
                    connects.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let breaker_is = |state: f64| {
            broker.metric("secretless_store_breaker_open", &["team"]).is_ok_and(|found| found == state)
        };
        for _ in 0..3 {
            store.kill().unwrap();
            wait::until("it is left alone", || breaker_is(1.0));
            store.resume().unwrap();
            store.unseal().unwrap();
            wait::until("it answers again", || breaker_is(0.0));
            let password = unguessable();
            let alter = format!("ALTER ROLE {} PASSWORD '{password}'", login.name);
            postgres(Major::Distribution).sql(&alter).unwrap();
            set(&password);
            let before = connects.load(Ordering::Relaxed);
            wait::until("clients go on", || connects.load(Ordering::Relaxed) > before + 16);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}
