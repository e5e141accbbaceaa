//! PostgreSQL, protocol 3.0 and 3.2 (PostgreSQL documentation, chapter "Frontend/Backend Protocol").
//!
//! The client half accepts any user and no password; the target half logs in with the service's credential. What
//! the target says after `AuthenticationOk` (parameters, cancel key, `ReadyForQuery`) is not looked at: it is the
//! first thing that is relayed.

mod address;
mod check;
mod client;
mod errors;
mod fields;
#[cfg(any(test, feature = "testing"))]
mod honest;
mod login;
mod messages;
mod startup;
mod target;
#[cfg(any(test, feature = "testing"))]
mod transcripts;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{
    ClientTls, Credential, Destination, Doubt, Error, Handshake, KnownField, Pair, Protocol, Route, Transport,
};
use client::PostgresClient;
use login::Authenticated;
use startup::Startup;
use target::PostgresTarget;

/// See the module's documentation.
pub(super) struct Postgres;

impl Protocol for Postgres {
    fn name(&self) -> &'static str {
        "pg"
    }

    fn default_port(&self) -> u16 {
        address::DEFAULT_PORT
    }

    fn destination(&self, credential: &Credential) -> Result<Destination, Error> {
        address::destination(credential)
    }

    fn fields(&self) -> &'static [KnownField] {
        &fields::KNOWN
    }

    fn sends_unknown_fields(&self) -> bool {
        true
    }

    fn check(&self, credential: &Credential) -> Vec<Doubt> {
        check::findings(credential)
    }

    fn handshake(&self, route: Arc<Route>, client: Transport) -> Box<dyn Handshake> {
        Box::new(Pair::<PostgresClient, PostgresTarget>::new(route, client))
    }

    fn offers_client_tls(&self, mode: ClientTls, client: Transport) -> bool {
        offers_client_tls(mode, client)
    }

    fn alpn(&self) -> Option<&'static [u8]> {
        // Documentation, "SSL Session Encryption": "The ALPN protocol name is postgresql". libpq insists on it where it
        // begins with TLS.
        Some(b"postgresql")
    }

    #[cfg(any(test, feature = "testing"))]
    fn transcripts(&self) -> Vec<crate::testing::Transcript> {
        transcripts::all()
    }

    #[cfg(any(test, feature = "testing"))]
    fn honest_target(&self, password: &[u8]) -> Box<dyn crate::testing::fuzz::HonestTarget> {
        Box::new(honest::HonestPostgres::new(password))
    }

    #[cfg(any(test, feature = "testing"))]
    fn lets_client_in(&self, to_client: &[u8]) -> bool {
        transcripts::lets_client_in(to_client)
    }
}

/// libpq asks for TLS whenever it may, and would get it where nobody wants it: so nobody gets it who does not have to.
/// On a Unix socket it never asks.
fn offers_client_tls(mode: ClientTls, client: Transport) -> bool {
    mode == ClientTls::Required && client == Transport::Tcp
}

/// What the client half asks the target half for.
#[derive(Clone)]
enum Request {
    /// A session.
    Session(Arc<Startup>),
    /// That a query of some session be cancelled: the client's packet, unread.
    Cancel(Arc<[u8]>),
}

/// What the target half answers.
enum Reply {
    /// The session is there.
    Ready(Ready),
    /// The target will not have the credential, in its own `ErrorResponse`, if it sent one.
    CredentialRefused(Option<Arc<[u8]>>),
    /// The target will not have the session, in its own `ErrorResponse`.
    SessionRefused(Box<[u8]>),
    /// The target has the cancel request. There is no answer to it.
    CancelSent,
}

/// A session that waits for its client.
struct Ready {
    /// What `AuthenticationOk` to the client is made from.
    authenticated: Authenticated,
    /// The minor version that the target speaks with us.
    minor: u16,
    /// The protocol options that the target did not take.
    options_refused: Vec<Box<[u8]>>,
}
