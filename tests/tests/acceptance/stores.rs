//! Stores that must be asked, their outages, and their names.

use std::fs;

use tests::broker::{Broker, File, Value, pg};
use tests::postgres::{Major, shared};
use tests::wait;

use crate::support::{session, started};

/// The value of a gauge of the service `db`.
#[track_caller]
fn gauge(broker: &Broker, name: &str) -> f64 {
    broker.metric(name, &["db"]).unwrap()
}

#[test]
fn a_program_is_asked_again_and_its_last_word_serves_while_it_fails_for_as_long_as_it_may() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let mut file = File::new().unwrap();
    file.providers.push("reader: {type: command, run: [cat, {from: file, get: ARGUMENT, raw: true}]}".into());
    // An argument that comes from elsewhere: it says that options end here.
    let argument = file.secret("argument", "--").unwrap();
    file.providers[0] = file.providers[0].replace("ARGUMENT", &argument.display().to_string());
    let password = file.secret("password", &login.password).unwrap();
    let service = |lines: [&str; 2]| {
        lines.iter().fold(
            pg("db", cluster, &login)
                .credential("password", Value::From("reader", password.display().to_string())),
            |service, line| service.line(line),
        )
    };
    file.services.push(service(["refresh: 100ms", "stale: 1h"]));
    let listen = file.services[0].listen.clone();
    let broker = started(Broker::start(&file));
    session(&listen, &login);

    cluster.sql(&format!("ALTER USER {} PASSWORD 'another'", login.name)).unwrap();
    fs::write(&password, "another").unwrap();
    session(&listen, &login);

    fs::remove_file(&password).unwrap();
    wait::until("the last word is stale", || gauge(&broker, "secretless_credential_stale") == 1.0);
    session(&listen, &login);
    assert!(broker.said().contains("exit status: 1"), "{}", broker.said());

    fs::write(&password, "another").unwrap();
    wait::until("it is fresh again", || gauge(&broker, "secretless_credential_stale") == 0.0);
    session(&listen, &login);

    // Where nothing may be stale, a failure is the end.
    file.services[0] = service(["refresh: 100ms", "stale: 0"]);
    file.services[0].listen = listen.clone();
    broker.reload(&file).unwrap();
    fs::remove_file(&password).unwrap();
    broker
        .process()
        .wait_for_words("that its time is over", |said| said.contains("the credential's time is over"))
        .unwrap();
    // Whoever comes waits for it, and is let in when it is there again.
    let waiting = {
        let (listen, login) = (listen.clone(), login.clone());
        std::thread::spawn(move || {
            session(&listen, &login);
        })
    };
    fs::write(&password, "another").unwrap();
    waiting.join().unwrap();
    assert!(!broker.said().contains("another"), "{}", broker.said());
}

/// As the tokens of clouds are made: for a host, a port and a user, and for a while.
#[test]
fn a_program_is_told_whom_its_token_is_for_and_the_token_ends() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let token = format!("token-of-{}-for-127.0.0.1:{}", login.name, cluster.port);
    cluster.sql(&format!("ALTER USER {} PASSWORD '{token}'", login.name)).unwrap();
    let mut file = File::new().unwrap();
    file.providers.push(
        "tokens: {type: command, run: [printf, 'token-of-%s-for-{host}:{port}'], lifetime: 15m}".to_owned(),
    );
    file.providers.push("told: {type: command, run: [cat]}".to_owned());
    let name = file.secret("name", &login.name).unwrap();
    // One of the values that it is told comes from a store itself.
    file.providers[0] = file.providers[0].replace("'token-of-%s", "'token-of-{username}%.0s");
    file.services.push(
        pg("db", cluster, &login)
            .credential("username", Value::From("told", name.display().to_string()))
            .credential("password", Value::From("tokens", "eu-central-1".to_owned()))
            .line("refresh: off"),
    );
    let listen = file.services[0].listen.clone();
    let broker = started(Broker::start(&file));
    session(&listen, &login);
    assert!(!broker.said().contains(&token), "{}", broker.said());
}
