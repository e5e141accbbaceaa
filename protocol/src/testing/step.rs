//! One step of a transcript.
//!
//! Owns what a step may be, and the words for a machine that did something else. Plays nothing.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::hex;
use crate::tls::{TlsPeer, TlsPolicy};
use crate::{Dial, Error, Side, Transport};

/// See the methods of [`super::Transcript`].
pub(super) enum Step {
    Sends(Side, Vec<u8>),
    IsSent(Side, Vec<u8>),
    Credential,
    Connection(Dial, Transport),
    Tls(TlsPolicy, TlsPeer),
    AcceptTls,
    Keys { salt: Vec<u8>, iterations: u32 },
    Parsec { salt: Vec<u8>, iterations: u32 },
    Rsa { key: Vec<u8>, ciphertext: Vec<u8> },
    Refused { certain: bool },
    Retry(Vec<(&'static str, Vec<u8>)>),
    GiveUp(Option<Vec<u8>>, Error),
    Permission,
    Renewed(Vec<(&'static str, Vec<u8>)>, bool),
    GoesAlone(bool),
    GoesOn,
    Fails(Error),
    FailsOutside(Error),
    Relays { from_client: Vec<u8>, from_target: Vec<u8> },
    Passes(Vec<u8>, Vec<u8>),
    Answered,
    Lingers,
    Again,
    Waits(Side),
}

impl Step {
    /// What the machine was expected to do.
    pub(super) fn expectation(&self) -> String {
        match self {
            Self::Sends(side, _) | Self::IsSent(side, _) => format!("speaks with {side:?}"),
            Self::Credential => "wants the credential".to_owned(),
            Self::Connection(dial, _) => format!("wants a connection: {dial:?}"),
            Self::Tls(policy, _) => format!("wants TLS: {policy:?}"),
            Self::AcceptTls => "wants TLS of Client".to_owned(),
            Self::Keys { salt, iterations } => format!("wants keys: {}, {iterations} iterations", hex(salt)),
            Self::Parsec { salt, iterations } => {
                format!("wants a key: {}, {iterations} iterations", hex(salt))
            }
            Self::Rsa { key, .. } => format!("wants the password encrypted with {}", hex(key)),
            Self::Refused { certain } => format!("was refused, certain: {certain}"),
            Self::Retry(_) | Self::GiveUp(None, _) => "was refused".to_owned(),
            Self::Renewed(_, true) => "takes the newer credential".to_owned(),
            Self::Renewed(_, false) => "does not take the newer credential".to_owned(),
            Self::GoesAlone(true) => "goes on without its client".to_owned(),
            Self::GoesAlone(false) => "does not go on without its client".to_owned(),
            Self::Permission | Self::GiveUp(Some(_), _) => "wants permission".to_owned(),
            Self::Fails(error) => format!("failed: {error:?}"),
            Self::FailsOutside(_) => "goes on".to_owned(),
            Self::Relays { .. } | Self::GoesOn => "relays".to_owned(),
            Self::Passes(..) | Self::Answered => "relays and watches".to_owned(),
            Self::Lingers | Self::Again => "lingers".to_owned(),
            Self::Waits(side) => format!("wants bytes of {side:?}"),
        }
    }
}
