//! What an idle session with TLS holds, and that a burst leaves nothing behind.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustls::version::TLS13;

use crate::support::{Bed, Options, moves_out, tls};

const SESSIONS: usize = 300;

/// What an idle session may hold, and with it the server's end of its TLS session, which lies in this process, too.
const IDLE_MAX: usize = 24 * 1024;

/// What a session may hold while its TLS handshake is under way.
const HANDSHAKE_MAX: usize = 64 * 1024;

/// What a session that has been silent so far may keep of a burst: the room in which the TLS library waits for the next
/// record, and what allocators make of it. Putting a large record together takes four times as much.
const KEPT_MAX: usize = 8 * 1024;

/// Bytes of the process that are in memory and in no file.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn an_idle_session_with_tls_holds_little_and_keeps_nothing_of_a_burst() {
    if moves_out() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { is_encrypted: true, ..Options::on(dataplane::IoChoice::Uring) };
    let bed = Bed::new(listener.local_addr().unwrap(), options);
    let server = tls::server(&TLS13);
    let open = || {
        let mut client = TcpStream::connect(bed.address).unwrap();
        client.write_all(b"x").unwrap();
        (client, tls::accept(&listener, &server))
    };
    // The last record is as large as a record can be: it is put together in the TLS library's buffer.
    let large = vec![7; 16 * 1024];
    let mut received = vec![0; large.len()];
    let mut burst = |(client, target): &mut (TcpStream, tls::TlsTarget)| {
        target.write_all(&large).unwrap();
        client.read_exact(&mut received).unwrap();
        client.write_all(&large).unwrap();
        target.read_exact(&mut received).unwrap();
    };
    // Every receive buffer has been written to once before anything is counted.
    let mut first = open();
    for _ in 0..1000 {
        burst(&mut first);
    }
    let before = memory();
    let mut opening = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = TcpStream::connect(bed.address).unwrap();
        client.write_all(b"x").unwrap();
        let (target, _) = listener.accept().unwrap();
        // The ClientHello is there, and waits for an answer.
        target.peek(&mut [0]).unwrap();
        opening.push((client, target));
    }
    let handshaking = memory();
    let mut sessions: Vec<_> =
        opening.into_iter().map(|(client, target)| (client, tls::greet(target, &server))).collect();
    let idle = memory();
    // Only towards the client, for the server's end does not shrink: it is not what is tested.
    let mut received = vec![0; large.len()];
    for (client, target) in &mut sessions {
        target.write_all(&large).unwrap();
        client.read_exact(&mut received).unwrap();
    }
    let after = memory();
    let each = |from: usize, to: usize| to.saturating_sub(from) / SESSIONS;
    let handshake = each(before, handshaking);
    assert!(handshake < HANDSHAKE_MAX, "a handshake holds {handshake} bytes");
    assert!(each(before, idle) < IDLE_MAX, "an idle session holds {} bytes", each(before, idle));
    assert!(each(idle, after) < KEPT_MAX, "{} bytes of a burst are kept", each(idle, after));
}
