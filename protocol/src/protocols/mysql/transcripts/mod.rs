//! Handshakes written down, one for each thing that can happen.
//!
//! Owns what the machine must do, in bytes. The proofs in here were computed by a program of another language.

mod alone;
mod change_user;
mod client;
mod methods;
mod opening;
mod refusal;

use alloc::vec::Vec;

use crate::testing::{Transcript, Wire, wire};
use crate::tls::{TlsPeer, TlsPolicy, Verification};

/// All of them.
pub(super) fn all() -> Vec<Transcript> {
    [opening::all(), client::all(), methods::all(), refusal::all(), alone::all(), change_user::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// See [`crate::Protocol::lets_client_in`].
pub(super) fn lets_client_in(mut to_client: &[u8]) -> bool {
    while let Some((&[a, b, c, sequence], rest)) = to_client.split_first_chunk::<4>() {
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        if sequence > 0 && rest.first() == Some(&0) {
            return true;
        }
        to_client = rest.get(len..).unwrap_or_default();
    }
    false
}

/// A packet with its header.
pub(super) fn packet(sequence: u8, payload: impl Wire) -> Vec<u8> {
    let payload = payload.into_bytes();
    let [a, b, c, ..] = u32::try_from(payload.len()).expect("a payload is short").to_le_bytes();
    [&[a, b, c, sequence][..], &payload].concat()
}

/// The nonce that comes of entropy that is all zeros.
const OUR_NONCE: &str = "0101010101010101010101010101010101010101";

/// A MySQL server's flags: without TLS, compression and MariaDB's.
const SERVER_FLAGS: u32 = 0x01FF_F7DF;
/// The flags of a client that names a database and sends attributes.
const CLIENT_FLAGS: u32 = 0x013A_A28D;
/// What is left for the target of [`CLIENT_FLAGS`].
const TARGET_FLAGS: u32 = 0x013A_A28D;

/// What every client can log in to us with: protocol 4.1, a proof of 20 bytes, plugins, lengths of any width.
const OUR_FLAGS: u32 = 0x0028_8200;

const TLS: u32 = 1 << 11;

/// A greeting's payload.
fn greeting(flags: u32, plugin: &str, nonce: &str) -> Vec<u8> {
    let nonce = wire(nonce);
    let [a, b, c, d] = flags.to_le_bytes();
    [
        &wire("0A '9.7.4' 00 2A000000")[..],
        nonce.get(..8).expect("a nonce is long enough"),
        &[0, a, b, 0xFF, 2, 0, c, d, 21],
        &[0; 10],
        nonce.get(8..).expect("a nonce is long enough"),
        b"\0",
        plugin.as_bytes(),
        b"\0",
    ]
    .concat()
}

/// What the client is told for a target with `flags`.
fn our_greeting(flags: u32) -> Vec<u8> {
    packet(0, greeting(flags | OUR_FLAGS, "mysql_native_password", OUR_NONCE))
}

/// A `HandshakeResponse41`'s payload. `auth` has its length in front.
fn response(flags: u32, user: &str, auth: &str, plugin: &str) -> Vec<u8> {
    let mut payload =
        [&flags.to_le_bytes()[..], &wire("00000001 2D"), &[0; 23], user.as_bytes(), b"\0"].concat();
    payload.extend(wire(auth));
    if flags & 8 != 0 {
        payload.extend(b"books\0");
    }
    if flags & 1 << 19 != 0 {
        payload.extend(plugin.as_bytes());
        payload.push(0);
    }
    if flags & 1 << 20 != 0 {
        payload.extend(wire("0B 03 'foo' 06 'barbaz'"));
    }
    payload
}

/// A request for TLS.
fn tls_request(flags: u32) -> Vec<u8> {
    packet(1, [&(flags | TLS).to_le_bytes()[..], &wire("00000001 2D"), &[0; 23]].concat())
}

/// What a client of mysql_native_password says.
fn native_client() -> Vec<u8> {
    packet(1, response(CLIENT_FLAGS, "nobody", "14 'not a proof at all..'", "mysql_native_password"))
}

/// The payload of an OK packet, in autocommit.
const OK: &str = "00 00 00 0200 0000";

/// The ERR packet of a failure of ours; `cause` is its own part of the text.
fn err(sequence: u8, code: u16, state: &str, cause: &str) -> Vec<u8> {
    let state = if state.is_empty() { Vec::new() } else { [b"#", state.as_bytes()].concat() };
    let text = alloc::format!("secretless-broker books: {cause} (id=0123456789abcdef)");
    packet(sequence, [&[0xFF][..], &code.to_le_bytes(), &state, text.as_bytes()].concat())
}

/// TLS that checks nothing, to `db.example`.
fn any_tls() -> TlsPolicy {
    TlsPolicy { verification: Verification::Nothing, server_name: "db.example".into(), alpn: None }
}

fn unverified() -> TlsPeer {
    TlsPeer { verified: false, end_point: None }
}

fn verified() -> TlsPeer {
    TlsPeer { verified: true, ..unverified() }
}

/// The target has been connected to over a Unix socket and has greeted, and so has the client been.
fn greeted(name: &'static str, flags: u32, plugin: &str) -> Transcript {
    greeted_by(Transcript::new(name), flags, plugin)
}

fn greeted_by(transcript: Transcript, flags: u32, plugin: &str) -> Transcript {
    transcript
        .credential()
        .connection(crate::Transport::Unix)
        .to_client("")
        .target(packet(0, greeting(flags, plugin, NONCE)))
        .to_client(our_greeting(flags & !TLS))
        .to_target("")
}

/// What the target challenges us with.
const NONCE: &str = "0a2f4a6f4b492230584c724a250d035052021715";
