//! The interface between a handshake machine and whoever drives it: [`Want`] and [`Event`] are all of it.
//!
//! Owns the trait [`Handshake`] and the values that cross it. Knows no protocol.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use crate::tls::{TlsPeer, TlsPolicy};
use crate::work::{Product, Work};
use crate::{Credential, Denied, Error, Watch};

/// What a machine knows of the service that it serves.
#[derive(Clone, Debug)]
pub struct Route {
    /// The service's name, for errors that reach the client.
    pub service: String,
    /// Where a password may be sent in clear, if somebody said so.
    pub cleartext_password: Option<CleartextPassword>,
    /// What the target must prove.
    pub channel_binding: ChannelBinding,
    /// Whether a server's RSA key is trusted because it came over the same line.
    pub allow_public_key_retrieval: bool,
    /// Whether client and target may agree on compression.
    pub compression: bool,
    /// Whether clients speak inside TLS.
    pub client_tls: ClientTls,
}

impl Route {
    /// A service with the default of everything else.
    pub fn new(service: String) -> Self {
        Self {
            service,
            cleartext_password: None,
            channel_binding: ChannelBinding::default(),
            allow_public_key_retrieval: false,
            compression: true,
            client_tls: ClientTls::default(),
        }
    }

    /// Where a password may be sent to a target that asks for it in clear.
    pub(crate) fn cleartext_password(&self) -> CleartextPassword {
        self.cleartext_password.unwrap_or_default()
    }

    /// Whether a login without channel binding will do.
    pub(crate) fn takes_unbound(&self) -> Result<(), Denied> {
        match self.channel_binding {
            ChannelBinding::Prefer => Ok(()),
            ChannelBinding::Require => Err(Denied::ChannelBinding),
        }
    }
}

/// Whether the target must prove that it knows the password and is the one at the other end of the TLS session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// It should, if it can.
    #[default]
    Prefer,
    /// Else it is not talked to.
    Require,
}

/// Whether a client speaks inside TLS. On a Unix socket none has to: the kernel says who connects, and nobody listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientTls {
    /// Where the protocol has a use for it: it decides what that means.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Else it is not served.
    Required,
}

/// Where a password may be sent to the target in clear. A Unix socket is always good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleartextPassword {
    /// Inside TLS whose certificate was verified.
    #[default]
    Verified,
    /// Inside any TLS.
    Tls,
    /// Anywhere.
    Always,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A host name or address, to be resolved, and a port.
    Tcp {
        /// A name, or an IPv4 or IPv6 address without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(String),
}

/// One handshake: two halves driven as one machine. See the crate's documentation for the steps.
pub trait Handshake: Send {
    /// Begins. `entropy` is the only randomness the first try will see.
    fn start(&mut self, entropy: Entropy, out: &mut Output) -> Result<Next, Error>;

    /// Answers the want of `side`.
    fn handle(&mut self, side: Side, event: Event<'_>, out: &mut Output) -> Result<Next, Error>;

    /// After [`Next::Refused`]: repeats the target's half alone, from the beginning, on a new connection.
    fn retry(&mut self, entropy: [u8; 32], out: &mut Output) -> Result<Next, Error>;

    /// After [`Next::Refused`]: whether the target blamed the credential itself. If not, it may have meant the
    /// session: a client can provoke that, so it says nothing against a credential that has worked before.
    fn refusal_is_certain(&self) -> bool;

    /// After [`Next::Refused`]: what the target said, in its own protocol, if it said anything.
    fn refusal(&self) -> Option<Arc<[u8]>>;

    /// Gives up on the credential: after [`Next::Refused`] the target's own words go to the client, after
    /// [`Want::Permission`] those that it said of the same credential to somebody else ([`Handshake::refusal`]). The
    /// error says the same to the log. As after any other error, [`Handshake::farewell`] comes next: it finds words
    /// where the target had none.
    fn give_up(&mut self, said_before: Option<Arc<[u8]>>, out: &mut Output) -> Error;

    /// What somebody should find in the log who later wonders about this session.
    fn remark(&self) -> Option<&'static str> {
        None
    }

    /// Whether the target has been left waiting in the middle of its handshake, if this is the end.
    fn leaves_target_waiting(&self) -> bool {
        false
    }

    /// The client is gone, or is not waited for any longer: goes on with the target alone, so that its handshake comes to
    /// a proper end. [`Next::Relay`] says that it has let us in and been told goodbye. Should the client go on after all,
    /// the target's half begins anew on a new connection, with `entropy`.
    fn go_on_alone(&mut self, entropy: [u8; 32], out: &mut Output) -> Result<Alone<Next>, Error> {
        let _ = (entropy, out);
        Ok(Alone::No)
    }

    /// Takes a newer credential in place of one that has not been proven yet, on the connection that is there. `false` if
    /// that cannot be, for one that leads to another place.
    fn renew(&mut self, credential: &Arc<Credential>) -> bool {
        let _ = credential;
        false
    }

    /// Appends the error that the client should see. Appends nothing where the client could not read it, and
    /// nothing where it has been told already.
    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output);
}

/// Fresh random bytes for each half.
pub struct Entropy {
    /// For what is said to the client.
    pub client: [u8; 32],
    /// For what is said to the target.
    pub target: [u8; 32],
}

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The application that connected to us.
    Client,
    /// The server we connect to.
    Target,
}

impl Side {
    /// The peer of the other leg.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Target,
            Self::Target => Self::Client,
        }
    }
}

/// An answer to a [`Want`].
pub enum Event<'a> {
    /// All unused input of the side.
    Bytes(&'a [u8]),
    /// The service's credential.
    Credential(Arc<Credential>),
    /// The connection to the target is there; nothing has been sent on it.
    Connected(Transport),
    /// TLS towards the side is up.
    Encrypted(TlsPeer),
    /// The credential may be proven to the target.
    Permitted,
    /// What came of the work.
    Computed(Arc<Product>),
}

/// What a machine waits for.
pub enum Want {
    /// More input from the side.
    Bytes,
    /// The service's credential: [`Event::Credential`].
    Credential,
    /// A connection to the target: [`Event::Connected`].
    Connection(Dial),
    /// TLS on the target's connection: [`Event::Encrypted`]. The output so far goes out in clear before it.
    Tls(TlsPolicy),
    /// TLS on the client's connection, with us as the server: [`Event::Encrypted`] with a peer that is not verified. The
    /// output so far goes out in clear before it. Input that is unused begins the client's TLS stream; a protocol that
    /// does not allow it to be there already must have refused it.
    AcceptTls,
    /// Leave to prove the credential, asked for right before the first byte that the target can hold against the
    /// account: [`Event::Permitted`], or [`Handshake::retry`] with another one, or [`Handshake::give_up`]. A credential
    /// that nobody knows to work is tried by one session at a time, and one that was refused not at once again.
    Permission,
    /// Work that is too slow for a worker: [`Event::Computed`].
    Compute(Work),
}

/// Which target a connection is wanted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// The service's target, all its addresses in order until one answers.
    Service,
    /// Each address on which the service has open sessions, one after the other: the machine is restarted by
    /// [`Handshake::retry`] for each. For out-of-band requests such as PostgreSQL's CancelRequest.
    OpenSessions,
}

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// A Unix socket of this machine.
    Unix,
}

/// What the driver does next.
pub enum Next {
    /// The side waits for something.
    Want(Side, Want),
    /// The target refused the credential: [`Handshake::retry`] or [`Handshake::give_up`].
    Refused,
    /// Both legs are up. What the client sends is watched, if the protocol asks for that.
    Relay(Option<Box<dyn Watch>>),
    /// Nothing more to say to either side: wait until the target closes, then close the client
    /// ([`Dial::OpenSessions`]).
    Linger,
}

/// Whether the target's half goes on without the client's.
pub enum Alone<N> {
    /// It does not: there is nothing to be finished, or no way to.
    No,
    /// It does, with what it wanted already.
    UnderWay,
    /// It does, with this.
    Next(N),
}

/// What a call produced besides its result. Reused from call to call by the driver.
#[derive(Default)]
pub struct Output {
    /// Bytes for the client. They hold no secret.
    pub client: Vec<u8>,
    /// Bytes for the target. They may hold a password and are wiped.
    pub target: Zeroizing<Vec<u8>>,
    /// How many bytes of the input shown in [`Event::Bytes`] were used.
    pub used: usize,
}

/// Why a connection ends, as the client's half is told.
pub struct Failure<'a> {
    /// The service's name.
    pub service: &'a str,
    /// What went wrong.
    pub error: &'a Error,
    /// Finds the log line of this failure.
    pub request_id: RequestId,
}

/// Names one connection in logs and in errors that reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
