//! What the connection to the target runs over, as far as secrets care.

use crate::CleartextPassword;
use crate::tls::TlsPeer;

/// See the module's documentation.
#[derive(Clone)]
pub(crate) enum Line {
    /// A Unix socket: the kernel says who listens, and nobody listens in.
    Unix,
    /// TCP as it is.
    Plain,
    /// TLS.
    Tls(TlsPeer),
}

impl Line {
    /// Whether a password may be sent over this line as it is.
    pub(crate) fn may_carry_password(&self, rule: CleartextPassword) -> bool {
        match self {
            Self::Unix => true,
            Self::Plain => rule == CleartextPassword::Always,
            Self::Tls(peer) => peer.verified || rule != CleartextPassword::Verified,
        }
    }

    /// Who is at the other end of its TLS, if it has any.
    pub(crate) fn tls(&self) -> Option<&TlsPeer> {
        match self {
            Self::Tls(peer) => Some(peer),
            Self::Unix | Self::Plain => None,
        }
    }
}
