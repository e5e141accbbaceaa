//! The program as its users call it: flags, exit codes, what it says about a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::broker::{Broker, File, Listen, Value, binary, pg};
use tests::places;
use tests::postgres::{Cluster, Login, Major, shared};
use tests::process::{self, Finished};

use crate::support::{session, started};

/// Runs the program to its end, in an empty directory.
#[track_caller]
fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary().unwrap());
    command.args(arguments).current_dir(places::fresh("cwd").unwrap()).env("HOME", "/nonexistent");
    process::run(&mut command).unwrap()
}

fn cluster() -> (&'static Cluster, Login) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    (cluster, login)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn it_says_its_version_as_the_go_broker_did() {
    for flag in ["version", "-version", "--version"] {
        let finished = run(&[flag]);
        assert!(finished.status.success());
        assert!(finished.stdout.starts_with("secretless-broker v"), "{}", finished.stdout);
        assert_eq!(finished.stdout.lines().count(), 1);
    }
}

#[test]
fn a_flag_that_does_not_exist_is_exit_2_and_help_is_exit_0() {
    assert_eq!(run(&["-no-such-flag"]).status.code(), Some(2));
    assert_eq!(run(&["-h"]).status.code(), Some(0));
}

#[test]
fn a_file_that_is_not_there_is_exit_1() {
    let finished = run(&["-f", "/nonexistent/secretless.yml"]);
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    assert!(finished.stderr.contains("/nonexistent/secretless.yml"), "{finished}");
    assert_eq!(run(&[]).status.code(), Some(1), "nor is there one where it is looked for");
}

#[test]
fn check_finds_every_error_with_its_line_and_starts_nothing() {
    let (cluster, login) = cluster();
    let file = File::with([pg("db", cluster, &login)]).unwrap();
    let right = file.write().unwrap();
    let finished = run(&["check", "-f", path(&right)]);
    assert!(finished.status.success(), "{finished}");

    let wrong = file.directory().join("wrong.yml");
    let text = "version: \"2\"\nservices:\n  one:\n    connector: pq\n    listenOn: tcp://127.0.0.1:1\n    \
                credentials: {host: x}\n  two:\n    connector: pg\n    credentials: {host: x}\n";
    fs::write(&wrong, text).unwrap();
    let finished = run(&["check", "-f", path(&wrong)]);
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    let said = finished.to_string();
    for words in ["wrong.yml:4:", "the connectors are `pg`, `mysql`", "listenOn"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn check_online_asks_for_every_value_and_shows_none() {
    let (cluster, login) = cluster();
    let mut file = File::with([pg("good", cluster, &login)]).unwrap();
    file.providers.push("reader: {type: command, run: [cat]}".to_owned());
    let secret = file.secret("password", "never-shown").unwrap();
    let from = |path: &Path| Value::From("reader", path.display().to_string());
    file.services.push(pg("also-good", cluster, &login).credential("password", from(&secret)));
    let finished = run(&["check", "--online", "-f", path(&file.write().unwrap())]);
    assert!(finished.status.success(), "{finished}");
    assert!(finished.to_string().contains("every value is there; 2 services can be served"), "{finished}");

    file.services.push(pg("bad", cluster, &login).credential("password", from("/nowhere".as_ref())));
    file.services.push(pg("odd", cluster, &login).credential("sslmode", from(&secret)));
    let written = file.write().unwrap();
    assert!(run(&["check", "-f", path(&written)]).status.success(), "only a question tells");
    let finished = run(&["check", "-online", "-f", path(&written)]);
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    let said = finished.to_string();
    for words in [
        "error: services.bad.credentials.password: ",
        "cat /nowhere: exit status: 1",
        "warning: services.odd",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert!(!said.contains("services.good") && !said.contains("never-shown"), "{said}");
}

#[test]
fn check_online_says_once_what_is_wrong_and_at_its_place() {
    let (cluster, login) = cluster();
    let mut file = File::new().unwrap();
    let away = format!("http://127.0.0.1:{}", tests::ports::free());
    file.providers.push(format!("away: {{type: http, url: '{away}', retries: 0}}"));
    let with = |name: &str, value| pg(name, cluster, &login).credential("password", value);
    for name in ["first", "second", "third"] {
        let service = with(name, Value::From("away", "/password".to_owned()));
        file.services.push(service.credential("username", Value::From("away", "/username".to_owned())));
    }
    let username = file.secret("username", "me").unwrap().display().to_string();
    let lost = with("lost", Value::From("file", "/nonexistent/password".to_owned()));
    file.services.push(lost.credential("username", Value::From("file", username)));
    file.services.push(with("blank", Value::From("env", "BLANK".to_owned())));
    let written = file.write().unwrap();
    let mut check = Command::new(binary().unwrap());
    let finished =
        process::run(check.args(["check", "--online", "-f", path(&written)]).env("BLANK", "")).unwrap();
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    let said = finished.stderr;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    let text = fs::read_to_string(&written).unwrap();
    // The line of the service's password.
    let place = |name: &str| {
        let above = text.lines().position(|line| line.trim() == format!("{name}:")).unwrap();
        let below = text.lines().skip(above).position(|line| line.trim().starts_with("password:")).unwrap();
        format!("secretless.yml:{}:", above + below + 1)
    };
    let expected = [
        (
            "blank",
            "warning: services.blank.credentials.password: the value is empty, which counts as not set",
        ),
        (
            "first",
            "error: services.first.credentials.password: Resolving credentials from provider 'away' failed: Get",
        ),
        (
            "lost",
            "error: services.lost.credentials.password: Resolving credentials from provider 'file' failed: open",
        ),
    ];
    for (name, words) in expected {
        let line = lines.iter().find(|line| line.contains(words));
        assert!(line.is_some_and(|line| line.contains(&place(name))), "{words} at {}: {said}", place(name));
    }
    assert!(said.contains("connection refused; it is the same for second, third\n"), "{said}");
}

#[test]
fn check_online_counts_who_cannot_log_in_with_what_has_come() {
    let (cluster, login) = cluster();
    let blank = || Value::From("env", "BLANK".to_owned());
    let file = File::with([
        pg("literal", cluster, &login).literal("password", ""),
        pg("nobody", cluster, &login).credential("username", blank()),
        pg("odd", cluster, &login).credential("sslmode", Value::From("env", "ODD".to_owned())),
        pg("good", cluster, &login),
    ])
    .unwrap();
    let written = file.write().unwrap();
    let mut check = Command::new(binary().unwrap());
    let variables = [("BLANK", ""), ("ODD", "sometimes")];
    let finished =
        process::run(check.args(["check", "--online", "-f", path(&written)]).envs(variables)).unwrap();
    assert!(finished.status.success(), "{finished}");
    let said = finished.to_string();
    for words in [
        "warning: services.literal.credentials.password: the value is empty, which counts as not set",
        "warning: services.nobody.credentials.username: the value is empty, which counts as not set",
        "warning: services.odd.credentials: ",
        "all stores have answered; 4 services can be served, but connections to 2 of them will fail: see the warnings",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert!(!said.contains("services.good"), "{said}");
}

#[test]
fn a_configuration_is_found_where_the_go_broker_looked() {
    let (cluster, login) = cluster();
    let service = pg("db", cluster, &login);
    let file = File::with([service.clone()]).unwrap();
    let home = places::fresh("home").unwrap();
    let config = home.join(".secretless.yml");
    file.write_to(&config).unwrap();
    let mut command = Command::new(binary().unwrap());
    command.current_dir(places::fresh("cwd").unwrap()).env("HOME", &home);
    let broker = started(Broker::launch_with(&mut command, file.admin(), config));
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}

#[test]
fn an_address_that_is_taken_is_exit_1_and_names_the_service() {
    let (cluster, login) = cluster();
    let free = pg("free", cluster, &login);
    let taken = pg("taken", cluster, &login);
    let Listen::Tcp(port) = taken.listen else { unreachable!("services listen on TCP by themselves") };
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let broker = started(Broker::launch(&File::with([free, taken]).unwrap()));
    assert_eq!(broker.process().wait().unwrap().code(), Some(1));
    let said = broker.said();
    assert!(said.contains("taken") && said.contains("address already in use"), "{said}");
}

#[test]
fn listening_beyond_this_machine_takes_a_word() {
    let (cluster, login) = cluster();
    let service = pg("db", cluster, &login);
    let Listen::Tcp(port) = service.listen else { unreachable!("services listen on TCP by themselves") };
    let file = File::with([service.clone()]).unwrap();
    let config = file.directory().join("remote.yml");
    fs::write(&config, file.text().replace(&format!("127.0.0.1:{port}"), &format!("0.0.0.0:{port}")))
        .unwrap();
    let finished = run(&["-f", path(&config)]);
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    assert!(finished.to_string().contains("allowRemote: true"), "{finished}");

    let mut command = tests::broker::command(&config).unwrap();
    let broker = started(Broker::launch_with(command.arg("--allow-remote"), file.admin(), config));
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}
