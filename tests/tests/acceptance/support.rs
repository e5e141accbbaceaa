//! What many tests begin with.

use tests::broker::{Broker, File, Listen, Service};
use tests::postgres::Login;
use tests::psql::Psql;
use tests::wire::{Message, VERSION_3_0, Wire, startup};

/// A ready broker with these services.
#[track_caller]
pub(crate) fn broker(services: impl IntoIterator<Item = Service>) -> Broker {
    started(Broker::start(&File::with(services).unwrap()))
}

/// The broker, or the end of the test with its own words.
#[track_caller]
pub(crate) fn started(broker: tests::failure::Result<Broker>) -> Broker {
    broker.unwrap_or_else(|failure| panic!("{failure}"))
}

/// psql to `listen`, asking for the login's database, as somebody else and without a password.
#[track_caller]
pub(crate) fn psql(listen: &Listen, login: &Login) -> Psql {
    Psql::to(listen, &login.name).unwrap()
}

/// A raw session that is ready for queries.
#[track_caller]
pub(crate) fn session(listen: &Listen, login: &Login) -> Wire {
    let mut wire = Wire::connect(listen).unwrap();
    wire.log_in(&login.name).unwrap();
    wire
}

/// Asks for a session that must be refused: gives the ErrorResponse that ends it.
#[track_caller]
pub(crate) fn refusal(listen: &Listen, database: &str) -> Message {
    let mut wire = Wire::connect(listen).unwrap();
    wire.send(&startup(VERSION_3_0, &[("user", "anybody"), ("database", database)])).unwrap();
    let mut error = wire.message().unwrap();
    if error.kind == 'R' {
        // A server checks some things only once it knows who asks, behind its AuthenticationOk.
        error = wire.message().unwrap();
    }
    assert_eq!(error.kind, 'E', "{:?} {:?}", error.kind, error.fields());
    assert_eq!(wire.rest().unwrap(), b"", "something came behind {:?}", error.fields());
    error
}

/// The one ErrorResponse that comes before the connection ends.
#[track_caller]
pub(crate) fn only_error(wire: &mut Wire) -> Message {
    let error = wire.message().unwrap();
    assert_eq!(error.kind, 'E', "{:?} {:?}", error.kind, error.fields());
    assert_eq!(wire.rest().unwrap(), b"", "something came behind {:?}", error.fields());
    error
}

/// Checks that `error` is the broker's own: FATAL, with this SQLSTATE, naming the service, the cause and the
/// request's id, and neither user nor password.
#[track_caller]
pub(crate) fn assert_is_ours(error: &Message, service: &str, sqlstate: &str, cause: &str, login: &Login) {
    let text = error.field('M');
    assert_eq!((error.field('S').as_str(), error.field('V').as_str()), ("FATAL", "FATAL"), "{text}");
    assert_eq!(error.field('C'), sqlstate, "{text}");
    assert!(text.starts_with(&format!("secretless-broker {service}: ")), "{text}");
    assert!(text.contains(cause), "{text:?} does not contain {cause:?}");
    let id = text.rsplit_once("(id=").and_then(|(_, id)| id.strip_suffix(')')).unwrap_or_default();
    assert!(id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit()), "{text}");
    for (letter, field) in error.fields() {
        assert!(!field.contains(&login.password), "field {letter} has the password: {field}");
        assert!(!field.contains(&login.name), "field {letter} has the user: {field}");
    }
}
