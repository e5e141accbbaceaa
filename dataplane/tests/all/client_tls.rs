//! TLS towards the client: order, new keys, ends of every kind, and what a client does wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use dataplane::IoChoice;
use rustls::version::{TLS12, TLS13};

use crate::support::client_tls::{Stage, Target};
use crate::support::{Options, accept, tls};

on_both_drivers! {
    much_data_in_both_directions_survives_new_keys_and_either_kind_of_target,
    a_client_that_has_said_that_it_is_done_still_gets_its_answer,
    a_target_that_is_done_is_said_to_be_and_is_still_sent_to,
    a_client_that_goes_without_a_word_has_ended_like_any_other,
    a_client_that_says_its_end_in_the_handshake_is_not_waited_for,
    a_cut_off_target_leaves_its_client_without_the_word_of_an_end,
    records_that_nobody_can_read_end_the_session_behind_what_was_good,
    a_flood_of_tiny_records_arrives_in_order_and_holds_up_nobody,
    a_client_that_stops_reading_stops_the_target_and_loses_nothing,
    what_is_no_tls_is_answered_by_an_alert_and_counted,
    a_tls_handshake_that_is_not_finished_meets_the_deadline,
    a_failure_is_told_inside_tls,
    data_behind_the_handshake_is_not_lost,
}

/// A sequence of bytes of which every part can be told from every other.
fn pattern(len: usize) -> Vec<u8> {
    (0..len / 8 + 1)
        .flat_map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(len)
        .collect()
}

/// Everything that comes, and what it ended with.
fn read_all(from: &mut impl Read) -> (Vec<u8>, Result<usize, ErrorKind>) {
    let mut data = Vec::new();
    let end = from.read_to_end(&mut data).map_err(|error| error.kind());
    (data, end)
}

fn much_data_in_both_directions_survives_new_keys_and_either_kind_of_target(io: IoChoice) {
    const LEN: usize = 4 << 20;
    let expected = pattern(LEN);
    for (version, is_encrypted) in [(&TLS13, false), (&TLS13, true), (&TLS12, false), (&TLS12, true)] {
        let stage = Stage::new(io, is_encrypted);
        let (mut client, mut target) = stage.session(version);
        // One way first, for a stream without a word from the other side is moved otherwise than a talk.
        let copy = expected.clone();
        let mut receiving = target.socket().try_clone().unwrap();
        if is_encrypted {
            let sending = thread::spawn(move || {
                client.write_all(&copy).unwrap();
                client
            });
            let mut received = vec![0; LEN];
            target.read_exact(&mut received).unwrap();
            assert!(received == expected, "bytes were lost, doubled or reordered on their way to the target");
            client = sending.join().unwrap();
        } else {
            let reading = thread::spawn(move || {
                let mut received = vec![0; LEN];
                receiving.read_exact(&mut received).unwrap();
                received
            });
            client.write_all(&copy).unwrap();
            assert!(reading.join().unwrap() == expected, "bytes were lost, doubled or reordered");
        }
        // Then both ways, with new keys at every turn.
        let answering = thread::spawn(move || {
            let mut piece = vec![0; 50_000];
            let mut moved = 0;
            while moved < LEN {
                let len = target.read(&mut piece).unwrap();
                target.write_all(&piece[..len]).unwrap();
                moved += len;
            }
            target
        });
        let mut received = Vec::new();
        for piece in expected.chunks(60_000) {
            if version.version == TLS13.version {
                client.conn.refresh_traffic_keys().unwrap();
            }
            client.write_all(piece).unwrap();
            let mut echo = vec![0; piece.len()];
            client.read_exact(&mut echo).unwrap();
            received.extend(echo);
        }
        assert!(received == expected, "bytes were lost, doubled or reordered on their way back");
        let mut target = answering.join().unwrap();
        // And the other way alone.
        let copy = expected.clone();
        let sending = thread::spawn(move || {
            target.write_all(&copy).unwrap();
            target.close();
            target
        });
        let (data, end) = read_all(&mut client);
        assert!(data == expected, "bytes were lost, doubled or reordered on their way to the client");
        assert_eq!(end, Ok(LEN), "the end is the target's own");
        drop((client, sending.join().unwrap()));
        stage.await_end();
        let totals = stage.bed.runtime.totals();
        assert_eq!((totals.bytes_to_target, totals.bytes_to_client), (2 * LEN as u64, 2 * LEN as u64));
    }
}

fn a_client_that_has_said_that_it_is_done_still_gets_its_answer(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let (mut client, mut target) = stage.session(&TLS13);
        client.write_all(b"question").unwrap();
        tls::close(&mut client);
        assert_eq!(read_all(&mut target), (b"question".to_vec(), Ok(8)));
        target.write_all(b"answer").unwrap();
        target.close();
        drop(target);
        assert_eq!(read_all(&mut client), (b"answer".to_vec(), Ok(6)));
    }
}

fn a_target_that_is_done_is_said_to_be_and_is_still_sent_to(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let (mut client, mut target) = stage.session(&TLS13);
        target.write_all(b"all of it").unwrap();
        target.close();
        assert_eq!(read_all(&mut client), (b"all of it".to_vec(), Ok(9)));
        client.write_all(b"thanks").unwrap();
        tls::close(&mut client);
        assert_eq!(read_all(&mut target), (b"thanks".to_vec(), Ok(6)));
        drop((client, target));
        stage.await_end();
    }
}

fn a_client_that_goes_without_a_word_has_ended_like_any_other(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let (mut client, mut target) = stage.session(&TLS13);
        client.write_all(b"question").unwrap();
        client.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut target), (b"question".to_vec(), Ok(8)));
        target.write_all(b"answer").unwrap();
        target.close();
        drop(target);
        assert_eq!(read_all(&mut client), (b"answer".to_vec(), Ok(6)));
        assert_eq!(stage.bed.runtime.totals().failed.iter().sum::<u64>(), 0);
    }
}

fn a_client_that_says_its_end_in_the_handshake_is_not_waited_for(io: IoChoice) {
    let stage = Stage::new(io, false);
    let mut client = tls::connect(stage.bed.address, &TLS13);
    tls::close(&mut client);
    let (told, end) = read_all(&mut client);
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("!the client closed"), "{told}");
    assert_eq!(end, Ok(told.len()));
    drop(client);
    stage.await_end();
    assert_eq!(stage.failed("client_closed"), 1);
}

fn a_cut_off_target_leaves_its_client_without_the_word_of_an_end(io: IoChoice) {
    let stage = Stage::new(io, true);
    let sent = pattern(8 << 20);
    let (mut client, mut target) = stage.session(&TLS13);
    let copy = sent.clone();
    let sending = thread::spawn(move || {
        target.write_all(&copy).unwrap();
        target.socket().shutdown(Shutdown::Write).unwrap();
        target
    });
    let (data, end) = read_all(&mut client);
    assert!(data == sent, "{} bytes came, or others", data.len());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    drop(sending.join().unwrap());
    stage.await_end();
    assert_eq!(stage.failed("target_cut_off"), 1);
}

fn records_that_nobody_can_read_end_the_session_behind_what_was_good(io: IoChoice) {
    let garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let overlong = [&[0x17, 3, 3, 0x41, 0x01][..], &[0; 0x4101]].concat();
    let forged = [&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat();
    for hostile in [garbage, overlong, forged] {
        for is_encrypted in [false, true] {
            let stage = Stage::new(io, is_encrypted);
            let (mut client, mut target) = stage.session(&TLS13);
            // In the handshake it would be another story: nothing would have been delivered yet.
            target.write_all(b"!").unwrap();
            client.read_exact(&mut [0]).unwrap();
            // In one segment: what was good is still held when it turns out that the rest is not.
            let mut sent = Vec::new();
            client.conn.writer().write_all(b"good").unwrap();
            client.conn.write_tls(&mut sent).unwrap();
            sent.extend_from_slice(&hostile);
            client.sock.write_all(&sent).unwrap();
            assert_eq!(read_all(&mut target), (b"good".to_vec(), Ok(4)));
            // It is told what was wrong.
            let told = client.read(&mut [0]).unwrap_err().to_string();
            assert!(told.contains("fatal alert"), "{told}");
            drop((client, target));
            stage.await_end();
            assert_eq!((stage.failed("client_tls"), stage.failed("target_cut_off")), (1, 0));
        }
    }
}

fn a_flood_of_tiny_records_arrives_in_order_and_holds_up_nobody(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let sent = pattern(100_000);
        let (mut client, mut target) = stage.session(&TLS13);
        let (mut other, mut other_target) = stage.session(&TLS13);
        let copy = sent.clone();
        let flooding = thread::spawn(move || {
            tls::send_tiny_records(&mut client, &copy);
            tls::close(&mut client);
            client
        });
        let receiving = thread::spawn(move || (read_all(&mut target), target));
        while !flooding.is_finished() {
            other.write_all(b"ping").unwrap();
            let mut ping = [0; 4];
            other_target.read_exact(&mut ping).unwrap();
            assert_eq!(&ping, b"ping");
        }
        let ((data, end), _target) = receiving.join().unwrap();
        assert!(data == sent, "{} of {} bytes came, or others", data.len(), sent.len());
        assert_eq!(end, Ok(sent.len()));
        drop(flooding.join().unwrap());
    }
}

fn a_client_that_stops_reading_stops_the_target_and_loses_nothing(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let (mut stopped, mut target) = stage.session(&TLS13);
        let (mut other, mut other_target) = stage.session(&TLS13);
        target.socket().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let block = vec![7u8; 1 << 20];
        let mut sent = 0;
        // Until nothing more goes in for a while. What is written to a TLS session counts, for it is sent later.
        loop {
            match target.write(&block) {
                Ok(len) => sent += len,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
            assert!(sent < 256 << 20, "{sent} bytes were taken for a reader that does not read");
        }
        // What it takes to be served while another one does not read.
        for _ in 0..100 {
            other.write_all(b"ping").unwrap();
            other_target.read_exact(&mut [0; 4]).unwrap();
        }
        target.socket().set_write_timeout(None).unwrap();
        let receiving = thread::spawn(move || read_all(&mut stopped));
        target.flush().unwrap();
        target.close();
        let (data, end) = receiving.join().unwrap();
        assert!(data.len() >= sent && data.iter().all(|byte| *byte == 7));
        assert_eq!(end, Ok(data.len()));
    }
}

fn what_is_no_tls_is_answered_by_an_alert_and_counted(io: IoChoice) {
    let stage = Stage::new(io, true);
    for hostile in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0x16, 3, 1, 0, 4, 1, 0, 0, 0]]
    {
        let before = stage.failed("client_tls");
        let mut client = TcpStream::connect(stage.bed.address).unwrap();
        client.write_all(&[b"t", hostile].concat()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (data, end) = read_all(&mut client);
        assert_eq!((data.first(), end.is_ok()), (Some(&0x15), true), "{data:x?}");
        assert_eq!(stage.failed("client_tls"), before + 1);
    }
    stage.listener.set_nonblocking(true).unwrap();
    assert!(stage.listener.accept().is_err(), "no target is bothered");
}

fn a_tls_handshake_that_is_not_finished_meets_the_deadline(io: IoChoice) {
    let mut options = Options::on(io);
    options.timeouts.handshake = Duration::from_millis(300);
    let stage = Stage::with(options);
    let mut silent = TcpStream::connect(stage.bed.address).unwrap();
    silent.write_all(b"t").unwrap();
    let mut slow = TcpStream::connect(stage.bed.address).unwrap();
    slow.write_all(&[b't', 0x16, 3, 1, 0, 200]).unwrap();
    for client in [&mut silent, &mut slow] {
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (_, end) = read_all(client);
        assert!(end.is_ok(), "{end:?}");
    }
    assert_eq!(stage.failed("client_timeout"), 2);
}

fn a_failure_is_told_inside_tls(io: IoChoice) {
    let stage = Stage::new(io, false);
    let Stage { bed, listener, .. } = stage;
    // Nobody listens there any more.
    drop(listener);
    let mut client = tls::connect(bed.address, &TLS13);
    client.write_all(b"x").unwrap();
    let (told, end) = read_all(&mut client);
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("!dial tcp") && told.contains("connection refused"), "{told}");
    assert_eq!(end, Ok(told.len()), "its end is said too");
}

fn data_behind_the_handshake_is_not_lost(io: IoChoice) {
    for is_encrypted in [false, true] {
        let stage = Stage::new(io, is_encrypted);
        let mut client = tls::connect(stage.bed.address, &TLS13);
        client.write_all(b"xfirst").unwrap();
        client.write_all(b" second").unwrap();
        tls::close(&mut client);
        let mut target = if is_encrypted {
            Target::Encrypted(Box::new(tls::accept(&stage.listener, &tls::server(&TLS13))))
        } else {
            Target::Plain(accept(&stage.listener))
        };
        assert_eq!(read_all(&mut target), (b"first second".to_vec(), Ok(12)));
    }
}
