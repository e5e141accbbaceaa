//! What is sent and received.

use std::time::Duration;

use bytes::Bytes;
use rustix::io::{Errno, read, write};
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::super::{Chunk, Chunks, Completion, Interest, Kind, Received, Token, Way};
use super::{DEADLINE, Driver, bytes, is_quiet, next, pair_of, received, tcp_pair, token, turn};

on_both_drivers! {
    a_send_that_was_whole_is_over_when_the_turn_is_and_says_nothing,
    a_send_that_the_socket_does_not_take_comes_back_with_its_count,
    a_send_to_nobody_comes_back_with_its_error,
    short_sends_come_before_everything_else,
    a_receive_goes_on_until_its_cancel_and_ends_once,
    a_cancelled_receive_loses_nothing,
    a_cancel_of_a_receive_that_is_over_says_nothing,
    the_end_of_a_peer_ends_the_receive_behind_its_last_byte,
    a_reset_ends_the_receive_with_its_error,
    more_data_than_buffers_is_told_and_not_lost,
    a_descriptor_that_is_used_again_is_a_new_socket,
    a_conduit_moves_what_a_socket_has,
}

fn a_send_that_was_whole_is_over_when_the_turn_is_and_says_nothing<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let mut chunks = Chunks::One(bytes(b"first "));
    chunks.push(bytes(b"second"));
    driver.send(token(Kind::ClientSend), &ours, chunks);
    assert!(turn(&mut driver, Duration::ZERO).is_empty());
    let mut received = [0; 12];
    assert_eq!(read(&theirs, &mut received), Ok(12));
    assert_eq!(&received, b"first second");
}

fn a_send_that_the_socket_does_not_take_comes_back_with_its_count<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let block = Bytes::from(vec![1u8; 64 << 20]);
    driver.send(token(Kind::ClientSend), &ours, Chunks::One(Chunk::Bytes(block.clone())));
    let completions = turn(&mut driver, DEADLINE);
    let [Completion::SendShort { token: short, sent, error: None, chunks }] = completions.as_slice() else {
        panic!("one short send is expected")
    };
    assert_eq!((*short, chunks.as_slice().len()), (token(Kind::ClientSend), 1));
    assert!(*sent > 0 && *sent < block.len());
    let mut arrived = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(n) = read(&theirs, &mut buffer) {
        arrived += n;
    }
    assert_eq!(arrived, *sent, "the count is of what went out");
}

fn a_send_to_nobody_comes_back_with_its_error<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    drop(theirs);
    driver.send(token(Kind::TargetSend), &ours, Chunks::One(bytes(b"hello")));
    let completions = turn(&mut driver, DEADLINE);
    assert!(
        matches!(completions.as_slice(), [Completion::SendShort { sent: 0, error: Some(Errno::PIPE), .. }]),
        "a broken pipe is an error, not a signal"
    );
}

fn short_sends_come_before_everything_else<D: Driver>() {
    let mut driver = D::open();
    let (receiving, sender) = pair_of(&driver);
    let (gone, peer) = pair_of(&driver);
    let (cancelled, _other) = pair_of(&driver);
    drop(peer);
    driver.receive(token(Kind::ClientReceive), &receiving);
    driver.poll(token(Kind::ClientWritable), &receiving, Interest::Writable);
    driver.receive(token(Kind::TargetReceive), &cancelled);
    write(&sender, b"early").expect("the pair is open");
    driver.cancel(token(Kind::TargetReceive), &cancelled);
    driver.send(token(Kind::TargetSend), &gone, Chunks::One(bytes(b"late")));
    let mut completions = turn(&mut driver, DEADLINE);
    while completions.len() < 4 {
        completions.extend(next(&mut driver));
    }
    assert!(matches!(completions[0], Completion::SendShort { .. }));
    let shorts = completions.iter().filter(|one| matches!(one, Completion::SendShort { .. }));
    assert_eq!((completions.len(), shorts.count()), (4, 1));
}

fn a_receive_goes_on_until_its_cancel_and_ends_once<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let receive = token(Kind::ClientReceive);
    driver.receive(receive, &ours);
    for content in [&b"one"[..], b"two"] {
        write(&theirs, content).expect("the pair is open");
        match next(&mut driver).as_slice() {
            [Completion::Received { token, received: Received::Data(lease), armed: true }] => {
                assert_eq!((*token, &**lease), (receive, content));
            }
            _ => panic!("data is expected, and more of it"),
        }
    }
    driver.cancel(receive, &ours);
    let (data, last) = received(next(&mut driver));
    assert!(data.is_empty() && matches!(last, Some(Received::Cancelled)));
    write(&theirs, b"three").expect("the pair is open");
    assert!(is_quiet(&mut driver), "nobody receives any more");
}

fn a_cancelled_receive_loses_nothing<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let receive = token(Kind::TargetReceive);
    let (mut sent, mut arrived) = (Vec::new(), Vec::new());
    for round in 0..200u8 {
        driver.receive(receive, &ours);
        for piece in 0..4 {
            // In every order of data, turn and cancel.
            if round & (1 << piece) != 0 {
                arrived.extend(received(turn(&mut driver, Duration::ZERO)).0);
            }
            write(&theirs, &[round, piece]).expect("the pair is open");
            sent.extend([round, piece]);
        }
        driver.cancel(receive, &ours);
        let mut over = false;
        while !over {
            let (data, last) = received(next(&mut driver));
            arrived.extend(data);
            over = last.is_some();
            assert!(matches!(last, None | Some(Received::Cancelled)));
        }
    }
    driver.receive(receive, &ours);
    while arrived.len() < sent.len() {
        arrived.extend(received(next(&mut driver)).0);
    }
    assert_eq!(arrived, sent);
}

fn a_cancel_of_a_receive_that_is_over_says_nothing<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let receive = token(Kind::ClientReceive);
    driver.receive(receive, &ours);
    drop(theirs);
    let completions = next(&mut driver);
    // As a session does that hears of something else before it hears of this.
    driver.cancel(receive, &ours);
    assert!(matches!(received(completions), (_, Some(Received::End))));
    assert!(is_quiet(&mut driver));
}

fn the_end_of_a_peer_ends_the_receive_behind_its_last_byte<D: Driver>() {
    let mut driver = D::open();
    for len in [0, 1, 16 * 1024, 40_000] {
        let (ours, theirs) = pair_of(&driver);
        driver.receive(token(Kind::TargetReceive), &ours);
        let mut written = 0;
        while written < len {
            written += send(&theirs, &vec![5; len - written], SendFlags::DONTWAIT).expect("there is room");
        }
        shutdown(&theirs, Shutdown::Write).expect("it is connected");
        let mut arrived = 0;
        loop {
            let (data, last) = received(next(&mut driver));
            arrived += data.len();
            match last {
                None => {}
                Some(Received::End) => break,
                Some(_) => panic!("an end is expected"),
            }
        }
        assert_eq!(arrived, len);
        // The other way is still open.
        driver.send(token(Kind::TargetSend), &ours, Chunks::One(bytes(b"bye")));
        assert!(is_quiet(&mut driver));
        assert_eq!(read(&theirs, &mut [0; 8]), Ok(3));
    }
}

fn a_reset_ends_the_receive_with_its_error<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = tcp_pair(&driver);
    driver.receive(token(Kind::ClientReceive), &ours);
    assert!(is_quiet(&mut driver));
    rustix::net::sockopt::set_socket_linger(&theirs, Some(Duration::ZERO)).expect("it is a socket");
    drop(theirs);
    let (data, last) = received(next(&mut driver));
    assert!(data.is_empty() && matches!(last, Some(Received::Failed(Errno::CONNRESET))));
    assert!(is_quiet(&mut driver));
}

fn more_data_than_buffers_is_told_and_not_lost<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let receive = token(Kind::ClientReceive);
    driver.receive(receive, &ours);
    let (mut written, mut received, mut starved) = (0, 0, 0);
    let mut kept = Vec::new();
    // Leases that nobody gives back use up all buffers.
    while starved == 0 {
        if let Ok(n) = write(&theirs, &[3; 64]) {
            written += n;
        }
        for completion in turn(&mut driver, Duration::ZERO) {
            match completion {
                Completion::Received { received: Received::Data(lease), .. } => {
                    received += lease.len();
                    kept.push(lease);
                }
                Completion::Received { received: Received::NoBuffer, armed, .. } => {
                    assert!(!armed);
                    starved += 1;
                }
                _ => panic!("data or the want of a buffer is expected"),
            }
        }
    }
    assert!(is_quiet(&mut driver), "it was told once");
    kept.clear();
    driver.receive(receive, &ours);
    while received < written {
        for completion in next(&mut driver) {
            let Completion::Received { received: Received::Data(lease), .. } = completion else {
                panic!("the data is still there")
            };
            received += lease.len();
        }
    }
    assert_eq!(received, written);
}

fn a_descriptor_that_is_used_again_is_a_new_socket<D: Driver>() {
    let mut driver = D::open();
    for epoch in 0..50u8 {
        // The kernel gives the lowest free numbers: those of the round before.
        let (ours, theirs) = pair_of(&driver);
        let receive = Token { epoch, ..token(Kind::TargetReceive) };
        driver.receive(receive, &ours);
        write(&theirs, &[epoch]).expect("the pair is open");
        match next(&mut driver).as_slice() {
            [Completion::Received { token, received: Received::Data(lease), armed: true }] => {
                assert_eq!((*token, &**lease), (receive, &[epoch][..]));
            }
            _ => panic!("this socket's byte is expected"),
        }
        // By a cancel or by itself; then the socket is dropped without another word.
        if epoch % 2 == 0 {
            driver.cancel(receive, &ours);
        } else {
            drop(theirs);
        }
        assert!(received(next(&mut driver)).1.is_some());
    }
    assert!(is_quiet(&mut driver));
}

fn a_conduit_moves_what_a_socket_has<D: Driver>() {
    let mut driver = D::open();
    for way in [Way::Splice, Way::Copy] {
        let (from, source) = pair_of(&driver);
        let (to, sink) = pair_of(&driver);
        let mut conduit = driver.lend(way).expect("there is room for one");
        assert_eq!(driver.fill(&from, &mut conduit, 1 << 20), Err(Errno::AGAIN));
        write(&source, b"in bulk").expect("the pair is open");
        assert_eq!(driver.fill(&from, &mut conduit, 1 << 20), Ok(7));
        assert_eq!(driver.drain(&mut conduit, 2, &to).map(|sent| sent.min(2)), Ok(2));
        let mut arrived = [0; 8];
        let sent = read(&sink, &mut arrived).expect("it was sent");
        let rest = driver.take_back(conduit, 7 - sent);
        assert_eq!([&arrived[..sent], &rest[..]].concat(), b"in bulk");
    }
}
