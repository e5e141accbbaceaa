//! Handshakes written down, one for each thing that can happen.
//!
//! Owns what the machine must do, in bytes. The values of SCRAM and MD5 in here were computed by a program of
//! another language.

mod cancel;
mod client_encryption;
mod encryption;
mod opening;
mod parameters;
mod password;
mod refusal;
mod scram;

use alloc::vec::Vec;

use crate::testing::{Transcript, wire};
use crate::tls::{TlsPeer, TlsPolicy, Verification};

/// All of them.
pub(super) fn all() -> Vec<Transcript> {
    [
        opening::all(),
        parameters::all(),
        encryption::all(),
        client_encryption::all(),
        password::all(),
        scram::all(),
        refusal::all(),
        cancel::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// See [`crate::Protocol::lets_client_in`].
pub(super) fn lets_client_in(mut to_client: &[u8]) -> bool {
    // The answers to requests for encryption, which are no messages.
    while let [b'N' | b'S', rest @ ..] = to_client {
        to_client = rest;
    }
    while let [kind, a, b, c, d, ..] = *to_client {
        let length = u32::from_be_bytes([a, b, c, d]);
        if kind == b'R' {
            return true;
        }
        to_client =
            usize::try_from(length).ok().and_then(|length| to_client.get(1 + length..)).unwrap_or_default();
    }
    false
}

const SSL_REQUEST: &str = "00000008 | 04D2162F";
const GSSENC_REQUEST: &str = "00000008 | 04D21630";
/// No parameter at all.
const BARE_STARTUP: &str = "00000009 | 0003 0000 | 00";
/// What we make of it.
const BARE_STARTUP_FOR_TARGET: &str = "00000012 | 0003 0000 | 'user' 00 'svc' 00 | 00";
const AUTHENTICATION_OK: &str = "'R' | 00000008 | 00000000";
/// `ReadyForQuery`, idle.
const READY_FOR_QUERY: &str = "'Z' | 00000005 | 'I'";

/// A `StartupMessage` of version 3.`minor`.
fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let body: Vec<u8> = parameters
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat())
        .collect();
    let length = u32::try_from(4 + 4 + body.len() + 1).expect("a startup packet is short");
    [&length.to_be_bytes()[..], &[0, 3], &minor.to_be_bytes(), &body, b"\0"].concat()
}

/// The `ErrorResponse` of a failure of ours; `cause` is its own part of the text.
fn fatal(sqlstate: &str, cause: &str) -> Vec<u8> {
    let text = alloc::format!("secretless-broker books: {cause} (id=0123456789abcdef)");
    let fields =
        [&wire("'SFATAL' 00 'VFATAL' 00 'C'")[..], sqlstate.as_bytes(), b"\0M", text.as_bytes(), b"\0\0"]
            .concat();
    let length = u32::try_from(4 + fields.len()).expect("an error is short");
    [b"E", &length.to_be_bytes()[..], &fields].concat()
}

/// Encrypted to nobody in particular: what `require` asks for.
fn any_tls() -> TlsPolicy {
    TlsPolicy { verification: Verification::Nothing, server_name: "db.example".into(), alpn: None }
}

/// A peer whose certificate was not checked.
fn unverified() -> TlsPeer {
    TlsPeer { verified: false, end_point: Some((0..32).collect()) }
}

/// A peer whose certificate was checked.
fn verified() -> TlsPeer {
    TlsPeer { verified: true, ..unverified() }
}
