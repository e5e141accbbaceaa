//! What a real server answers, and changes.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tests::broker::{File, Service, Value};
use tests::postgres::{Major, shared as postgres, unguessable};
use tests::wait;
use tests::web_server::WebServer;

use super::{file_with, service};
use crate::doubles::{answer, assert_silent, from_file, launch_file, served, wait_for_reason, written};
use crate::support::session;

#[test]
fn a_password_is_a_whole_answer_a_member_or_what_a_pointer_leads_to() {
    let server = WebServer::start().unwrap();
    let document = |password: &str| {
        json!({"password": password, "data": {"a/b": [null, {"password": password}]}}).to_string()
    };
    for part in ["", "#password", "#/data/a~1b/1/password"] {
        let url = format!("{}/orders", server.url());
        let (login, service) = service("http", &format!("{url}{part}"));
        let content =
            if part.is_empty() { format!("{}\n", login.password) } else { document(&login.password) };
        server.put("orders", &content).unwrap();
        let broker = launch_file(&File::with([service.clone()]).unwrap(), &[]);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn an_object_that_is_taken_whole_is_a_warning() {
    let server = WebServer::start().unwrap();
    server.put("orders", &json!({"password": "hunter2"}).to_string()).unwrap();
    server.put("plain", "hunter2").unwrap();
    let words = "all of the answer is the value, and it is an object of JSON: name a part of it with `#/…`";
    for (name, raw, is_said) in [("orders", "", true), ("orders", ", raw: true", false), ("plain", "", false)]
    {
        let (_, service) = service("http", &format!("{}/{name}", server.url()));
        let file = File::with([service]).unwrap();
        let config = file.write().unwrap();
        let text = fs::read_to_string(&config).unwrap();
        let place = text.rfind(&format!("/{name}")).unwrap();
        let end = place + text[place..].find('}').unwrap();
        fs::write(&config, format!("{}{raw}{}", &text[..end], &text[end..])).unwrap();
        let mut check = tests::broker::command(&config).unwrap();
        let said = tests::process::run(check.args(["check", "--online"])).unwrap();
        assert!(said.status.success(), "{said}");
        assert_eq!(said.stderr.contains(words), is_said, "{name}{raw}: {said}");
        assert!(!said.to_string().contains("hunter2"), "{said}");
    }
}

#[test]
fn all_values_of_one_address_come_in_one_request() {
    let server = WebServer::start().unwrap();
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let document = json!({"host": "127.0.0.1", "port": cluster.port, "login": [login.name, login.password]});
    server.put("db", &document.to_string()).unwrap();
    let values = [("host", "#host"), ("port", "#port"), ("username", "#/login/0"), ("password", "#/login/1")];
    let mut service = Service::new("pg", "db", tests::broker::Listen::tcp()).literal("sslmode", "disable");
    for (name, part) in values {
        service = service.credential(name, Value::From("web", format!("/db{part}")));
    }
    let file = file_with(&service.clone().line("refresh: off"), &[("url", &server.url())]);
    let broker = launch_file(&file, &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    assert_eq!(server.asked("db"), 1);
}

#[test]
fn a_new_token_and_a_new_password_are_taken_up_when_the_target_refuses_the_old_one() {
    let server = WebServer::start().unwrap();
    let (login, service) = service("web", "db#password");
    let set = |password: &str| server.put("db", &json!({"password": password}).to_string()).unwrap();
    set(&login.password);
    let tokens = [(); 2].map(|()| unguessable());
    let token = written("token", &format!("{}\n", tokens[0]));
    server.allow(&[&format!("Authorization: Bearer {}", tokens[0])]).unwrap();
    let bearer = format!("{{from: file, get: {token}}}");
    let service = service.line("refresh: off");
    let broker = launch_file(&file_with(&service, &[("url", &server.url()), ("bearer", &bearer)]), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);

    let password = unguessable();
    fs::write(&token, &tokens[1]).unwrap();
    server.allow(&[&format!("Authorization: Bearer {}", tokens[1])]).unwrap();
    set(&password);
    postgres(Major::Distribution).sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
    session(&service.listen, &login);
    assert_silent(&broker, &[&tokens[0], &tokens[1], &login.password, &password]);
}

#[test]
fn who_we_are_goes_along_and_nothing_that_the_file_does_not_say() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (login, service) = service("web", "a?version=3#password");
    let (seen, password) = (Arc::clone(&heads), login.password.clone());
    let server = served(move |head, _| {
        seen.lock().unwrap().push(head.to_owned());
        answer("200 OK", json!({"password": password}).to_string().as_bytes())
    });
    let url = format!("http://127.0.0.1:{}/base/", server.port);
    let headers = format!("['X-Team:  orders: a', {}]", from_file("header", "X-Api-Key: k3y\n"));
    let user = from_file("password", "open sesame\n");
    let entry = [("url", url.as_str()), ("headers", &headers), ("username", "Aladdin"), ("password", &user)];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    let mut lines: Vec<String> = heads.lock().unwrap()[0].trim_end().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", server.port);
    let expected = [
        "GET /base/a?version=3 HTTP/1.1",
        "accept: application/json",
        // RFC 7617, section 2.
        "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        &host,
        "user-agent: secretless-broker",
        "x-api-key: k3y",
        "x-team: orders: a",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_server_is_asked_every_refresh_whatever_it_says_of_its_answers_age() {
    let (login, service) = service("http", "");
    let (count, password) = (Arc::new(Mutex::new(0)), login.password.clone());
    let asked = Arc::clone(&count);
    let server = served(move |_, _| {
        *asked.lock().unwrap() += 1;
        let head =
            "200 OK\r\nCache-Control: max-age=86400, immutable\r\nExpires: Thu, 01 Jan 2099 00:00:00 GMT";
        answer(head, password.as_bytes())
    });
    let id = format!("http://127.0.0.1:{}/", server.port);
    let service = service.credential("password", Value::From("http", id)).line("refresh: 100ms");
    let broker = launch_file(&File::with([service.clone()]).unwrap(), &[]);
    broker.wait_until_ready().unwrap();
    wait::until("it is asked again and again", || *count.lock().unwrap() > 3);
    session(&service.listen, &login);
}

#[test]
fn a_value_that_is_gone_serves_on_and_is_taken_up_when_it_is_back() {
    let server = WebServer::start().unwrap();
    let (login, service) = service("web", "db");
    server.put("db", &login.password).unwrap();
    let service = service.line("refresh: 100ms");
    let broker = launch_file(&file_with(&service, &[("url", &server.url())]), &[]);
    broker.wait_until_ready().unwrap();
    let stale = |count: f64| {
        wait::until("it is stale, or fresh", || {
            broker.metric("secretless_credential_stale", &[]).unwrap() == count
        });
    };
    fs::remove_file(server.path("db")).unwrap();
    stale(1.0);
    assert!(broker.said().contains("/db\": 404 Not Found"), "{}", broker.said());
    session(&service.listen, &login);
    server.put("db", &login.password).unwrap();
    stale(0.0);
    session(&service.listen, &login);
}

#[test]
fn a_server_that_does_not_know_us_denies_the_value() {
    let server = WebServer::start().unwrap();
    let (_, service) = service("web", "db");
    server.allow(&["Authorization: Bearer another"]).unwrap();
    let broker =
        launch_file(&file_with(&service, &[("url", &server.url()), ("bearer", "hunter2hunter2")]), &[]);
    wait_for_reason(&broker, "/db\\\": 401 Unauthorized");
    assert!(broker.metric("secretless_credential_fetch_total", &["denied"]).unwrap() >= 1.0);
    assert_silent(&broker, &["hunter2"]);
}
