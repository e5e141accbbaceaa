//! The relay between real sockets, over each driver: order, ends, residues, back-pressure, limits.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{Bed, Options, accept, await_that, connect, fill, take_all, target};
use dataplane::{Address, IoChoice};

on_both_drivers! {
    bytes_behind_the_handshake_reach_the_target_first,
    a_client_that_has_finished_still_gets_its_answer,
    a_target_that_has_finished_is_still_sent_to,
    what_a_target_has_sent_reaches_the_client_though_it_takes_nothing_more,
    a_session_that_has_lost_its_target_does_not_hold_up_a_drain,
    much_data_in_both_directions_arrives_as_it_was_sent,
    a_reader_that_stops_stops_the_writer_and_nobody_else,
    a_reset_of_one_side_ends_the_other,
    a_session_waits_for_a_credential_that_has_not_come,
    a_credential_that_never_comes_is_told_at_the_deadline,
    a_target_that_refuses_is_told_with_its_address,
    a_target_that_does_not_answer_is_left_alone_until_it_does,
    sessions_beyond_the_limit_are_told_so_and_places_come_back,
    a_thousand_sessions_at_once_each_get_their_own_bytes,
    connections_are_shared_by_the_workers,
    a_retired_listener_serves_what_is_queued_and_is_let_go_of,
    closing_all_sessions_tells_handshakes_why,
}

/// A sequence of bytes of which every part can be told from every other.
fn pattern(len: usize) -> Vec<u8> {
    (0..len / 8 + 1)
        .flat_map(|i| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(len)
        .collect()
}

fn bytes_behind_the_handshake_reach_the_target_first(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let mut client = connect(&bed, b"residue ");
    let mut target = accept(&listener);
    client.write_all(b"and more").unwrap();
    let mut received = [0; 16];
    target.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"residue and more");
    target.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
}

fn a_client_that_has_finished_still_gets_its_answer(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let mut client = connect(&bed, b"question");
    let mut target = accept(&listener);
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    target.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    target.write_all(b"a late answer").unwrap();
    drop(target);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"a late answer");
    drop(client);
    await_that("the session to end", || bed.plane.connections() == 0);
}

fn a_target_that_has_finished_is_still_sent_to(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let mut client = connect(&bed, b"");
    let mut target = accept(&listener);
    target.shutdown(Shutdown::Write).unwrap();
    let mut nothing = Vec::new();
    client.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    client.write_all(b"and yet it moves").unwrap();
    drop(client);
    let mut received = Vec::new();
    target.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"and yet it moves");
}

fn what_a_target_has_sent_reaches_the_client_though_it_takes_nothing_more(io: IoChoice) {
    for is_draining in [false, true] {
        assert_last_words_arrive(io, is_draining);
    }
}

fn assert_last_words_arrive(io: IoChoice, is_draining: bool) {
    let dir = std::env::temp_dir().join(format!("relay-{}-{io:?}-{is_draining}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("target");
    let listener = UnixListener::bind(&path).unwrap();
    let bed = Bed::to(Address::Unix(path), Options::on(io));
    let mut client = connect(&bed, b"");
    let (mut target, _) = listener.accept().unwrap();
    std::fs::remove_dir_all(dir).unwrap();

    // The client does not read, so much of this still lies in the target's socket when the target goes.
    target.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let sent = pattern(64 << 20);
    let mut len = 0;
    while let Ok(n) = target.write(&sent[len..]) {
        len += n;
    }
    drop(target);
    if is_draining {
        bed.plane.drain();
    }
    // The broker learns from a send that there is nobody to be sent to.
    client.write_all(b"are you there?").unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), len);
    assert!(received == sent[..len], "every byte is as it was sent");
    drop(client);
    await_that("the session to end", || bed.plane.connections() == 0);
}

fn a_session_that_has_lost_its_target_does_not_hold_up_a_drain(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let [mut before, mut after, mut whole] = std::array::from_fn(|_| connect(&bed, b""));
    let [first, second, _third] = std::array::from_fn(|_| accept(&listener));
    let mut nothing = Vec::new();
    drop(first);
    before.read_to_end(&mut nothing).unwrap();
    bed.plane.drain();
    await_that("the session without a target to end", || bed.plane.connections() == 2);
    drop(second);
    after.read_to_end(&mut nothing).unwrap();
    await_that("the session that loses its target then to end", || bed.plane.connections() == 1);
    assert!(nothing.is_empty());
    whole.write_all(b"still there").unwrap();
}

fn much_data_in_both_directions_arrives_as_it_was_sent(io: IoChoice) {
    const LEN: usize = 64 << 20;
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let client = connect(&bed, b"");
    let target = accept(&listener);
    let send = |mut socket: TcpStream| {
        thread::spawn(move || {
            let data = pattern(LEN);
            // Small and large pieces by turns.
            let mut rest = data.as_slice();
            for size in [1usize, 100_000, 17, 1 << 20, 4096].into_iter().cycle() {
                let (piece, behind) = rest.split_at(size.min(rest.len()));
                socket.write_all(piece).unwrap();
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            socket.shutdown(Shutdown::Write).unwrap();
        })
    };
    let receive = |mut socket: TcpStream| {
        thread::spawn(move || {
            let mut data = Vec::new();
            socket.read_to_end(&mut data).unwrap();
            data
        })
    };
    let senders = [send(client.try_clone().unwrap()), send(target.try_clone().unwrap())];
    let receivers = [receive(client), receive(target)];
    let expected = pattern(LEN);
    for receiver in receivers {
        assert!(receiver.join().unwrap() == expected, "bytes were lost, doubled or reordered");
    }
    for sender in senders {
        sender.join().unwrap();
    }
    let totals = bed.runtime.totals();
    assert_eq!((totals.bytes_to_target, totals.bytes_to_client), (LEN as u64, LEN as u64));
}

fn a_reader_that_stops_stops_the_writer_and_nobody_else(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let mut stopped = connect(&bed, b"");
    let mut flooder = accept(&listener);
    flooder.set_nonblocking(true).unwrap();
    let block = vec![7u8; 1 << 20];
    let mut sent = 0usize;
    // Until nothing more goes in for as long as another session's round trips take.
    let mut quiet = 0;
    let mut other = connect(&bed, b"");
    let mut other_target = accept(&listener);
    while quiet < 200 {
        match flooder.write(&block) {
            Ok(n) => {
                sent += n;
                quiet = 0;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        other.write_all(b"ping").unwrap();
        let mut ping = [0; 4];
        other_target.read_exact(&mut ping).unwrap();
        quiet += 1;
    }
    // What lies in the two sockets' buffers and ours together; without back-pressure it would be without bound.
    assert!(sent < 64 << 20, "{sent} bytes were taken for a reader that does not read");
    flooder.set_nonblocking(false).unwrap();
    flooder.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stopped.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), sent);
}

fn a_reset_of_one_side_ends_the_other(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let client = connect(&bed, b"");
    let mut target = accept(&listener);
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    let mut rest = Vec::new();
    // Whether it sees the end or a reset, it sees that it is over.
    let _ = target.read_to_end(&mut rest);
    drop(target);
    await_that("the session to end", || bed.plane.connections() == 0);
}

fn a_session_waits_for_a_credential_that_has_not_come(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options { with_credential: false, ..Options::on(io) });
    let mut client = connect(&bed, b"early");
    await_that("the report", || {
        std::iter::from_fn(|| bed.plane.next_report())
            .any(|report| matches!(report, dataplane::Report::CredentialWanted(_)))
    });
    bed.publish(true);
    let mut target = accept(&listener);
    let mut early = [0; 5];
    target.read_exact(&mut early).unwrap();
    target.write_all(b"late").unwrap();
    let mut late = [0; 4];
    client.read_exact(&mut late).unwrap();
    assert_eq!(&late, b"late");
}

fn a_credential_that_never_comes_is_told_at_the_deadline(io: IoChoice) {
    let (_listener, address) = target();
    let mut options = Options { with_credential: false, ..Options::on(io) };
    options.timeouts.handshake = Duration::from_millis(50);
    let bed = Bed::new(address, options);
    let mut client = connect(&bed, b"");
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert_eq!(told, "!the credential is not there yet");
}

fn a_target_that_refuses_is_told_with_its_address(io: IoChoice) {
    let (listener, address) = target();
    drop(listener);
    let bed = Bed::new(address, Options::on(io));
    let mut client = connect(&bed, b"");
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert_eq!(told, format!("!dial tcp {address}: connect: connection refused"));
}

fn a_target_that_does_not_answer_is_left_alone_until_it_does(io: IoChoice) {
    let (listener, address) = target();
    let queued = fill(&listener, address);
    let mut options = Options::on(io);
    options.timeouts.dial = Duration::from_millis(50);
    let bed = Bed::new(address, options);
    let ask = || {
        let mut told = String::new();
        connect(&bed, b"").read_to_string(&mut told).unwrap();
        told
    };
    let timeout = format!("!dial tcp {address}: i/o timeout");
    assert_eq!([ask(), ask(), ask()], [&*timeout, &timeout, &timeout]);
    let told = ask();
    assert!(told.starts_with(&timeout) && told.contains("dialled again every few seconds"), "{told}");
    assert!(bed.endpoint.is_left_alone());

    drop(queued);
    take_all(&listener);
    await_that("somebody is let through", || {
        let mut client = connect(&bed, b"");
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // It is told that it was not let through, or hears nothing.
        let _ = client.read(&mut [0]);
        !bed.endpoint.is_left_alone()
    });
}

fn sessions_beyond_the_limit_are_told_so_and_places_come_back(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options { sessions_max: 2, ..Options::on(io) });
    let first = connect(&bed, b"");
    let _first_target = accept(&listener);
    let _second = connect(&bed, b"");
    let _second_target = accept(&listener);
    let mut told = String::new();
    connect(&bed, b"").read_to_string(&mut told).unwrap();
    assert_eq!(told, "!too many sessions of this service; see `limits: sessions`");
    drop(first);
    drop(_first_target);
    await_that("a place", || bed.runtime.sessions() == 1);
    let mut third = connect(&bed, b"hello");
    let mut third_target = accept(&listener);
    let mut hello = [0; 5];
    third_target.read_exact(&mut hello).unwrap();
    third_target.write_all(b"!").unwrap();
    third.read_exact(&mut hello[..1]).unwrap();
}

fn a_thousand_sessions_at_once_each_get_their_own_bytes(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options { workers: 2, sessions_max: 2000, ..Options::on(io) });
    let echo = thread::spawn(move || {
        let mut targets = Vec::new();
        for _ in 0..1000 {
            targets.push(accept(&listener));
        }
        for target in &mut targets {
            let mut bytes = [0; 8];
            target.read_exact(&mut bytes).unwrap();
            target.write_all(&bytes).unwrap();
        }
        targets
    });
    let mut clients: Vec<TcpStream> = (0..1000u64).map(|i| connect(&bed, &i.to_le_bytes())).collect();
    let targets = echo.join().unwrap();
    for (i, client) in clients.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), i as u64);
    }
    drop((clients, targets));
    await_that("all sessions to end", || bed.plane.connections() == 0);
    assert_eq!(bed.runtime.totals().closed, 1000);
}

fn connections_are_shared_by_the_workers(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options { workers: 2, ..Options::on(io) });
    let sessions: Vec<_> = (0..500).map(|_| (connect(&bed, b""), accept(&listener))).collect();
    let shares = [0, 1].map(|worker| bed.runtime.worker(worker).opened.get());
    assert_eq!(shares.iter().sum::<u64>(), sessions.len() as u64);
    // One comes behind the other, so nobody is too busy to be woken in turn.
    assert!(shares.iter().all(|share| *share > 150), "{shares:?}");
}

fn a_retired_listener_serves_what_is_queued_and_is_let_go_of(io: IoChoice) {
    let (listener, address) = target();
    let bed = Bed::new(address, Options { workers: 2, ..Options::on(io) });
    let mut client = connect(&bed, b"queued");
    bed.plane.retire(dataplane::ListenerId(1));
    let (told, retired) = mpsc::channel();
    let mut count = 0;
    await_that("both workers to let go", || {
        count += std::iter::from_fn(|| bed.plane.next_report())
            .filter(|report| matches!(report, dataplane::Report::Retired(_)))
            .count();
        count == 2
    });
    told.send(()).unwrap();
    retired.recv().unwrap();
    let mut target = accept(&listener);
    let mut queued = [0; 6];
    target.read_exact(&mut queued).unwrap();
    target.write_all(b"served").unwrap();
    client.read_exact(&mut queued).unwrap();
    assert_eq!(&queued, b"served");
    assert!(TcpStream::connect(bed.address).is_err(), "the socket is closed");
}

fn closing_all_sessions_tells_handshakes_why(io: IoChoice) {
    let (_listener, address) = target();
    let bed = Bed::new(address, Options { with_credential: false, ..Options::on(io) });
    let mut client = connect(&bed, b"");
    await_that("the connection", || bed.plane.connections() == 1);
    bed.plane.close_sessions();
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert_eq!(told, "!the broker is shutting down");
}
