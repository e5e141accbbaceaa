//! The ways to a server: TLS, certificates of our own, proxies; servers that do not answer.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tests::broker::{File, Value};
use tests::certificates::Authority;
use tests::ports;
use tests::postgres::{Major, shared as postgres};
use tests::pretend::Pretender;
use tests::wait;
use tests::web_server::WebServer;

use super::{file_with, service};
use crate::doubles::{from_file, head_of, launch_file, proxy, wait_for_reason, written};
use crate::support::session;

#[test]
fn a_server_is_believed_by_its_certificate_alone() {
    let authority = Authority::shared();
    let server = WebServer::start_in_tls(&authority.server(&["127.0.0.1", "web.test"]), None).unwrap();
    let (login, service) = service("web", "db");
    server.put("db", &login.password).unwrap();
    let root = written("root.pem", &authority.certificate);
    let folder = std::path::Path::new(&root).parent().unwrap().display().to_string();
    let pem = from_file("root.pem", &authority.certificate);
    let stranger = written("stranger.pem", &Authority::stranger().certificate);
    let url = server.url();
    for good in [
        &[("caCert", root.as_str())][..],
        &[("caCert", &pem)],
        &[("caPath", &folder)],
        &[("caCert", &root), ("tlsServerName", "web.test")],
        &[("skipVerify", "true")],
    ] {
        let entry = [&[("url", url.as_str())], good].concat();
        let broker = launch_file(&file_with(&service, &entry), &[]);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert!(broker.stop().unwrap().success());
    }
    for (bad, words) in [
        (&[][..], "tls: invalid peer certificate: UnknownIssuer"),
        (&[("caCert", stranger.as_str())], "tls: invalid peer certificate: UnknownIssuer"),
        (&[("caCert", &root), ("tlsServerName", "other.test")], "certificate not valid for name"),
        (&[("caCert", "/nowhere.pem")], "open /nowhere.pem: no such file or directory"),
    ] {
        let entry = [&[("url", url.as_str()), ("retries", "0")], bad].concat();
        let broker = launch_file(&file_with(&service, &entry), &[]);
        wait_for_reason(&broker, words);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn a_server_that_wants_to_see_a_certificate_is_shown_ours() {
    let (authority, clients) = (Authority::shared(), Authority::new("the server's clients"));
    let identity = authority.server(&["127.0.0.1"]);
    let server = WebServer::start_in_tls(&identity, Some(&clients.certificate)).unwrap();
    let (login, service) = service("web", "db");
    server.put("db", &login.password).unwrap();
    let ours = clients.client("broker");
    let [root, certificate, key] =
        [("root.pem", &authority.certificate), ("client.pem", &ours.certificate), ("client.key", &ours.key)]
            .map(|(name, pem)| written(name, pem));
    let url = server.url();
    let mut entry = vec![("url", url.as_str()), ("caCert", &root), ("retries", "0")];
    let without = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&without, "tls: received fatal alert: CertificateRequired");
    assert!(without.stop().unwrap().success());

    entry.extend([("clientCert", certificate.as_str()), ("clientKey", &key)]);
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}

#[test]
fn a_proxy_opens_the_line_and_sees_nothing_that_is_for_the_server() {
    let server = WebServer::start().unwrap();
    let (login, service) = service("web", "db");
    server.put("db", &login.password).unwrap();
    let (double, asked) = proxy();
    let address = format!("http://127.0.0.1:{}", double.port);
    let url = server.url();
    let entry = [("url", url.as_str()), ("proxy", &address), ("bearer", "t0ken")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    let asked = asked.lock().unwrap();
    let start = format!("CONNECT {} HTTP/1.1\r\n", url.trim_start_matches("http://"));
    assert!(asked.starts_with(&start) && !asked.contains("t0ken"), "{asked}");
}

#[test]
fn a_proxy_that_is_to_speak_tls_hears_nothing_in_clear() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    let double = Pretender::new(move |mut stream| {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes)?;
        all.lock().unwrap().extend_from_slice(&bytes[..count]);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
    });
    let (_, service) = service("web", "db");
    let proxy = format!("'https://ann:hunter2@127.0.0.1:{}'", double.port);
    let entry = [("url", "http://web.invalid"), ("proxy", &proxy), ("bearer", "t0ken"), ("retries", "0")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&broker, "/db\\\": tls: ");
    let heard = heard.lock().unwrap();
    // A record of TLS that begins a handshake (RFC 8446, section 5.1).
    assert_eq!(heard.first(), Some(&22), "{}", String::from_utf8_lossy(&heard));
}

#[test]
fn a_proxy_that_opens_a_line_bit_by_bit_takes_no_longer_than_its_time_and_is_asked_again() {
    let double = Pretender::new(|mut client| {
        head_of(&mut client)?;
        client.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            client.write_all(b"x")?;
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    let (_, service) = service("web", "db");
    let proxy = format!("http://127.0.0.1:{}", double.port);
    let entry = [("url", "http://web.invalid"), ("proxy", &proxy), ("timeout", "1s"), ("retries", "0")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&broker, "/db\\\": i/o timeout");
    wait::until("it is asked again", || double.connections() > 1);
}

#[test]
fn the_environments_proxy_is_asked_but_for_servers_of_this_machine() {
    let (double, asked) = proxy();
    let address = format!("http://127.0.0.1:{}", double.port);
    let (_, service) = service("http", "http://web.invalid/db");
    let broker = launch_file(
        &File::with([service]).unwrap(),
        &[("HTTP_PROXY", &address), ("NO_PROXY", "other.invalid")],
    );
    wait_for_reason(&broker, &format!("the proxy 127.0.0.1:{} does not open a line to it", double.port));
    assert!(asked.lock().unwrap().starts_with("CONNECT web.invalid:80 HTTP/1.1\r\n"));
    assert!(broker.stop().unwrap().success());

    let server = WebServer::start().unwrap();
    let (login, service) = super::service("http", &format!("{}/db", server.url()));
    server.put("db", &login.password).unwrap();
    let before = double.connections();
    let broker = launch_file(&File::with([service.clone()]).unwrap(), &[("HTTP_PROXY", &address)]);
    broker.wait_until_ready().unwrap();
    assert_eq!(double.connections(), before);
}

#[test]
fn a_proxy_that_is_not_there_is_named_without_what_it_is_told() {
    let (_, service) = service("web", "db");
    let port = ports::free();
    let proxy = format!("http://ann:hunter2@127.0.0.1:{port}");
    let entry = [("url", "http://web.invalid"), ("proxy", &*proxy), ("retries", "0")];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&broker, &format!("/db\\\": the proxy 127.0.0.1:{port}: connection refused"));
    assert!(!broker.said().contains("hunter2"), "{}", broker.said());
}

#[test]
fn a_store_that_does_not_answer_is_left_alone() {
    let (_, service) = service("web", "db");
    let url = format!("http://127.0.0.1:{}", ports::free());
    let broker = launch_file(&file_with(&service, &[("url", &url), ("retries", "0")]), &[]);
    wait_for_reason(&broker, "/db\\\": connection refused");
    wait::until("its breaker is open", || {
        broker.metric("secretless_store_breaker_open", &["web"]).unwrap() == 1.0
    });
}

#[test]
fn a_host_that_is_away_is_no_outage_of_another_where_none_is_named() {
    let server = WebServer::start().unwrap();
    let cluster = postgres(Major::Distribution);
    let (login, there) = service("http", &format!("{}/db", server.url()));
    server.put("db", &login.password).unwrap();
    let away = Value::From("http", format!("http://127.0.0.1:{}/db", ports::free()));
    let away =
        tests::broker::pg("away", cluster, &login).credential("password", away).line("required: false");
    let there = there.line("refresh: 100ms");
    let broker = launch_file(&File::with([there.clone(), away]).unwrap(), &[]);
    broker.wait_until_ready().unwrap();
    wait::until("one of them is left alone", || {
        broker.metric("secretless_store_breaker_open", &["http"]).unwrap() == 1.0
    });
    assert!(broker.said().contains("store 'http http://127.0.0.1:"), "{}", broker.said());
    let before = server.asked("db");
    wait::until("the other is asked", || server.asked("db") > before + 3);
    session(&there.listen, &login);
}
