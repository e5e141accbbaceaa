//! What a protocol is to those who do not know which it is.
//!
//! Owns the trait that the registry lists, and what configuration and checks may ask of it. How a handshake is driven is
//! `handshake.rs`'s.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{ClientTls, Credential, Destination, Error, Handshake, Route, Transport};

/// One protocol the broker speaks: an entry of [`crate::protocols::ALL`].
pub trait Protocol: Send + Sync {
    /// The word for it in the configuration (`connector: pg`), in metric labels and in logs.
    fn name(&self) -> &'static str;

    /// The port a target listens on when the credential names none.
    fn default_port(&self) -> u16;

    /// Where the target is, read from the credential.
    fn destination(&self, credential: &Credential) -> Result<Destination, Error>;

    /// The values of a credential that it knows. What it does with others is the protocol's own affair.
    fn fields(&self) -> &'static [KnownField];

    /// Whether values that it does not know are sent to the target as they are. Else they are nobody's.
    fn sends_unknown_fields(&self) -> bool {
        false
    }

    /// What is wrong with `credential` that can be seen without connecting.
    fn check(&self, credential: &Credential) -> Vec<Doubt>;

    /// A machine for one accepted connection, which came over `client`.
    fn handshake(&self, route: Arc<Route>, client: Transport) -> Box<dyn Handshake>;

    /// Whether a machine may want [`crate::Want::AcceptTls`] of a client that comes over `client`, under this rule: then the
    /// service needs a certificate.
    fn offers_client_tls(&self, mode: ClientTls, client: Transport) -> bool;

    /// The clients that will not be served over `client` under this rule, though others are: for whoever checks a
    /// configuration.
    fn excluded(&self, mode: ClientTls, client: Transport) -> Option<Excluded> {
        let _ = (mode, client);
        None
    }

    /// How long a handshake may take unless somebody says otherwise: less than what a server gives its clients, whose patience
    /// a server that is connected to first counts from then on.
    fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// The ALPN protocol that a client may ask for in TLS (RFC 7301). One that asks for none is served too.
    fn alpn(&self) -> Option<&'static [u8]> {
        None
    }

    /// Handshakes written down, for the tests and fuzz targets that walk all protocols.
    #[cfg(any(test, feature = "testing"))]
    fn transcripts(&self) -> Vec<crate::testing::Transcript> {
        Vec::new()
    }

    /// A target that a fuzzer's program speaks through. It knows the password.
    #[cfg(any(test, feature = "testing"))]
    fn honest_target(&self, password: &[u8]) -> Box<dyn crate::testing::fuzz::HonestTarget> {
        let _ = password;
        Box::new(crate::testing::fuzz::Silent)
    }

    /// Whether `to_client`, all that a client has been sent, tells it that its session has begun.
    #[cfg(any(test, feature = "testing"))]
    fn lets_client_in(&self, to_client: &[u8]) -> bool {
        let _ = to_client;
        false
    }
}

/// A value of a credential that a protocol knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownField {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Whether no session can begin without it.
    pub is_required: bool,
    /// Whether anybody may read it: certificates.
    pub is_public: bool,
}

impl KnownField {
    /// A value that may be missing and is nobody's business.
    pub const fn new(name: &'static str) -> Self {
        Self { name, is_required: false, is_public: false }
    }
}

/// Something about a credential that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// A sentence that names the field and the remedy, never the value.
    pub words: String,
    /// Whether no session can begin as it is.
    pub is_fatal: bool,
}

impl Doubt {
    /// With this no session can begin.
    pub(crate) fn fatal(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_fatal: true }
    }

    /// It works, and not as somebody may think.
    pub(crate) fn harmless(words: impl Into<String>) -> Self {
        Self { words: words.into(), is_fatal: false }
    }
}

/// Clients that insist on what a service does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Which, and what they run into: a clause.
    pub who: &'static str,
    /// What helps them.
    pub help: &'static str,
}
