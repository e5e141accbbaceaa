//! Credentials that come from a real OpenBao.

mod connects;
mod dynamic;
mod kv;
mod lifetimes;
mod lines;
mod logins;
mod refusals;
mod secrecy;
mod troubles;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use tests::broker::{Broker, File, Service, Value, pg};
use tests::openbao::OpenBao;
use tests::places;
use tests::postgres::{Login, Major, shared as postgres};
use tests::pretend::Pretender;

use crate::support::started;

/// A value of the store.
fn vault(id: &str) -> Value {
    Value::From("vault", id.to_owned())
}

/// A broker with these services, and with these variables beside an empty home.
#[track_caller]
fn launch(services: impl IntoIterator<Item = Service>, variables: &[(&str, &str)]) -> Broker {
    launch_file(&File::with(services).unwrap(), variables)
}

/// The same with a whole file.
#[track_caller]
fn launch_file(file: &File, variables: &[(&str, &str)]) -> Broker {
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

/// The same in front of `store`, with a token that may read these paths; ready.
#[track_caller]
fn broker(services: impl IntoIterator<Item = Service>, store: &OpenBao, paths: &[&str]) -> Broker {
    let token = store.reader(paths).unwrap();
    let broker = launch(services, &[("VAULT_ADDR", &store.url()), ("VAULT_TOKEN", &token)]);
    broker.wait_until_ready().unwrap();
    assert!(!broker.said().contains(&token), "{}", broker.said());
    broker
}

/// Waits until `/ready?full=1` speaks of `words`.
#[track_caller]
fn wait_for_reason(broker: &Broker, words: &str) {
    let mut last = String::new();
    let said = tests::wait::within(tests::wait::GENEROUS, || {
        last = broker.get("/ready?full=1").ok()?.body;
        last.contains(words).then_some(())
    });
    assert!(said.is_some(), "nobody says {words:?}: {last}\n{}", broker.said());
}

/// A file with one service whose password is at `kv/db` of a store `team`, which the entry describes.
fn file_with(service: &Service, entry: &[(&str, &str)]) -> File {
    let mut file = File::with([service.clone()]).unwrap();
    file.providers = vec!["team:".to_owned(), "  type: vault".to_owned()];
    file.providers.extend(entry.iter().map(|(name, value)| format!("  {name}: {value}")));
    file
}

/// A login of PostgreSQL, and a service that takes its password from `kv/db` of the store `team`.
fn service_of_team() -> (Login, Service) {
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let password = Value::From("team", "kv/db#password".to_owned());
    let service = pg("db", cluster, &login).credential("password", password);
    (login, service)
}

/// A file of a fresh directory.
fn written(name: &str, content: &str) -> String {
    let path = places::fresh("vault").unwrap().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// The same as a setting that comes from it.
fn from_file(name: &str, content: &str) -> String {
    format!("{{from: file, get: {}}}", written(name, content))
}

/// A double of a server of HTTP: `answer` is given each request's head and body, and says what comes back.
fn served(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Pretender {
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
fn head_of(stream: &mut TcpStream) -> io::Result<Option<String>> {
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
fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
