//! What of a secret stays behind in the broker's memory, and what is told of a query.

use std::fs;

use serde_json::json;
use tests::broker::File;
use tests::certificates::Authority;
use tests::postgres::{Major, shared as postgres, unguessable};
use tests::process;
use tests::web_server::WebServer;

use super::{file_with, service};
use crate::doubles::{assert_silent, is_gone, launch_file, wait_for_reason, written};
use crate::support::session;

#[test]
fn a_value_lies_where_it_is_used_and_what_it_was_asked_with_nowhere() {
    let authority = Authority::shared();
    let encrypted = WebServer::start_in_tls(&authority.server(&["127.0.0.1"]), None).unwrap();
    for server in [WebServer::start().unwrap(), encrypted] {
        let (login, service) = service("web", "db#/data/password");
        let cluster = postgres(Major::Distribution);
        let passwords = [(); 3].map(|()| format!("{}<\"&", unguessable()));
        let set = |password: &str| {
            cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
            server.put("db", &json!({"data": {"password": password}}).to_string()).unwrap();
        };
        set(&passwords[0]);
        let [mut token, key] = [(); 2].map(|()| unguessable());
        let allow = |token: &str| {
            server.allow(&[&format!("Authorization: Bearer {token}"), &format!("X-Key: {key}")]).unwrap();
        };
        allow(&token);
        let (bearer, header) = (written("token", &token), written("header", &format!("X-Key: {key}")));
        let (from_bearer, from_header) =
            (format!("{{from: file, get: {bearer}}}"), format!("[{{from: file, get: {header}}}]"));
        let url = server.url();
        let mut entry = vec![("url", url.as_str()), ("bearer", &from_bearer), ("headers", &from_header)];
        if url.starts_with("https") {
            entry.push(("skipVerify", "true"));
        }
        let broker = launch_file(&file_with(&service, &entry), &[]);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        for pair in passwords.windows(2) {
            let old = std::mem::replace(&mut token, unguessable());
            fs::write(&bearer, &token).unwrap();
            allow(&token);
            set(&pair[1]);
            session(&service.listen, &login);
            let escaped = serde_json::to_string(&pair[0]).unwrap();
            for secret in [&pair[0], &pair[1], escaped.trim_matches('"'), &old, &token, &key] {
                is_gone(&broker, secret);
            }
        }
        assert_silent(&broker, &[&token, &key, &passwords[2]]);
    }
}

#[test]
fn a_query_is_shown_to_nobody() {
    let server = WebServer::start().unwrap();
    let (_, service) = service("http", &format!("{}/none?token=hunter2#a", server.url()));
    let file = File::with([service]).unwrap();
    let broker = launch_file(&file, &[]);
    wait_for_reason(&broker, "/none?...\\\": 404 Not Found");
    assert_silent(&broker, &["hunter2"]);
    assert!(server.asked("none?token=hunter2") > 0);
    for action in ["check", "explain"] {
        let mut command = tests::broker::command(broker.config()).unwrap();
        command.arg(action);
        if action == "check" {
            command.arg("--online");
        }
        let said = process::run(&mut command).unwrap();
        let said = said.stdout + &said.stderr;
        assert!(said.contains("/none?...") && !said.contains("hunter2"), "{action}: {said}");
    }
}
