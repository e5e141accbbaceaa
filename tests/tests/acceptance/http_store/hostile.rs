//! Servers that answer what they should not.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use tests::broker::Broker;
use tests::pretend::Pretender;
use tests::wait;

use super::{file_with, service};
use crate::doubles::{answer, assert_silent, head_of, launch_file, served, wait_for_reason};

const TOKEN: &str = "t0kent0kent0ken";
const HEADER: &str = "h3aderh3ader";

/// A broker that asks `server` for `id`, with a token and a header.
fn asking(server: &Pretender, id: &str) -> Broker {
    let (_, service) = service("web", id);
    let url = format!("http://127.0.0.1:{}", server.port);
    let headers = format!("['X-Key: {HEADER}']");
    let entry = [
        ("url", url.as_str()),
        ("bearer", TOKEN),
        ("headers", &headers),
        ("timeout", "2s"),
        ("retries", "0"),
    ];
    launch_file(&file_with(&service, &entry), &[])
}

/// What a double sends for each request, as it is.
fn saying(bytes: Vec<u8>) -> Pretender {
    served(move |_, _| bytes.clone())
}

#[test]
fn whatever_a_server_answers_no_word_of_it_and_nothing_that_was_sent_is_told() {
    let echo = format!("hunter2hunter2 {TOKEN} {HEADER}");
    let with = |status: &str| answer(status, echo.as_bytes());
    let page = format!("<html>{echo}</html>");
    let bomb = format!("HTTP/1.1 200 OK\r\nX-Bomb: {}{echo}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X-Many: {echo}\r\n").repeat(10_000));
    let coded = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\n{}\r\n0\r\n\r\n",
        &echo[..5]
    );
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("not_found", "404 Not Found", with("404 hunter2hunter2")),
        ("not_found", "410 Gone", with("410 hunter2hunter2")),
        ("denied", "401 Unauthorized", with("401 hunter2hunter2")),
        ("denied", "403 Forbidden", with("403 hunter2hunter2")),
        ("unavailable", "429 Too Many Requests", with("429 hunter2hunter2")),
        ("unavailable", "502 Bad Gateway", with("502 hunter2hunter2")),
        ("unavailable", "503 Service Unavailable", with("503 hunter2hunter2")),
        ("unavailable", "504 Gateway Timeout", with("504 hunter2hunter2")),
        ("failing", "400 Bad Request", with("400 hunter2hunter2")),
        ("failing", "500 Internal Server Error", with("500 hunter2hunter2")),
        ("empty", "204 No Content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("failing", "the answer is no JSON", answer("200 OK", page.as_bytes())),
        ("failing", "the answer is no JSON", answer("200 OK", b"{\"password\": \"hunter2hunter2\"")),
        ("unusable", "there is no 'password' in the answer", answer("200 OK", b"[\"hunter2hunter2\"]")),
        ("unusable", "'password' is an object", answer("200 OK", b"{\"password\": {\"hunter2hunter2\": 1}}")),
        ("empty", "'password' is empty", answer("200 OK", b"{\"password\": \"\"}")),
        ("unavailable", "the answer is not HTTP", b"SSH-2.0-hunter2hunter2\r\n\r\n".to_vec()),
        ("unavailable", "the answer is larger than 1048576 bytes", answer("200 OK", &vec![b' '; 2_000_000])),
        ("unavailable", "the answer's head is too long", bomb.into_bytes()),
        ("failing", "the answer is compressed", with("200 OK\r\nContent-Encoding: gzip")),
        ("failing", "the answer is compressed", with("200 OK\r\nContent-Encoding: identity, br")),
        ("failing", "the answer is compressed", coded.as_bytes().to_vec()),
        ("unavailable", "the answer", many.into_bytes()),
    ];
    for (label, words, bytes) in cases {
        let broker = asking(&saying(bytes), "db?hunter2hunter2#password");
        wait_for_reason(&broker, words);
        wait_for_reason(&broker, "/db?...\\\": ");
        assert!(
            broker.metric("secretless_credential_fetch_total", &[label]).unwrap() >= 1.0,
            "{label} {words}"
        );
        assert_silent(&broker, &["hunter2", TOKEN, HEADER]);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn an_answer_that_is_cut_short_is_none() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhunter2hunter2",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhunter2hunter2",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let server = Pretender::new(move |mut stream| {
            head_of(&mut stream)?;
            stream.write_all(cut.as_bytes())
        });
        let broker = asking(&server, "db");
        wait_for_reason(&broker, "/db\\\": ");
        assert!(broker.metric("secretless_credential_fetch_total", &["unavailable"]).unwrap() >= 1.0);
        assert_silent(&broker, &["hunter2", TOKEN, HEADER]);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn an_answer_without_a_length_that_breaks_off_is_none() {
    let server = Pretender::new(|mut stream| {
        head_of(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhunter2hunter2")?;
        // It is reset where it should end.
        Ok(sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?)
    });
    let broker = asking(&server, "db");
    wait_for_reason(&broker, "/db\\\": connection reset by peer");
    assert_silent(&broker, &["hunter2"]);
    assert!(broker.stop().unwrap().success());
}

#[test]
fn one_path_that_asks_for_rest_is_no_reason_to_ask_for_no_other() {
    let good = Arc::new(Mutex::new(0));
    let count = Arc::clone(&good);
    let server = served(move |head, _| {
        if head.starts_with("GET /good ") {
            *count.lock().unwrap() += 1;
            return answer("200 OK", b"hunter2");
        }
        answer("404 Not Found\r\nRetry-After: 3600", b"")
    });
    let (_, poison) = service("web", "poison");
    let (_, mut other) = service("web", "good");
    other.name = "other".to_owned();
    let url = format!("http://127.0.0.1:{}", server.port);
    let mut file = file_with(&poison.line("refresh: 100ms"), &[("url", &url), ("retries", "0")]);
    file.services.push(other.line("refresh: 100ms"));
    let broker = launch_file(&file, &[]);
    wait_for_reason(&broker, "404 Not Found");
    let before = *good.lock().unwrap();
    wait::until("the other is asked again and again", || *good.lock().unwrap() > before + 3);
}

#[test]
fn servers_that_hang_hold_up_no_other() {
    let silent: Vec<_> = (0..20).map(|_| Pretender::silent()).collect();
    let well = saying(answer("200 OK", b"hunter2"));
    let url = format!("http://127.0.0.1:{}", well.port);
    let (_, first) = service("web", "db");
    let mut file = file_with(&first, &[("url", &url)]);
    for (number, server) in silent.iter().enumerate() {
        file.providers.push(format!(
            "silent{number}: {{type: http, url: 'http://127.0.0.1:{}', timeout: 5m, retries: 0}}",
            server.port
        ));
        let from: &'static str = format!("silent{number}").leak();
        // The names of services are in order, so those that hang come first.
        let (_, mut other) = service(from, "db");
        other.name = format!("a{number}");
        file.services.push(other);
    }
    let broker = launch_file(&file, &[]);
    wait::until("all are asked", || silent.iter().all(|server| server.connections() > 0));
    wait::until("the other one has answered", || {
        broker.metric("secretless_credential_fetch_total", &["\"ok\""]).is_ok_and(|count| count >= 1.0)
    });
}

#[test]
fn a_server_that_says_nothing_or_a_little_at_a_time_takes_no_longer_than_its_time() {
    let dripping = Pretender::new(|mut stream| {
        head_of(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        loop {
            stream.write_all(b"x")?;
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    for server in [Pretender::silent(), dripping] {
        let broker = asking(&server, "db");
        wait_for_reason(&broker, "/db\\\": i/o timeout");
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn a_redirect_is_not_followed_to_anywhere() {
    let elsewhere = saying(answer("200 OK", b"hunter2"));
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        for location in [
            format!("http://127.0.0.1:{}/db", elsewhere.port),
            format!("https://127.0.0.1:{}/db", elsewhere.port),
            "/other".to_owned(),
        ] {
            let broker = asking(&saying(answer(&format!("{status}\r\nLocation: {location}"), b"")), "db");
            wait_for_reason(&broker, "/db\\\": it names another address, which is not followed");
            assert_silent(&broker, &[&location]);
            assert!(broker.stop().unwrap().success());
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let server = served(move |_, _| {
        *count.lock().unwrap() += 1;
        answer("429 Too Many Requests\r\nRetry-After: 30", b"hunter2")
    });
    let broker = asking(&server, "db");
    wait_for_reason(&broker, "429 Too Many Requests");
    wait_for_reason(&broker, "the store wants to be left alone for");
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[test]
fn a_header_of_another_store_that_is_none_is_told_without_its_words() {
    let server = saying(answer("200 OK", b"x"));
    let (_, service) = service("web", "db");
    let url = format!("http://127.0.0.1:{}", server.port);
    for (header, words) in [
        ("hunter2", "`headers` is no header like `Name: value`"),
        ("X-Key: a\r\nX-Evil: hunter2", "`headers` is no header like `Name: value`"),
        ("Host: hunter2", "`headers` has a header that is not for the file to say"),
    ] {
        let headers = format!("[{}]", crate::doubles::from_file("header", header));
        let broker = launch_file(&file_with(&service, &[("url", &url), ("headers", &headers)]), &[]);
        wait_for_reason(&broker, words);
        assert_silent(&broker, &["hunter2"]);
        assert!(broker.stop().unwrap().success());
    }
    assert_eq!(server.connections(), 0);
}
