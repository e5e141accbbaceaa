//! A stub that stands for a MySQL server: it lets everybody in, agrees to compress, and drops what it is sent.
//!
//! It never compresses anything, nor does its client ([`super::packets`]): with and without that agreement the same bytes
//! pass, and only who looks at them differs. One thread for each connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use ::tests::failure::{Doing, Result};

use super::packets::{COM_PING, COM_QUIT, COMPRESS};
use crate::stub::CHUNK;

/// What a server of MySQL can do that a client of this bench wants: long passwords, a database at once, compression,
/// protocol 4.1, transactions, twenty bytes of challenge, plugins, no EOF packets.
const FLAGS: u32 = 1 | 1 << 3 | COMPRESS | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 19 | 1 << 24;

const OK: &[u8] = b"\0\0\0\x02\0\0\0";

/// Listens on loopback from now on, for as long as the process lives.
pub(super) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", ::tests::ports::free())).doing("start MySQL's stub")?;
    let address = listener.local_addr().doing("ask for the address of MySQL's stub")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What ends a connection is no concern of the stub's.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    send(&mut stream, 0, &greeting())?;
    let mut packets = BufReader::with_capacity(CHUNK, stream.try_clone()?);
    let (_, number) = packet(&mut packets)?;
    send(&mut stream, number.wrapping_add(1), OK)?;
    loop {
        match packet(&mut packets)? {
            (Some(COM_PING), number) => send(&mut stream, number.wrapping_add(1), OK)?,
            (Some(COM_QUIT), _) => return Ok(()),
            _ => {}
        }
    }
}

/// Reads a packet; gives its first byte and its number.
fn packet(from: &mut impl BufRead) -> io::Result<(Option<u8>, u8)> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let [a, b, c, number] = head;
    let length = u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16;
    if length == 0 {
        return Ok((None, number));
    }
    let mut first = [0];
    from.read_exact(&mut first)?;
    let [first] = first;
    let rest = io::copy(&mut from.take(length - 1), &mut io::sink())?;
    if rest == length - 1 { Ok((Some(first), number)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn send(stream: &mut TcpStream, number: u8, payload: &[u8]) -> io::Result<()> {
    let [a, b, c, ..] = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
    stream.write_all(&[&[a, b, c, number], payload].concat())
}

/// The first packet: who it is, a challenge, and what it can do.
fn greeting() -> Vec<u8> {
    let [a, b, c, d] = FLAGS.to_le_bytes();
    [
        &b"\x0A8.0.0-stub\0\x01\0\0\0challeng\0"[..],
        &[a, b, 45, 2, 0, c, d, 21],
        &[0; 10],
        b"e of twenty.\0mysql_native_password\0",
    ]
    .concat()
}
