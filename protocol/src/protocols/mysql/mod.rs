//! MySQL and MariaDB, protocol 4.1 (MySQL documentation, "Client/Server Protocol"; MariaDB documentation, "Client/Server
//! Protocol").
//!
//! The server speaks first, so the target is dialled before the client is greeted, and is greeted with what the target said
//! of itself. The client half accepts any user and any proof; the target half logs in with the service's credential. What
//! both agree on is the same on both legs, so that all that comes behind the login can be relayed unread, but for the heads
//! of the client's commands ([`watch`]).

mod capabilities;
mod change_user;
mod client;
mod dialogue;
mod errors;
mod exchange;
mod fields;
mod greeting;
#[cfg(any(test, feature = "testing"))]
mod honest;
mod plugin;
mod response;
mod result;
mod target;
#[cfg(any(test, feature = "testing"))]
mod transcripts;
mod watch;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::line::Line;
use crate::{
    ClientTls, Credential, Destination, Doubt, Error, Excluded, Handshake, KnownField, Pair, Protocol, Route,
    Transport,
};
use capabilities::Capabilities;
use client::MysqlClient;
use fields::Place;
use greeting::Greeting;
use response::Login;
use target::MysqlTarget;

/// See the module's documentation.
pub(super) struct Mysql;

impl Protocol for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn default_port(&self) -> u16 {
        fields::DEFAULT_PORT
    }

    fn destination(&self, credential: &Credential) -> Result<Destination, Error> {
        fields::destination(credential)
    }

    fn fields(&self) -> &'static [KnownField] {
        &fields::KNOWN
    }

    fn check(&self, credential: &Credential) -> Vec<Doubt> {
        fields::findings(credential)
    }

    fn handshake(&self, route: Arc<Route>, client: Transport) -> Box<dyn Handshake> {
        Box::new(Pair::<MysqlClient, MysqlTarget>::new(route, client))
    }

    fn handshake_timeout(&self) -> Duration {
        // A server's own `connect_timeout` is 10 seconds.
        Duration::from_secs(9)
    }

    fn offers_client_tls(&self, mode: ClientTls, client: Transport) -> bool {
        offers_client_tls(mode, client)
    }

    fn excluded(&self, mode: ClientTls, client: Transport) -> Option<Excluded> {
        match client {
            _ if offers_client_tls(mode, client) => None,
            Transport::Tcp => Some(Excluded {
                who: "MariaDB's tools of 11.4 and newer refuse this service if they are given a password (error 2026)",
                help: "give them none, or say `clientTls: required`, or listen on a Unix socket",
            }),
            Transport::Unix => Some(Excluded {
                who: "MariaDB's tools of 11.4 and newer refuse this service (error 2026)",
                help: "say `clientTls: auto`",
            }),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    fn transcripts(&self) -> Vec<crate::testing::Transcript> {
        transcripts::all()
    }

    #[cfg(any(test, feature = "testing"))]
    fn honest_target(&self, _password: &[u8]) -> Box<dyn crate::testing::fuzz::HonestTarget> {
        Box::new(honest::HonestMysql::default())
    }

    #[cfg(any(test, feature = "testing"))]
    fn lets_client_in(&self, to_client: &[u8]) -> bool {
        transcripts::lets_client_in(to_client)
    }
}

/// Whether a client may speak inside TLS. Under `auto` it may on a Unix socket: MariaDB's tools of 11.4 and newer insist on
/// it there, and trust whoever listens. On TCP they would insist on a proof that we cannot give.
fn offers_client_tls(mode: ClientTls, client: Transport) -> bool {
    match (mode, client) {
        (ClientTls::Off, _) | (ClientTls::Auto, Transport::Tcp) => false,
        (ClientTls::Required, _) | (ClientTls::Auto, Transport::Unix) => true,
    }
}

/// What the client half asks the target half for.
#[derive(Clone)]
enum Request {
    /// That it connect, and hear what the target says of itself.
    Greet,
    /// A session.
    Login(Arc<Login>),
}

/// What the target half answers.
enum Reply {
    /// What the target says of itself.
    Greeting(Arc<Greeting>),
    /// The target says no before it says what it is: the payload of an ERR packet without an SQLSTATE.
    Early(Arc<[u8]>),
    /// The session is there.
    Accepted(Accepted),
    /// The target will not have the credential: the payload of its ERR packet, if it sent one.
    CredentialRefused(Option<Arc<[u8]>>),
    /// The target will not have the session: the payload of its ERR packet.
    SessionRefused(Arc<[u8]>),
}

/// A session that waits for its client.
struct Accepted {
    /// The flags that count between the client and the target.
    agreed: Capabilities,
    /// The flags that the target was told.
    told: Capabilities,
    line: Line,
    place: Place,
    /// The payload of the target's OK packet.
    ok: Vec<u8>,
}
