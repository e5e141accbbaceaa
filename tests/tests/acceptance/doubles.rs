//! Doubles of HTTP servers, and what tests of stores that are asked by HTTP begin with.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;

use tests::broker::{Broker, File};
use tests::places;
use tests::pretend::Pretender;
use tests::wait;

use crate::memory::{edges, look};
use crate::support::started;

/// A broker with this file, and with these variables beside an empty home.
#[track_caller]
pub(crate) fn launch_file(file: &File, variables: &[(&str, &str)]) -> Broker {
    let config = file.write().unwrap();
    let mut command = tests::broker::command(&config).unwrap();
    // What is set where the tests run means nothing here.
    let foreign = |name: &str| {
        ["BAO_", "VAULT_"].iter().any(|prefix| name.starts_with(prefix))
            || name.to_lowercase().ends_with("_proxy")
    };
    for (name, _) in std::env::vars().filter(|(name, _)| foreign(name)) {
        command.env_remove(name);
    }
    command.env("HOME", file.directory()).envs(variables.iter().copied());
    started(Broker::launch_with(&mut command, file.admin(), config))
}

/// Waits until `/ready?full=1` speaks of `words`.
#[track_caller]
pub(crate) fn wait_for_reason(broker: &Broker, words: &str) {
    let mut last = String::new();
    let said = wait::within(wait::GENEROUS, || {
        last = broker.get("/ready?full=1").ok()?.body;
        last.contains(words).then_some(())
    });
    assert!(said.is_some(), "nobody says {words:?}: {last}\n{}", broker.said());
}

/// A file of a fresh directory.
pub(crate) fn written(name: &str, content: &str) -> String {
    let path = places::fresh("store").unwrap().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// The same as a setting that comes from it.
pub(crate) fn from_file(name: &str, content: &str) -> String {
    format!("{{from: file, get: {}}}", written(name, content))
}

/// A double of a server of HTTP: `answer` is given each request's head and body, and says what comes back.
pub(crate) fn served(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Pretender {
    Pretender::new(move |mut stream| {
        while let Some(head) = head_of(&mut stream)? {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
            });
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body)?;
            stream.write_all(&answer(&head, &String::from_utf8_lossy(&body)))?;
        }
        Ok(())
    })
}

/// The next request's head; `None` at the end.
pub(crate) fn head_of(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.extend(byte);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// A head and a body of HTTP.
pub(crate) fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// None of these is in what the broker says of itself.
pub(crate) fn assert_silent(broker: &Broker, secrets: &[&str]) {
    let answers = ["/ready?full=1", "/metrics"].map(|path| broker.get(path).unwrap().body);
    for said in answers.into_iter().chain([broker.said()]) {
        for secret in secrets {
            assert!(!secret.is_empty() && !said.contains(secret), "{said}");
        }
    }
}

/// Waits until `secret` stands nowhere but in memory for secrets: a fetch may be under way.
#[track_caller]
pub(crate) fn is_gone(broker: &Broker, secret: &str) {
    let forms = edges("secret", secret.as_bytes());
    wait::until("it is nowhere else", || look(broker, &forms).is_none_or(|found| found.elsewhere.is_empty()));
}

/// A double of a proxy, which opens lines and does nothing else, and the heads that it is asked by.
pub(crate) fn proxy() -> (Pretender, Arc<Mutex<String>>) {
    let asked = Arc::new(Mutex::new(String::new()));
    let heads = Arc::clone(&asked);
    let proxy = Pretender::new(move |mut client| {
        let head = head_of(&mut client)?.unwrap_or_default();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        heads.lock().unwrap().push_str(&head);
        let server = TcpStream::connect(target)?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || io::copy(&mut from_client, &mut to_server));
        io::copy(&mut &server, &mut client).map(drop)
    });
    (proxy, asked)
}
