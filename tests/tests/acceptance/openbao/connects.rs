//! What clients have to do with a store: nothing, unless its value is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::json;
use tests::broker::Value;
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
