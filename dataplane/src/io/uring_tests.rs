//! The driver's promises, kept by the kernel: over socket pairs.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::super::{Chunk, Chunks, Completion, Io, Kind, Received, Token};
use super::Uring;

/// Long enough that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

fn token(kind: Kind) -> Token {
    Token { kind, epoch: 0, generation: 1, slot: 7 }
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("descriptors are left")
}

fn ring() -> Uring {
    Uring::new(1 << 20).expect("the kernel lets us have a ring")
}

fn turn(ring: &mut Uring, wait: Duration) -> Vec<Completion<OwnedFd>> {
    let mut completions = Vec::new();
    let until = (!wait.is_zero()).then(|| Instant::now() + wait);
    ring.turn(until, &mut completions);
    completions
}

fn bytes(content: &'static [u8]) -> Chunk {
    Chunk::Bytes(Bytes::from_static(content))
}

#[test]
fn a_send_that_was_whole_is_over_when_the_turn_is_and_says_nothing() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    let mut chunks = Chunks::One(bytes(b"first "));
    chunks.push(bytes(b"second"));
    ring.send(token(Kind::ClientSend), &ours, chunks);
    assert!(turn(&mut ring, Duration::ZERO).is_empty());
    let mut received = [0; 12];
    assert_eq!(read(&theirs, &mut received), Ok(12));
    assert_eq!(&received, b"first second");
}

#[test]
fn a_send_that_the_socket_does_not_take_comes_back_with_its_count() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    let block = Bytes::from(vec![1u8; 64 << 20]);
    ring.send(token(Kind::ClientSend), &ours, Chunks::One(Chunk::Bytes(block.clone())));
    let completions = turn(&mut ring, Duration::ZERO);
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

#[test]
fn a_send_to_nobody_comes_back_with_its_error() {
    let (ours, theirs) = pair();
    drop(theirs);
    let mut ring = ring();
    ring.send(token(Kind::TargetSend), &ours, Chunks::One(bytes(b"hello")));
    let completions = turn(&mut ring, Duration::ZERO);
    assert!(
        matches!(completions.as_slice(), [Completion::SendShort { sent: 0, error: Some(Errno::PIPE), .. }]),
        "a broken pipe is an error, not a signal"
    );
}

#[test]
fn a_receive_goes_on_until_its_cancel_and_ends_once() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    let receive = token(Kind::ClientReceive);
    ring.receive(receive, &ours);
    for content in [&b"one"[..], b"two"] {
        write(&theirs, content).expect("the pair is open");
        match turn(&mut ring, DEADLINE).as_slice() {
            [Completion::Received { token, received: Received::Data(lease), armed: true }] => {
                assert_eq!((*token, &**lease), (receive, content));
            }
            _ => panic!("data is expected, and more of it"),
        }
    }
    ring.cancel(receive, &ours);
    let completions = turn(&mut ring, DEADLINE);
    assert!(matches!(
        completions.as_slice(),
        [Completion::Received { received: Received::Cancelled, armed: false, .. }]
    ));
}

#[test]
fn the_end_of_a_peer_ends_the_receive() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    ring.receive(token(Kind::TargetReceive), &ours);
    drop(theirs);
    let completions = turn(&mut ring, DEADLINE);
    assert!(matches!(
        completions.as_slice(),
        [Completion::Received { received: Received::End, armed: false, .. }]
    ));
}

#[test]
fn more_data_than_buffers_is_told_and_not_lost() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    let receive = token(Kind::ClientReceive);
    ring.receive(receive, &ours);
    let (mut written, mut received, mut starved) = (0, 0, 0);
    let mut kept = Vec::new();
    // Leases that nobody gives back use up what lies in the ring.
    while starved == 0 {
        if let Ok(n) = write(&theirs, &[3; 64]) {
            written += n;
        }
        for completion in turn(&mut ring, Duration::ZERO) {
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
    kept.clear();
    ring.receive(receive, &ours);
    while received < written {
        for completion in turn(&mut ring, DEADLINE) {
            let Completion::Received { received: Received::Data(lease), .. } = completion else {
                panic!("the data is still there")
            };
            received += lease.len();
        }
    }
    assert_eq!(received, written);
}

#[test]
fn a_poll_comes_once_and_an_idle_turn_ends_with_its_time() {
    let mut ring = ring();
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("descriptors are left");
    ring.poll_wake(token(Kind::Wake), event.as_fd());
    assert!(turn(&mut ring, Duration::from_millis(1)).is_empty());
    write(&event, &1u64.to_ne_bytes()).expect("the counter is far from full");
    assert!(matches!(turn(&mut ring, DEADLINE).as_slice(), [Completion::Ready(_)]));
    assert!(turn(&mut ring, Duration::from_millis(1)).is_empty(), "a poll is one-shot");
}

#[test]
fn more_requests_than_the_ring_holds_are_all_made() {
    let (ours, theirs) = pair();
    let mut ring = ring();
    let event = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("descriptors are left");
    for slot in 0..10_000 {
        ring.poll_wake(Token { slot, ..token(Kind::Wake) }, event.as_fd());
    }
    ring.send(token(Kind::ClientSend), &ours, Chunks::One(bytes(b"last")));
    let mut polled = 0;
    while polled < 10_000 {
        polled += turn(&mut ring, DEADLINE).len();
    }
    assert_eq!(read(&theirs, &mut [0; 8]), Ok(4));
}

#[test]
fn the_ring_does_nothing_that_the_driver_has_no_use_for() {
    let mut ring = ring();
    // Where a hostile submission would open a file.
    let entry = io_uring::opcode::Nop::new().build().user_data(super::CANCEL);
    ring.push(&entry);
    ring.submit(super::Wait::One);
    let results: Vec<i32> = ring.finished.iter().map(io_uring::cqueue::Entry::result).collect();
    assert_eq!(results, [-libc::EACCES]);
}
