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

use tests::broker::{Broker, File, Service, Value, pg};
use tests::openbao::OpenBao;
use tests::postgres::{Login, Major, shared as postgres};

use crate::doubles::{
    answer, assert_silent, from_file, head_of, launch_file, served, wait_for_reason, written,
};

/// A value of the store.
fn vault(id: &str) -> Value {
    Value::From("vault", id.to_owned())
}

/// A broker with these services, and with these variables beside an empty home.
#[track_caller]
fn launch(services: impl IntoIterator<Item = Service>, variables: &[(&str, &str)]) -> Broker {
    launch_file(&File::with(services).unwrap(), variables)
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
