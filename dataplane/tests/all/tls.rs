//! TLS to the target, in the relay: order, new keys, ends of every kind, hostile records, resumption.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dataplane::IoChoice;
use protocol::{Error, Generation};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};

use crate::support::tls::{self, TlsTarget};
use crate::support::{Bed, Options, await_that};

/// Long enough that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

on_both_drivers! {
    much_data_in_both_directions_survives_new_keys_at_every_turn,
    a_target_that_has_said_that_it_is_done_is_still_sent_to,
    a_client_that_is_done_still_gets_its_answer,
    a_stream_that_is_cut_off_ends_in_a_reset_behind_everything_that_came,
    a_client_that_has_gone_is_not_waited_for_when_its_target_is_cut_off,
    a_reset_does_not_overtake_what_the_client_has_not_taken_yet,
    records_that_nobody_can_read_end_the_session_behind_what_was_good,
    a_flood_of_tiny_records_arrives_in_order_with_its_end_behind_it,
    a_reader_that_stops_stops_the_target_and_loses_nothing,
    a_session_is_resumed_under_the_same_credential_and_never_under_another,
}

/// A data plane before a target with TLS.
struct Stage {
    bed: Bed,
    listener: TcpListener,
    server: Arc<ServerConfig>,
}

impl Stage {
    fn new(io: IoChoice, server: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Options { is_encrypted: true, ..Options::on(io) };
        let bed = Bed::new(listener.local_addr().unwrap(), options);
        Self { bed, listener, server }
    }

    /// A session: its client, and the target's end.
    fn session(&self) -> (TcpStream, TlsTarget) {
        let mut client = TcpStream::connect(self.bed.address).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.set_write_timeout(Some(DEADLINE)).unwrap();
        client.write_all(b"x").unwrap();
        let target = tls::accept(&self.listener, &self.server);
        (client, target)
    }

    fn cut_off(&self) -> u64 {
        let index = Error::LABELS.iter().position(|label| *label == "target_cut_off").unwrap();
        self.bed.runtime.totals().failed[index]
    }

    fn await_end(&self) {
        await_that("the session to end", || self.bed.plane.connections() == 0);
    }
}

/// A sequence of bytes of which every part can be told from every other.
fn pattern(len: usize) -> Vec<u8> {
    (0..len / 8 + 1)
        .flat_map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(len)
        .collect()
}

/// Everything that comes, and what it ended with.
fn read_all(mut client: TcpStream) -> (Vec<u8>, Result<usize, ErrorKind>) {
    let mut data = Vec::new();
    let end = client.read_to_end(&mut data).map_err(|error| error.kind());
    (data, end)
}

fn much_data_in_both_directions_survives_new_keys_at_every_turn(io: IoChoice) {
    const LEN: usize = 16 << 20;
    let expected = pattern(LEN);
    for version in [&TLS13, &TLS12] {
        let stage = Stage::new(io, tls::server(version));
        let (client, mut target) = stage.session();
        let mut sender = client.try_clone().unwrap();
        let sent = expected.clone();
        let sending = thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let receiving = thread::spawn(move || read_all(client));
        let mut received = Vec::new();
        let mut piece = vec![0; 100_000];
        let mut rest = expected.as_slice();
        while !rest.is_empty() {
            // A request: it wants new keys of the broker, too.
            if version.version == TLS13.version {
                target.conn.refresh_traffic_keys().unwrap();
            }
            let (now, later) = rest.split_at(rest.len().min(60_000));
            target.write_all(now).unwrap();
            rest = later;
            let len = target.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..len]);
        }
        tls::close(&mut target);
        // It ends with the broker's close_notify: without one the library says "unexpected end of file".
        target.read_to_end(&mut received).unwrap();
        drop(target);
        assert!(received == expected, "bytes were lost, doubled or reordered on their way to the target");
        let (data, end) = receiving.join().unwrap();
        assert!(data == expected, "bytes were lost, doubled or reordered on their way to the client");
        assert_eq!((end, stage.cut_off()), (Ok(LEN), 0));
        sending.join().unwrap();
        stage.await_end();
        let totals = stage.bed.runtime.totals();
        assert_eq!((totals.bytes_to_target, totals.bytes_to_client), (LEN as u64, LEN as u64));
    }
}

fn a_target_that_has_said_that_it_is_done_is_still_sent_to(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    let (mut client, mut target) = stage.session();
    target.write_all(b"all of it").unwrap();
    tls::close(&mut target);
    let (data, end) = read_all(client.try_clone().unwrap());
    assert_eq!((data.as_slice(), end), (b"all of it".as_slice(), Ok(9)));
    client.write_all(b"thanks").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut thanks = Vec::new();
    target.read_to_end(&mut thanks).unwrap();
    assert_eq!(thanks, b"thanks");
    drop((client, target));
    stage.await_end();
    assert_eq!(stage.cut_off(), 0);
}

fn a_client_that_is_done_still_gets_its_answer(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    let (mut client, mut target) = stage.session();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    target.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    target.write_all(b"answer").unwrap();
    tls::close(&mut target);
    drop(target);
    assert_eq!(read_all(client), (b"answer".to_vec(), Ok(6)));
}

fn a_stream_that_is_cut_off_ends_in_a_reset_behind_everything_that_came(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    // So much that the client's own buffers do not hold it: what it has not read must not be lost to the reset.
    let sent = pattern(8 << 20);
    let (client, mut target) = stage.session();
    let copy = sent.clone();
    let sending = thread::spawn(move || {
        target.write_all(&copy).unwrap();
        target.sock.shutdown(Shutdown::Write).unwrap();
        target
    });
    let (data, end) = read_all(client);
    assert_eq!(data.len(), sent.len());
    assert!(data == sent, "every byte is as it was sent");
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    drop(sending.join().unwrap());
    stage.await_end();
    assert_eq!(stage.cut_off(), 1);
}

fn a_reset_does_not_overtake_what_the_client_has_not_taken_yet(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    let (client, mut target) = stage.session();
    // The window is small, so most of it lies in the broker's socket, where nothing is left to be sent by the broker.
    rustix::net::sockopt::set_socket_recv_buffer_size(&client, 4096).unwrap();
    let sent = pattern(256 << 10);
    target.write_all(&sent).unwrap();
    drop(target);
    await_that("the end to be noticed", || stage.cut_off() == 1);
    // The worker goes round often meanwhile.
    let (mut other, mut other_target) = stage.session();
    for _ in 0..200 {
        other.write_all(b"ping").unwrap();
        other_target.read_exact(&mut [0; 4]).unwrap();
    }
    let (data, end) = read_all(client);
    assert_eq!((data.len(), end), (sent.len(), Err(ErrorKind::ConnectionReset)));
}

fn a_client_that_has_gone_is_not_waited_for_when_its_target_is_cut_off(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    let (mut client, mut target) = stage.session();
    client.write_all(b"bye").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    target.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"bye");
    // More than it has room for, so that the broker waits for it to take the rest.
    target.write_all(&pattern(160 << 10)).unwrap();
    target.sock.shutdown(Shutdown::Write).unwrap();
    // Now it does: it has let go of the target.
    target.sock.read_to_end(&mut said).unwrap();
    // It leaves something unread, so its system resets the connection.
    drop(client);
    stage.await_end();
}

fn records_that_nobody_can_read_end_the_session_behind_what_was_good(io: IoChoice) {
    let garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let overlong = [&[0x17, 3, 3, 0x41, 0x01][..], &[0; 0x4101]].concat();
    let forged = [&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat();
    let alert_in_clear = vec![0x15, 3, 3, 0, 2, 1, 0];
    for hostile in [garbage, overlong, forged, alert_in_clear] {
        let stage = Stage::new(io, tls::server(&TLS13));
        let (client, mut target) = stage.session();
        target.write_all(b"good").unwrap();
        target.sock.write_all(&hostile).unwrap();
        assert_eq!(read_all(client), (b"good".to_vec(), Err(ErrorKind::ConnectionReset)));
        // It is told what was wrong.
        let told = target.read(&mut [0]).unwrap_err().to_string();
        assert!(told.contains("fatal alert"), "{told}");
        drop(target);
        stage.await_end();
        assert_eq!(stage.cut_off(), 1);
    }
}

fn a_flood_of_tiny_records_arrives_in_order_with_its_end_behind_it(io: IoChoice) {
    for ends_well in [true, false] {
        let stage = Stage::new(io, tls::server(&TLS13));
        let sent = pattern(300_000);
        let (client, mut target) = stage.session();
        let (mut other, mut other_target) = stage.session();
        let copy = sent.clone();
        let flooding = thread::spawn(move || {
            tls::send_tiny_records(&mut target, &copy);
            if ends_well {
                tls::close(&mut target);
            }
            target.sock.shutdown(Shutdown::Write).unwrap();
            target
        });
        let receiving = thread::spawn(move || read_all(client));
        // Others are served meanwhile.
        while !flooding.is_finished() {
            other.write_all(b"ping").unwrap();
            let mut ping = [0; 4];
            other_target.read_exact(&mut ping).unwrap();
            assert_eq!(&ping, b"ping");
        }
        let (data, end) = receiving.join().unwrap();
        assert!(data == sent, "{} of {} bytes came, or others", data.len(), sent.len());
        assert_eq!(end, if ends_well { Ok(sent.len()) } else { Err(ErrorKind::ConnectionReset) });
        drop(flooding.join().unwrap());
    }
}

fn a_reader_that_stops_stops_the_target_and_loses_nothing(io: IoChoice) {
    let stage = Stage::new(io, tls::server(&TLS13));
    let (stopped, mut target) = stage.session();
    let (mut other, mut other_target) = stage.session();
    target.sock.set_nonblocking(true).unwrap();
    let block = vec![7u8; 1 << 20];
    let (mut sent, mut quiet) = (0usize, 0);
    // Until nothing more goes in for as long as many of another session's round trips take.
    while quiet < 200 {
        if !target.conn.wants_write() {
            target.conn.writer().write_all(&block).unwrap();
            sent += block.len();
        }
        match target.conn.write_tls(&mut target.sock) {
            Ok(_) => quiet = 0,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        other.write_all(b"ping").unwrap();
        other_target.read_exact(&mut [0; 4]).unwrap();
        quiet += 1;
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken for a reader that does not read");
    target.sock.set_nonblocking(false).unwrap();
    let receiving = thread::spawn(move || read_all(stopped));
    tls::close(&mut target);
    target.sock.shutdown(Shutdown::Write).unwrap();
    let (data, end) = receiving.join().unwrap();
    assert_eq!((data.len(), end), (sent, Ok(sent)));
}

/// Opens a session, lets the server's tickets arrive, and tells how the TLS handshake went.
fn handshake_kind(stage: &Stage) -> HandshakeKind {
    let (mut client, mut target) = stage.session();
    assert!(target.conn.early_data().is_none(), "nothing was sent early");
    // Tickets of TLS 1.3 come before this.
    target.write_all(b"!").unwrap();
    client.read_exact(&mut [0]).unwrap();
    target.conn.handshake_kind().unwrap()
}

fn a_session_is_resumed_under_the_same_credential_and_never_under_another(io: IoChoice) {
    for version in [&TLS13, &TLS12] {
        let stage = Stage::new(io, tls::server(version));
        assert_eq!(handshake_kind(&stage), HandshakeKind::Full);
        for _ in 0..20 {
            assert_eq!(handshake_kind(&stage), HandshakeKind::Resumed);
        }
        stage.bed.publish_generation(Some(Generation(2)));
        assert_eq!(handshake_kind(&stage), HandshakeKind::Full, "what is new was agreed anew");
        assert_eq!(handshake_kind(&stage), HandshakeKind::Resumed);
    }
}
