//! Credentials that come from HTTP servers: a real one, and doubles that do what no real one would.

mod answers;
mod hostile;
mod lines;
mod secrecy;

use tests::broker::{File, Service, Value, pg};
use tests::postgres::{Login, Major, shared as postgres};

/// A login of PostgreSQL, and a service whose password is `id` of the store `from`.
fn service(from: &'static str, id: &str) -> (Login, Service) {
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).credential("password", Value::From(from, id.to_owned()));
    (login, service)
}

/// A file with `service` and a store `web`, which the entry describes.
fn file_with(service: &Service, entry: &[(&str, &str)]) -> File {
    let mut file = File::with([service.clone()]).unwrap();
    file.providers = vec!["web:".to_owned(), "  type: http".to_owned()];
    file.providers.extend(entry.iter().map(|(name, value)| format!("  {name}: {value}")));
    file
}
