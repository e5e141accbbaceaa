//! Logins that are refused or answered with nonsense, by doubles of a store that do what they are told.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tests::pretend::Pretender;
use tests::wait;

use super::{answer, assert_silent, file_with, launch_file, served, service_of_team, wait_for_reason};
use crate::support::session;

/// The heads of the requests to a double, in their order.
type Heads = Arc<Mutex<Vec<String>>>;

/// A double that answers each request so.
fn store(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> (Pretender, Heads) {
    let heads = Heads::default();
    let seen = Arc::clone(&heads);
    let store = served(move |head, body| {
        seen.lock().unwrap().push(head.to_owned());
        answer(head, body)
    });
    (store, heads)
}

/// How many of `heads` are of this path.
fn count(heads: &Heads, path: &str) -> usize {
    heads.lock().unwrap().iter().filter(|head| head.contains(path)).count()
}

const PASSWORD: &str = "hunter2hunter2";

/// An entry that logs in at `store` as a user.
fn entry(url: &str) -> [(&str, &str); 6] {
    [
        ("address", url),
        ("login", "userpass"),
        ("username", "ann"),
        ("password", PASSWORD),
        ("timeout", "2s"),
        ("retries", "0"),
    ]
}

fn url(store: &Pretender) -> String {
    format!("http://127.0.0.1:{}", store.port)
}

#[test]
fn three_refused_logins_are_followed_by_a_pause() {
    let (double, heads) =
        store(|_, _| answer("400 Bad Request", br#"{"errors": ["invalid username or password"]}"#));
    let (_, service) = service_of_team();
    let broker = launch_file(&file_with(&service, &entry(&url(&double))), &[("VAULT_TOKEN", "of.another")]);
    wait_for_reason(&broker, "Code: 400. Errors: * invalid username or password");
    wait_for_reason(&broker, "the store has refused our logins in a row and is left alone");
    // Asked again and again, it still does not ask the store.
    let denied = || broker.metric("secretless_credential_fetch_total", &["denied"]).unwrap();
    let before = denied();
    wait::until("it was asked again", || {
        broker.process().signal(rustix::process::Signal::USR1);
        denied() > before + 1.0
    });
    assert_eq!(count(&heads, "PUT /v1/auth/userpass/login/ann "), 3);
    assert_eq!(heads.lock().unwrap().len(), 3);
    assert!(heads.lock().unwrap().iter().all(|head| !head.to_lowercase().contains("x-vault-token")));
    assert_silent(&broker, &[PASSWORD, "of.another"]);
}

#[test]
fn whatever_a_store_answers_to_a_login_no_secret_is_told() {
    type Answering = Box<dyn Fn(&str, &str) -> Vec<u8> + Send + Sync>;
    let fixed =
        |status: &'static str, body: Vec<u8>| -> Answering { Box::new(move |_, _| answer(status, &body)) };
    let cases: Vec<(&str, Answering)> = vec![
        (
            "is no JSON: is this the store's address?",
            fixed("200 OK", b"<html>hunter2hunter2</html>".to_vec()),
        ),
        ("the answer has no token in it", fixed("200 OK", br#"{"auth": {"client_token": ""}}"#.to_vec())),
        (
            "the answer has no token in it",
            fixed("200 OK", b"{\"auth\": {\"client_token\": \"a\\nb\"}}".to_vec()),
        ),
        ("the answer is larger than 1048576 bytes", fixed("200 OK", vec![b' '; 2_000_000])),
        ("Code: 403. Errors:", fixed("403 Forbidden", b"<h1>hunter2hunter2</h1>".to_vec())),
        ("Code: 412.", fixed("412 Precondition Failed", b"{\"errors\": []}".to_vec())),
        ("Code: 472.", fixed("472 X", b"{\"errors\": []}".to_vec())),
        ("Code: 473.", fixed("473 X", b"{\"errors\": []}".to_vec())),
        ("Code: 500. Errors: * x", fixed("500 Internal Server Error", b"{\"errors\": [\"x\"]}".to_vec())),
        (
            "Vault is sealed",
            fixed("503 Service Unavailable", b"{\"errors\": [\"Vault is sealed\"]}".to_vec()),
        ),
        (
            "quotes what we have sent, and is not shown",
            Box::new(|_, body| answer("400 Bad Request", json!({"errors": [body]}).to_string().as_bytes())),
        ),
        ("the answer is not HTTP", Box::new(|_, _| b"SSH-2.0-hunter2hunter2\r\n\r\n".to_vec())),
    ];
    for (words, answering) in cases {
        let (double, _) = store(answering);
        let (_, service) = service_of_team();
        let broker = launch_file(&file_with(&service, &entry(&url(&double))), &[]);
        wait_for_reason(&broker, words);
        assert_silent(&broker, &[PASSWORD]);
        assert!(broker.stop().unwrap().success());
    }
    let (_, service) = service_of_team();
    let broker = launch_file(&file_with(&service, &entry(&url(&Pretender::silent()))), &[]);
    wait_for_reason(&broker, "i/o timeout");
    assert_silent(&broker, &[PASSWORD]);
}

#[test]
fn a_token_that_a_store_quotes_is_not_told() {
    let (double, _) = store(|head, _| {
        let token = head.lines().find_map(|line| line.strip_prefix("x-vault-token: ")).unwrap_or_default();
        answer(
            "500 Internal Server Error",
            json!({"errors": [format!("who is {token}?")]}).to_string().as_bytes(),
        )
    });
    let (_, service) = service_of_team();
    let url = url(&double);
    let entry = [("address", url.as_str()), ("token", "s.abcdefghijklmnop"), ("retries", "0")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&broker, "quotes what we have sent, and is not shown");
    assert_silent(&broker, &["s.abcdefghijklmnop", "defghijklm"]);
}

#[test]
fn a_login_that_cannot_be_replaced_serves_until_its_end_and_the_operator_is_told() {
    let (login, service) = service_of_team();
    let password = login.password.clone();
    let logins = std::sync::atomic::AtomicU32::new(0);
    // A double, for a real store would have to lose a role at the right moment.
    let (double, _) = store(move |head, _| {
        if !head.contains("/login/") {
            return answer("200 OK", json!({"data": {"password": password}}).to_string().as_bytes());
        }
        if logins.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            return answer("400 Bad Request", br#"{"errors": ["invalid username or password"]}"#);
        }
        let auth = json!({"client_token": "s.first", "lease_duration": 3, "renewable": false});
        answer("200 OK", json!({"auth": auth}).to_string().as_bytes())
    });
    let file = file_with(&service.clone().line("refresh: 1s"), &entry(&url(&double)));
    let broker = launch_file(&file, &[]);
    broker.wait_until_ready().unwrap();
    let said = |words: &'static str| {
        broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    };
    said("invalid username or password; the last login serves until its end");
    session(&service.listen, &login);
    // It is over, and the value that it brought serves on.
    said("; the last value stays in use");
    session(&service.listen, &login);
    assert_silent(&broker, &[PASSWORD, "s.first"]);
}

/// What a store answers to a login.
fn granted(token: &str) -> Vec<u8> {
    let auth =
        json!({"client_token": token, "lease_duration": 3600, "renewable": true, "token_type": "service"});
    answer("200 OK", json!({"auth": auth}).to_string().as_bytes())
}

#[test]
fn a_store_that_wants_to_be_left_alone_is() {
    let (double, heads) = store(|_, _| {
        answer("429 Too Many Requests\r\nRetry-After: 30", br#"{"errors": ["rate limit quota exceeded"]}"#)
    });
    let (_, service) = service_of_team();
    let broker = launch_file(&file_with(&service, &entry(&url(&double))), &[]);
    wait_for_reason(&broker, "Code: 429. Errors: * rate limit quota exceeded");
    wait_for_reason(&broker, "the store wants to be left alone for");
    assert_eq!(heads.lock().unwrap().len(), 1);
}

#[test]
fn a_token_that_is_refused_as_soon_as_it_is_given_is_not_asked_for_without_end() {
    // A double, for no real store forgets what it has just given.
    let (double, heads) = store(|head, _| match head {
        _ if head.contains("/login/") => granted("s.forgotten"),
        _ => answer("403 Forbidden", br#"{"errors": ["permission denied"]}"#),
    });
    let (_, service) = service_of_team();
    let broker = launch_file(&file_with(&service, &entry(&url(&double))), &[]);
    wait_for_reason(
        &broker,
        "read 'kv/db': Error making API request. Code: 403. Errors: * permission denied",
    );
    let fetches = || broker.metric("secretless_credential_fetch_total", &["team"]).unwrap();
    wait::until("it was asked some times", || fetches() >= 3.0);
    // Two each at the most, and one that may be under way.
    assert!(count(&heads, "/login/") as f64 <= 2.0 * (fetches() + 1.0));
    assert_silent(&broker, &[PASSWORD, "s.forgotten"]);
}

#[test]
fn a_store_that_stands_by_sends_a_login_on_and_only_in_the_same_scheme() {
    let (login, service) = service_of_team();
    let password = login.password.clone();
    let (active, heads) = store(move |head, body| {
        if head.contains("/login/") {
            assert_eq!(body, json!({"password": PASSWORD}).to_string());
            return granted("s.active");
        }
        answer("200 OK", json!({"data": {"password": password}}).to_string().as_bytes())
    });
    let to = |target: String| {
        store(move |head, _| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            answer(&format!("307 Temporary Redirect\r\nLocation: {target}{path}"), b"")
        })
    };
    let (standby, _) = to(url(&active));
    let broker = launch_file(&file_with(&service, &entry(&url(&standby))), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    assert!(broker.stop().unwrap().success());
    assert_eq!(count(&heads, "/login/"), 1);
    assert_eq!(count(&heads, "/v1/auth/token/revoke-self"), 1);

    let (other, _) = to(format!("https://127.0.0.1:{}", active.port));
    let broker = launch_file(&file_with(&service, &entry(&url(&other))), &[]);
    wait_for_reason(&broker, "it names another address that is not to be followed");
}
