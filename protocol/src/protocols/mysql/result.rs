//! What ends a login (MySQL documentation, "OK_Packet", "ERR_Packet").
//!
//! Owns what of a target's own words a client is told: everything, but for what is about the target's leg alone.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::capabilities::{Capabilities, SESSION_TRACK};
use crate::wire::{Missing, Reader, Writer};
use crate::{Error, ServerMisbehaved};

/// The header of an OK packet.
pub(super) const OK: u8 = 0x00;

/// The header of an ERR packet.
pub(super) const ERR: u8 = 0xFF;

/// `SERVER_SESSION_STATE_CHANGED`: what changed stands at the end of the packet.
const STATE_CHANGED: u16 = 0x4000;

/// The type of a change of system variables ("SESSION_TRACK_SYSTEM_VARIABLES").
const SYSTEM_VARIABLES: u8 = 0;

/// The variable by which a server sends its clients elsewhere: past us.
const REDIRECT: &[u8] = b"redirect_url";

/// ER_CON_COUNT_ERROR, "Too many connections".
const TOO_MANY_CONNECTIONS: u16 = 1040;

/// ER_ACCESS_DENIED_ERROR.
pub(super) const ACCESS_DENIED: u16 = 1045;

/// The payload of an OK packet for the client, from the target's.
///
/// Left out are MariaDB's proof of the certificate that we have seen and the client has not (`info` that begins with 1),
/// and where a client should rather go ([`REDIRECT`]).
pub(super) fn ok_for_client(payload: &[u8], agreed: Capabilities) -> Result<Vec<u8>, Error> {
    rebuild(payload, agreed).map_err(|Missing(what)| ServerMisbehaved::MalformedMessage(what).into())
}

fn rebuild(payload: &[u8], agreed: Capabilities) -> Result<Vec<u8>, Missing> {
    let mut reader = Reader::new(payload);
    reader.u8("the header of OK")?;
    reader.lenenc("the affected rows")?;
    reader.lenenc("the last insert id")?;
    let status = reader.u16_le("the status")?;
    reader.u16_le("the warnings")?;
    let rest = reader.remainder();
    let fixed = payload.len() - rest.len();
    if rest.is_empty() {
        return Ok(payload.to_vec());
    }
    let mut reader = Reader::new(rest);
    let tracks = agreed.has(SESSION_TRACK);
    let Ok(info) = reader.lenenc_bytes("the info") else {
        // Some servers write the text as it is, where nothing can come behind it.
        return if tracks { Err(Missing("the info")) } else { Ok(payload.to_vec()) };
    };
    let behind_info = reader.remainder();
    let changes = match Reader::new(behind_info) {
        mut reader if tracks && status & STATE_CHANGED != 0 && !reader.is_empty() => {
            Some(reader.lenenc_bytes("the session's state")?)
        }
        _ => None,
    };
    let kept_changes = changes.map(without_redirect).transpose()?;
    let keeps_info = info.first() != Some(&1);
    if keeps_info && kept_changes.as_deref() == changes {
        return Ok(payload.to_vec());
    }
    let status = match &kept_changes {
        Some(kept) if kept.is_empty() => status & !STATE_CHANGED,
        _ => status,
    };
    let mut out = payload.get(..fixed).unwrap_or_default().to_vec();
    if let Some(place) = out.get_mut(fixed.saturating_sub(4)..fixed.saturating_sub(2)) {
        place.copy_from_slice(&status.to_le_bytes());
    }
    let mut writer = Writer::new(&mut out);
    let info = if keeps_info { info } else { &[] };
    let kept = kept_changes.filter(|kept| !kept.is_empty());
    if !info.is_empty() || kept.is_some() {
        writer.lenenc_bytes(info);
    }
    if let Some(kept) = kept {
        writer.lenenc_bytes(&kept);
    }
    Ok(out)
}

/// Changes of a session's state, without those of [`REDIRECT`].
fn without_redirect(changes: &[u8]) -> Result<Vec<u8>, Missing> {
    let mut reader = Reader::new(changes);
    let mut kept = Vec::new();
    while !reader.is_empty() {
        let kind = reader.u8("the type of a change")?;
        let data = reader.lenenc_bytes("a change")?;
        if kind != SYSTEM_VARIABLES {
            write_change(&mut kept, kind, data);
            continue;
        }
        let variables = other_variables(data)?;
        if !variables.is_empty() {
            write_change(&mut kept, kind, &variables);
        }
    }
    Ok(kept)
}

fn write_change(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    let mut writer = Writer::new(out);
    writer.u8(kind);
    writer.lenenc_bytes(data);
}

/// Names and values, one behind the other, without those of [`REDIRECT`].
fn other_variables(data: &[u8]) -> Result<Vec<u8>, Missing> {
    let mut reader = Reader::new(data);
    let mut kept = Vec::new();
    while !reader.is_empty() {
        let name = reader.lenenc_bytes("a variable's name")?;
        let value = reader.lenenc_bytes("a variable's value")?;
        if !name.eq_ignore_ascii_case(REDIRECT) {
            let mut writer = Writer::new(&mut kept);
            writer.lenenc_bytes(name);
            writer.lenenc_bytes(value);
        }
    }
    Ok(kept)
}

/// The code of a target's ERR packet, whose payload is complete.
pub(super) fn error_code(payload: &[u8]) -> Result<u16, Error> {
    match payload {
        [ERR, low, high, ..] => Ok(u16::from_le_bytes([*low, *high])),
        _ => Err(ServerMisbehaved::MalformedMessage("the code of an error").into()),
    }
}

/// The payload of a target's ERR packet as a client reads it behind its login: a server that has not been told what its
/// client knows leaves the SQLSTATE out.
pub(super) fn error_with_state(payload: &[u8]) -> Box<[u8]> {
    let (head, text) = payload.split_at_checked(3).unwrap_or((payload, &[]));
    if text.first() == Some(&b'#') {
        return payload.into();
    }
    let state: &[u8] = if head == [&[ERR][..], &TOO_MANY_CONNECTIONS.to_le_bytes()].concat() {
        b"#08004"
    } else {
        b"#HY000"
    };
    [head, state, text].concat().into()
}

/// The same as it is read in the place of a greeting, where nobody knows of SQLSTATEs.
pub(super) fn error_without_state(payload: &[u8]) -> Vec<u8> {
    match payload.split_at_checked(3) {
        Some((head, [b'#', _, _, _, _, _, text @ ..])) => [head, text].concat(),
        _ => payload.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::{Capabilities, SESSION_TRACK};
    use super::{error_with_state, error_without_state, ok_for_client};
    use crate::testing::{hex, wire};

    fn rebuilt(payload: &str, tracks: bool) -> Result<alloc::string::String, crate::Error> {
        let agreed = if tracks { SESSION_TRACK } else { Capabilities::default() };
        ok_for_client(&wire(payload), agreed).map(|payload| hex(&payload))
    }

    #[test]
    fn an_ok_passes_byte_for_byte() {
        for (payload, tracks) in [
            ("00 00 00 0200 0000", true),
            ("00 00 00 0200 0000", false),
            ("00 FC0101 FD000001 0200 0100 | 05 'hello'", true),
            ("00 00 00 0200 0000 | 'hello as it is'", false),
            // A default database, a variable, and a kind that nobody knows.
            (
                "00 00 00 0240 0000 | 00 | 21 | 01 06 05 'books' | 00 11 0A 'autocommit' 02 'ON' | 77 02 'ab'",
                true,
            ),
            // Without the flag nothing comes behind the text.
            ("00 00 00 0200 0000 | 01 'x' 'whatever'", true),
        ] {
            let payload = payload.replace("00 11 0A", "00 0E 0A").replace("| 21 |", "| 1C |");
            assert_eq!(rebuilt(&payload, tracks), Ok(hex(&wire(&payload))));
        }
    }

    #[test]
    fn the_proof_of_a_certificate_that_the_client_has_not_seen_is_left_out() {
        let proof = "00 00 00 0200 0000 | 05 01 'ABCD'";
        assert_eq!(rebuilt(proof, true), Ok(hex(&wire("00 00 00 0200 0000"))));
        assert_eq!(rebuilt(proof, false), Ok(hex(&wire("00 00 00 0200 0000"))));
        let with_state = "00 00 00 0240 0000 | 05 01 'ABCD' | 08 01 06 05 'books'";
        assert_eq!(
            rebuilt(with_state, true),
            Ok(hex(&wire("00 00 00 0240 0000 | 00 | 08 01 06 05 'books'")))
        );
    }

    #[test]
    fn a_client_is_not_sent_past_us() {
        let redirect = "00 15 | 0C 'redirect_url' 07 'mysql:/'";
        let alone = alloc::format!("00 00 00 0240 0000 | 00 | 17 {redirect}");
        assert_eq!(rebuilt(&alone, true), Ok(hex(&wire("00 00 00 0200 0000"))));
        let among = alloc::format!("00 00 00 0240 0000 | 02 'hi' | 1F {redirect} | 01 06 05 'books'");
        let kept = "00 00 00 0240 0000 | 02 'hi' | 08 01 06 05 'books'";
        assert_eq!(rebuilt(&among, true), Ok(hex(&wire(kept))));
        let together =
            "00 00 00 0240 0000 | 00 | 22 | 00 20 | 0C 'REDIRECT_url' 07 'mysql:/' | 01 'a' 08 'whatever'";
        let kept = "00 00 00 0240 0000 | 00 | 0D | 00 0B | 01 'a' 08 'whatever'";
        assert_eq!(rebuilt(together, true), Ok(hex(&wire(kept))));
    }

    #[test]
    fn a_malformed_ok_is_refused_and_no_panic() {
        let whole = wire("00 00 00 0240 0000 | 02 'hi' | 08 01 06 05 'books'");
        for len in (0..whole.len()).filter(|len| ![7, 10].contains(len)) {
            assert!(ok_for_client(&whole[..len], SESSION_TRACK).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn an_error_in_the_place_of_a_greeting_loses_its_sqlstate() {
        let without_state = |payload: &str| hex(&error_without_state(&wire(payload)));
        assert_eq!(without_state("FF 1504 '#28000no'"), hex(&wire("FF 1504 'no'")));
        assert_eq!(without_state("FF 1004 'Too many'"), hex(&wire("FF 1004 'Too many'")));
        assert_eq!(without_state("FF 1504 '#280'"), hex(&wire("FF 1504 '#280'")));
    }

    #[test]
    fn an_error_from_before_the_login_gets_its_sqlstate() {
        let with_state = |payload: &str| hex(&error_with_state(&wire(payload)));
        assert_eq!(with_state("FF 1004 'Too many'"), hex(&wire("FF 1004 '#08004' 'Too many'")));
        assert_eq!(with_state("FF 6904 'blocked'"), hex(&wire("FF 6904 '#HY000' 'blocked'")));
        assert_eq!(with_state("FF 1504 '#28000' 'no'"), hex(&wire("FF 1504 '#28000' 'no'")));
    }
}
