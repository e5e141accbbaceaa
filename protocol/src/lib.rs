//! Handshake machines for every protocol the broker speaks: bytes in, bytes out.
//!
//! This crate has no socket, clock, randomness, thread, file or global, and `no_std` keeps it so. Whatever a
//! machine needs from the outside is a value that it returns ([`Want`]) and that its driver answers
//! ([`Event`]).
//!
//! # Driving a handshake
//!
//! 1. [`Protocol::handshake`] gives a fresh [`Handshake`] for one accepted connection.
//! 2. Call [`Handshake::start`] with fresh random bytes for each half.
//! 3. Every call returns a [`Next`]. Before obeying it, send what [`Output`] holds for either side, and drop
//!    [`Output::used`] bytes from the front of the input that was shown.
//! 4. [`Next::Want`] names a side and what it waits for. Answer with [`Handshake::handle`], that side, and the
//!    matching [`Event`]. For [`Want::Bytes`] show *all* unused input of that side; a machine that could not
//!    use what it was shown says [`Want::Bytes`] again and must be shown more than before. From
//!    [`Event::Encrypted`] on, a side's input and output are what is inside TLS.
//!    [`Want::Permission`] may also be answered with what [`Next::Refused`] is.
//! 5. [`Next::Refused`]: the target refused the credential. Either call [`Handshake::retry`] with fresh entropy
//!    once a newer credential is there, on a new connection to the target, or [`Handshake::give_up`].
//! 6. [`Next::Relay`]: the handshake is over. Unused input of each side is the residue: deliver it to the other
//!    side first, then move bytes without looking at them. If it comes with a [`Watch`], show that what the client
//!    sends, as it says; when it holds something back, another handshake begins with that.
//! 7. On an error, or when something fails outside ([`Error::Target`], [`Error::Broker`]), call
//!    [`Handshake::farewell`] and send the output before closing: it holds the client's error, in its own
//!    protocol, if the client is at a point where it can read one.
//!
//! A machine never blocks, never panics on input, and never allocates for a length that a peer merely stated.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)] // bytes come from hostile peers: every access is checked

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod auth;
mod credential;
mod error;
mod fields;
mod handshake;
pub mod limits;
mod line;
mod pair;
mod protocol;
pub mod protocols;
mod secret;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
mod watch;
mod wire;
mod words;
pub mod work;

pub use credential::{Credential, Generation, Hold};
pub use error::{
    BrokerFailed, Bug, ClientMisbehaved, Denied, Error, OverLimit, ServerMisbehaved, TargetFailed,
    Unsupported,
};
pub use handshake::{
    Alone, ChannelBinding, CleartextPassword, ClientTls, Destination, Dial, Entropy, Event, Failure,
    Handshake, Next, Output, RequestId, Route, Side, Transport, Want,
};
pub use pair::{ClientHalf, ClientStep, Pair, TargetHalf, TargetStep};
pub use protocol::{Doubt, Excluded, KnownField, Protocol};
pub use secret::{Secret, SecretMemory, WipedBytes};
pub use watch::{Look, Watch};
