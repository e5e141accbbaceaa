//! What a client sends first: a startup packet of one of four kinds.
//!
//! Owns their layout and their limits. Does not know what is done with them.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::limits::{POSTGRES_CANCEL_KEY_MAX, POSTGRES_STARTUP_MAX};
use crate::wire::{Reader, stated_length};
use crate::{ClientMisbehaved, Error, Unsupported};

/// The first packet of a client (documentation, "Message Formats").
pub(super) enum Opening {
    /// No packet: a TLS record. Nothing of it is read.
    Tls,
    /// `SSLRequest`
    SslRequest,
    /// `GSSENCRequest`
    GssEncRequest,
    /// `CancelRequest`: all of it, unread.
    Cancel(Arc<[u8]>),
    /// `StartupMessage`
    Startup(Startup),
}

impl Opening {
    /// Reads what is at the front of `input` and says how much of it has been read. `None` until all of a packet is
    /// there; what is wrong with it is said as early as it can be seen.
    pub(super) fn read(input: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        match input.first() {
            None => return Ok(None),
            // A length below 10,000 begins with a zero. A TLS record begins with its type, 22 for a handshake.
            Some(0) => {}
            Some(&TLS_HANDSHAKE) => return Ok(Some((Self::Tls, 0))),
            Some(_) => return Err(ClientMisbehaved::StartupLength.into()),
        }
        let length = match stated_length(input, CODE_END, POSTGRES_STARTUP_MAX) {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(None),
            Err(_) => return Err(ClientMisbehaved::StartupLength.into()),
        };
        let Some(code) = input.get(4..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
        let code = u32::from_be_bytes(*code);
        let whole = input.get(..length);
        let opening = match code {
            SSL_REQUEST | GSSENC_REQUEST if length != CODE_END => {
                return Err(ClientMisbehaved::MalformedStartup.into());
            }
            SSL_REQUEST => Self::SslRequest,
            GSSENC_REQUEST => Self::GssEncRequest,
            CANCEL_REQUEST if !(CANCEL_BYTES_MIN..=CANCEL_BYTES_MAX).contains(&length) => {
                return Err(ClientMisbehaved::MalformedCancel.into());
            }
            CANCEL_REQUEST => match whole {
                Some(whole) => Self::Cancel(whole.into()),
                None => return Ok(None),
            },
            _ => match version(code) {
                (3, minor) => match whole {
                    Some(whole) => {
                        Self::Startup(Startup::parse(minor, whole.get(CODE_END..).unwrap_or_default())?)
                    }
                    None => return Ok(None),
                },
                (major, minor) => return Err(Unsupported::ClientVersion(major, minor).into()),
            },
        };
        Ok(Some((opening, length)))
    }
}

/// A `StartupMessage` of major version 3.
pub(super) struct Startup {
    /// The minor version that the client wants, known to us or not.
    pub(super) minor: u16,
    /// `(name NUL value NUL)*`, checked.
    parameters: Box<[u8]>,
}

impl Startup {
    /// `body` is what stands behind the version.
    fn parse(minor: u16, body: &[u8]) -> Result<Self, Error> {
        // The server: "invalid startup packet layout: expected terminator as last byte"
        let malformed = || Error::from(ClientMisbehaved::MalformedStartup);
        let (0, parameters) = body.split_last().ok_or_else(malformed)? else { return Err(malformed()) };
        let mut reader = Reader::new(parameters);
        while !reader.is_empty() {
            let name = reader.cstr("a name").map_err(|_| malformed())?;
            if name.is_empty() {
                return Err(malformed());
            }
            reader.cstr("a value").map_err(|_| malformed())?;
        }
        Ok(Self { minor, parameters: parameters.into() })
    }

    /// Names and values in the client's order, duplicates included.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut reader = Reader::new(&self.parameters);
        core::iter::from_fn(move || Some((reader.cstr("a name").ok()?, reader.cstr("a value").ok()?)))
    }

    /// The value that counts for `name`: a server takes the last, and an empty one as not set.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.parameters()
            .filter(|(other, _)| *other == name)
            .last()
            .map(|(_, value)| value)
            .filter(|v| !v.is_empty())
    }

    /// Whether the client sets the run-time parameter `name`, whose case does not matter.
    pub(super) fn sets(&self, name: &[u8]) -> bool {
        self.parameters().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// Whether the client asks for the protocol option `name`.
    pub(super) fn asks_for_option(&self, name: &[u8]) -> bool {
        self.parameters().any(|(other, _)| other == name && is_protocol_option(name))
    }
}

/// "Parameter names beginning with `_pq_.` are reserved for use as protocol extensions."
pub(super) fn is_protocol_option(name: &[u8]) -> bool {
    name.starts_with(b"_pq_.")
}

/// Major and minor number of a version.
fn version(code: u32) -> (u16, u16) {
    let [a, b, c, d] = code.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// Where the code ends that says which packet this is.
const CODE_END: usize = 8;
/// 1234.5679
pub(super) const SSL_REQUEST: u32 = 80_877_103;
/// 1234.5680
const GSSENC_REQUEST: u32 = 80_877_104;
/// 1234.5678
const CANCEL_REQUEST: u32 = 80_877_102;
/// Length, code, process ID, and a key of four bytes: protocol 3.0.
const CANCEL_BYTES_MIN: usize = 16;
/// The same with the longest key of protocol 3.2.
const CANCEL_BYTES_MAX: usize = 12 + POSTGRES_CANCEL_KEY_MAX;
/// `ContentType.handshake` (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;
