//! A look at the heads of what a client sends while its session is relayed, for protocols in which a client may ask for
//! another login in the middle of it.
//!
//! Owns the contract between a protocol and the relay. Bytes of a message whose head has been seen pass unseen, so that
//! large ones cost nothing.

use alloc::boxed::Box;

use crate::Handshake;

/// Follows what one client sends. From [`crate::Next::Relay`] on it is shown all of it in order, or told that it passed.
pub trait Watch: Send {
    /// How many of the bytes that come next belong to a message whose head has been seen.
    fn unseen(&self) -> usize;

    /// `len` bytes pass unseen, at most [`Watch::unseen`].
    fn pass(&mut self, len: usize);

    /// Looks at the bytes that come next.
    fn look(&mut self, bytes: &[u8]) -> Look;

    /// The target has sent something.
    fn on_answer(&mut self);

    /// Whether the client has said that it ends the session: whoever closes first then, and however, cuts off nothing.
    fn has_said_goodbye(&self) -> bool;

    /// After [`Look::Hold`]: a machine that goes on from there. Its client has sent what was held and has not been
    /// answered; its target is connected. It ends in [`crate::Next::Relay`] as any other.
    fn begin(&self) -> Box<dyn Handshake>;
}

/// What is to be done with bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The first so many pass. The rest, less than a head, is to be shown again with what comes behind it.
    Pass(usize),
    /// The first so many pass. The rest, and all that comes behind it, is for [`Watch::begin`]'s machine.
    Hold(usize),
}
