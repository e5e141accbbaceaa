//! Credentials that come from a real OpenBao.

mod dynamic;
mod kv;
mod lines;
mod secrecy;
mod troubles;

use tests::broker::{Broker, File, Service, Value};
use tests::openbao::OpenBao;

use crate::support::started;

/// A value of the store.
fn vault(id: &str) -> Value {
    Value::From("vault", id.to_owned())
}

/// A broker with these services, and with these variables beside an empty home.
#[track_caller]
fn launch(services: impl IntoIterator<Item = Service>, variables: &[(&str, &str)]) -> Broker {
    let file = File::with(services).unwrap();
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
