//! Bulk data arrives byte for byte, in both directions.

use std::io;

use tests::broker::{Listen, Service, pg};
use tests::postgres::{Login, Major, shared};
use tests::wire::{self, Wire};

use crate::support::{broker, session};

/// A gigabyte of rows that can be made again: each has its number, so that none may change places, and a part of
/// a block of noise, so that none is like another.
struct Rows {
    noise: Vec<u8>,
    count: usize,
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A row: nine digits, a tab, noise, a newline.
const ROW_BYTES: usize = 1024;
const NOISE_BYTES: usize = ROW_BYTES - 11;

impl Rows {
    fn new(bytes: usize) -> Self {
        // xorshift64: the same noise in every run, in characters that COPY's text form leaves alone.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = (0..1 << 20).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ALPHABET[usize::try_from(state >> 58).unwrap()]
        });
        Self { noise: noise.collect(), count: bytes / ROW_BYTES }
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        let start = (row * 7919) % (self.noise.len() - NOISE_BYTES);
        out.extend_from_slice(format!("{row:09}\t").as_bytes());
        out.extend_from_slice(&self.noise[start..start + NOISE_BYTES]);
        out.push(b'\n');
    }
}

/// Sends all rows by one COPY, many rows in a message.
fn copy_in(wire: &mut Wire, rows: &Rows) -> io::Result<()> {
    wire.query("CREATE UNLOGGED TABLE bulk (n int, noise text)")?;
    wire.send(&wire::query("COPY bulk FROM STDIN"))?;
    wire.messages_until('G')?;
    let mut data = Vec::new();
    for row in 0..rows.count {
        rows.append(row, &mut data);
        // Sizes that no buffer of anybody's divides.
        if data.len() > 300_000 || row + 1 == rows.count {
            wire.send(&wire::message('d', &data))?;
            data.clear();
        }
    }
    wire.send(&wire::message('c', b""))?;
    let end = wire.messages_until('Z')?;
    match end.iter().find(|message| message.kind == 'E') {
        Some(error) => Err(io::Error::other(format!("{:?}", error.fields()))),
        None => Ok(()),
    }
}

/// Reads all rows back and compares each byte.
#[track_caller]
fn assert_copies_out(wire: &mut Wire, rows: &Rows) {
    wire.send(&wire::query("COPY bulk TO STDOUT")).unwrap();
    assert_eq!(wire.message().unwrap().kind, 'H');
    let mut expected = Vec::new();
    for row in 0..rows.count {
        // The server sends one message for each row.
        let message = wire.message().unwrap();
        assert_eq!(message.kind, 'd', "row {row}: {message:?}");
        expected.clear();
        // COPY writes the number without the zeros in front of it.
        rows.append(row, &mut expected);
        let zeros = expected.iter().take(8).take_while(|byte| **byte == b'0').count();
        assert!(message.body == expected[zeros..], "row {row} is not what was sent");
    }
    assert_eq!(wire.message().unwrap().kind, 'c');
    wire.messages_until('Z').unwrap();
}

fn service(sslmode: &str, listen: Listen) -> (Login, Service) {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
    (login, service)
}

#[test]
fn a_gigabyte_goes_in_and_comes_back_unchanged() {
    let (login, service) = service("disable", Listen::tcp());
    let rows = Rows::new(1 << 30);
    let broker = broker([service.clone()]);
    let mut wire = session(&service.listen, &login);
    copy_in(&mut wire, &rows).unwrap();
    assert_copies_out(&mut wire, &rows);
    // Memory does not grow with what passes: 1 GiB went each way.
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process().pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 * 1024, "{peak} kB at its peak");
    wire.query("DROP TABLE bulk").unwrap();
}

#[test]
fn bulk_data_is_unchanged_over_tls_and_unix_sockets_too() {
    let rows = Rows::new(64 << 20);
    for (sslmode, listen) in [
        ("require", Listen::tcp()),
        ("require", Listen::unix().unwrap()),
        ("disable", Listen::unix().unwrap()),
    ] {
        let (login, service) = service(sslmode, listen);
        let _broker = broker([service.clone()]);
        let mut wire = session(&service.listen, &login);
        copy_in(&mut wire, &rows).unwrap();
        assert_copies_out(&mut wire, &rows);
        wire.query("DROP TABLE bulk").unwrap();
    }
}

#[test]
fn a_reader_that_pauses_loses_nothing_and_holds_up_nobody() {
    for sslmode in ["disable", "require"] {
        let (login, service) = service(sslmode, Listen::tcp());
        let rows = Rows::new(32 << 20);
        let _broker = broker([service.clone()]);
        let mut slow = session(&service.listen, &login);
        copy_in(&mut slow, &rows).unwrap();
        // The answer is far larger than all buffers between here and the server, and nobody reads it …
        slow.send(&wire::query("SELECT repeat('x', 50000000)")).unwrap();
        // … while another session does its work.
        for n in 0..100 {
            let mut other = session(&service.listen, &login);
            assert_eq!(other.query(&format!("SELECT {n}")).unwrap(), [n.to_string()]);
        }
        let answer = slow.messages_until('Z').unwrap();
        let row = answer.iter().find(|message| message.kind == 'D').expect("a row");
        assert_eq!(row.body.len(), 2 + 4 + 50_000_000);
        assert_copies_out(&mut slow, &rows);
        slow.query("DROP TABLE bulk").unwrap();
    }
}
