//! Polls, wakes and sleep; how connections begin.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::super::{Chunk, Chunks, Completion, Connect, Interest, Io, Kind, Received, Socket};
use super::{DEADLINE, Driver, is_quiet, listener, next, pair_of, received, tcp_pair, token, turn};
use crate::snapshot::Address;

on_both_drivers! {
    a_wake_comes_once_and_an_idle_turn_ends_with_its_time,
    a_poll_of_a_socket_comes_once,
    a_cancelled_poll_comes_once,
    a_full_socket_has_no_room_only_because_its_peer_has_finished,
    a_poll_for_room_does_not_disturb_a_receive,
    what_nobody_asks_for_ends_no_wait,
    a_connect_becomes_writable_when_it_is_decided,
    an_accept_takes_one_connection,
    a_cancelled_accept_is_told_and_takes_nothing_more,
}

fn a_wake_comes_once_and_an_idle_turn_ends_with_its_time<D: Driver>() {
    let mut driver = D::open();
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("descriptors are left");
    driver.poll_wake(token(Kind::Wake), event.as_fd());
    let began = Instant::now();
    assert!(turn(&mut driver, Duration::from_millis(1)).is_empty());
    assert!(began.elapsed() >= Duration::from_millis(1), "nothing was there to end it earlier");
    for _ in 0..2 {
        write(&event, &1u64.to_ne_bytes()).expect("the counter is far from full");
        assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(_)]));
        assert!(is_quiet(&mut driver), "a poll is one-shot");
        driver.poll_wake(token(Kind::Wake), event.as_fd());
        assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(_)]), "it was not read");
        read(&event, &mut [0; 8]).expect("it was told of");
        driver.poll_wake(token(Kind::Wake), event.as_fd());
        assert!(is_quiet(&mut driver), "it was read");
    }
}

fn a_full_socket_has_no_room_only_because_its_peer_has_finished<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let block = Bytes::from(vec![1u8; 4 << 20]);
    driver.send(token(Kind::ClientSend), &ours, Chunks::One(Chunk::Bytes(block)));
    assert!(matches!(turn(&mut driver, Duration::ZERO).as_slice(), [Completion::SendShort { .. }]));
    shutdown(&theirs, Shutdown::Write).expect("the pair is open");
    let writable = token(Kind::ClientWritable);
    driver.poll(writable, &ours, Interest::Writable);
    assert!(is_quiet(&mut driver), "nothing was read");
    driver.cancel(writable, &ours);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == writable));
    driver.poll(writable, &ours, Interest::Writable);
    assert!(is_quiet(&mut driver), "nothing was read");
    let mut buffer = vec![0; 1 << 20];
    while read(&theirs, &mut buffer).is_ok_and(|len| len > 0) {}
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == writable));
    assert!(is_quiet(&mut driver), "it was told of once");
}

fn a_poll_of_a_socket_comes_once<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let (readable, writable) = (token(Kind::ClientReadable), token(Kind::ClientWritable));
    driver.poll(readable, &ours, Interest::Readable);
    assert!(is_quiet(&mut driver), "there is nothing to read");
    driver.poll(writable, &ours, Interest::Writable);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == writable));
    assert!(is_quiet(&mut driver), "there is still room, but nobody asks");
    write(&theirs, b"something").expect("the pair is open");
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == readable));
    assert!(is_quiet(&mut driver), "it is still readable, but nobody asks");
    driver.poll(readable, &ours, Interest::Readable);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == readable));
    drop(theirs);
    assert!(is_quiet(&mut driver), "nobody asks");
    driver.poll(writable, &ours, Interest::Writable);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == writable));
}

fn a_cancelled_poll_comes_once<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let readable = token(Kind::ClientReadable);
    driver.poll(readable, &ours, Interest::Readable);
    assert!(is_quiet(&mut driver));
    driver.cancel(readable, &ours);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == readable));
    write(&theirs, b"something").expect("the pair is open");
    assert!(is_quiet(&mut driver));
}

fn a_poll_for_room_does_not_disturb_a_receive<D: Driver>() {
    let mut driver = D::open();
    let (ours, theirs) = pair_of(&driver);
    let (receive, writable) = (token(Kind::ClientReceive), token(Kind::ClientWritable));
    driver.receive(receive, &ours);
    driver.send(token(Kind::ClientSend), &ours, Chunks::One(Chunk::Bytes(Bytes::from(vec![1; 64 << 20]))));
    assert!(matches!(turn(&mut driver, DEADLINE).as_slice(), [Completion::SendShort { .. }]));
    driver.poll(writable, &ours, Interest::Writable);
    assert!(is_quiet(&mut driver), "there is no room");
    write(&theirs, b"one").expect("the pair is open");
    assert_eq!(received(next(&mut driver)).0, b"one");
    let mut buffer = vec![0; 1 << 20];
    while recv(&theirs, &mut buffer, RecvFlags::DONTWAIT).is_ok() {}
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(token)] if *token == writable));
    assert!(is_quiet(&mut driver));
    write(&theirs, b"two").expect("the pair is open");
    assert_eq!(received(next(&mut driver)).0, b"two");
}

fn what_nobody_asks_for_ends_no_wait<D: Driver>() {
    let mut driver = D::open();
    let (receive, writable) = (token(Kind::ClientReceive), token(Kind::ClientWritable));
    // A peer that has said its last word, and one that is gone altogether.
    let (ended, peer) = pair_of(&driver);
    driver.receive(receive, &ended);
    shutdown(&peer, Shutdown::Write).expect("it is connected");
    assert!(matches!(received(next(&mut driver)).1, Some(Received::End)));
    assert_is_asleep(&mut driver);
    drop(peer);
    assert_is_asleep(&mut driver);
    // One that has sent, and one that has gone, while nobody receives.
    let (paused, peer) = pair_of(&driver);
    driver.receive(receive, &paused);
    assert!(is_quiet(&mut driver));
    driver.cancel(receive, &paused);
    assert!(received(next(&mut driver)).1.is_some());
    write(&peer, b"unheard").expect("the pair is open");
    assert_is_asleep(&mut driver);
    drop(peer);
    assert_is_asleep(&mut driver);
    // One that has been reset.
    let (reset, peer) = tcp_pair(&driver);
    driver.receive(receive, &reset);
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).expect("it is a socket");
    drop(peer);
    assert!(received(next(&mut driver)).1.is_some());
    assert_is_asleep(&mut driver);
    // One with room, beside a receive; one whose poll was cancelled.
    let (roomy, _peer) = pair_of(&driver);
    driver.receive(receive, &roomy);
    driver.poll(writable, &roomy, Interest::Writable);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(_)]));
    assert_is_asleep(&mut driver);
    let (full, peer) = pair_of(&driver);
    driver.send(token(Kind::ClientSend), &full, Chunks::One(Chunk::Bytes(Bytes::from(vec![1; 64 << 20]))));
    assert_eq!(turn(&mut driver, DEADLINE).len(), 1);
    driver.poll(writable, &full, Interest::Writable);
    assert!(is_quiet(&mut driver));
    driver.cancel(writable, &full);
    assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(_)]));
    drop(peer);
    assert_is_asleep(&mut driver);
}

fn a_connect_becomes_writable_when_it_is_decided<D: Driver>() {
    let mut driver = D::open();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    for is_there in [true, false] {
        if !is_there {
            // Its port is refused now.
            shutdown(&listener, Shutdown::Both).expect("it listens");
        }
        let socket = match driver.connect(&Address::Tcp(address)) {
            Ok(Connect::InProgress(socket)) => socket,
            Ok(Connect::Done(_)) => continue,
            Ok(Connect::Busy) => panic!("only Unix sockets are"),
            Err(error) => {
                assert_eq!((is_there, error), (false, Errno::CONNREFUSED));
                continue;
            }
        };
        driver.poll(token(Kind::TargetWritable), &socket, Interest::Writable);
        assert!(matches!(next(&mut driver).as_slice(), [Completion::Ready(_)]));
        assert_eq!(socket.connect_result().is_ok(), is_there);
    }
}

fn an_accept_takes_one_connection<D: Driver>() {
    let mut driver = D::open();
    let (listener, connect) = listener();
    let accept = token(Kind::Accept);
    driver.accept(accept, listener.as_fd());
    assert!(is_quiet(&mut driver), "nobody has come");
    let (mut first, _second) = (connect(), connect());
    let accepted = accepted(next(&mut driver)).expect("somebody has come");
    assert!(is_quiet(&mut driver), "the other was not asked for");
    driver.receive(token(Kind::ClientReceive), &accepted);
    std::io::Write::write_all(&mut first, b"hello").expect("it is connected");
    assert_eq!(received(next(&mut driver)).0, b"hello");
    driver.accept(accept, listener.as_fd());
    assert!(self::accepted(next(&mut driver)).is_ok(), "it waited in the queue");
}

fn a_cancelled_accept_is_told_and_takes_nothing_more<D: Driver>() {
    let mut driver = D::open();
    let (listener, connect) = listener();
    let accept = token(Kind::Accept);
    driver.accept(accept, listener.as_fd());
    assert!(is_quiet(&mut driver));
    driver.cancel_accept(accept, listener.as_fd());
    assert!(accepted(next(&mut driver)).is_err());
    let _client = connect();
    assert!(is_quiet(&mut driver));
    assert!(driver.accept_queued(listener.as_fd()).is_ok(), "it is still in the queue");
    assert!(matches!(driver.accept_queued(listener.as_fd()), Err(Errno::AGAIN)));
}

/// Checks that turns that may wait do wait.
fn assert_is_asleep<I: Io>(driver: &mut I) {
    let until = Instant::now() + Duration::from_millis(5);
    let mut turns = 0;
    while Instant::now() < until {
        assert!(turn(driver, DEADLINE.min(until.saturating_duration_since(Instant::now()))).is_empty());
        turns += 1;
    }
    // A moment until it is noticed that nobody asks, and a timer that was set before.
    assert!(turns < 8, "{turns} waits in 5 ms");
}

/// What came of an accept.
fn accepted<S>(mut completions: Vec<Completion<S>>) -> Result<S, Errno> {
    match completions.pop() {
        Some(Completion::Accepted(accept, accepted)) if completions.is_empty() => {
            assert_eq!(accept, token(Kind::Accept));
            accepted
        }
        _ => panic!("one accept is expected"),
    }
}
