//! What only the epoll driver promises: fair shares, few changes of its set, no trace of sockets that are gone.

use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::write;

use super::super::driver_tests::{DEADLINE, pair, token, turn};
use super::super::{Completion, Interest, Io, Kind, Received, Token};
use super::{BUFFERS_A_TURN, Epoll, EpollSocket};

fn driver() -> Epoll {
    Epoll::new(1 << 20).expect("descriptors are left")
}

/// What the set knows of the descriptor, as the kernel tells it.
fn entry(driver: &Epoll, socket: &EpollSocket) -> Option<String> {
    let path = format!("/proc/self/fdinfo/{}", driver.set.as_raw_fd());
    let info = std::fs::read_to_string(path).expect("the set is open");
    let target = socket.source().descriptor().as_raw_fd().to_string();
    info.lines().find_map(|line| {
        let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
        (words.next() == Some(target.as_str())).then(|| words.nth(1).unwrap_or_default().to_owned())
    })
}

#[test]
fn a_socket_that_floods_leaves_its_neighbours_their_turn() {
    let mut driver = driver();
    let ((flooded, flooder), (calm, neighbour)) = (pair(), pair());
    let (flooded, calm) = (driver.adopt(flooded), driver.adopt(calm));
    driver.receive(token(Kind::ClientReceive), &flooded);
    driver.receive(token(Kind::TargetReceive), &calm);
    while write(&flooder, &[7; 64 * 1024]).is_ok() {}
    write(&neighbour, b"hello").expect("the pair is open");
    let completions = turn(&mut driver, DEADLINE);
    let of = |kind| {
        let is_of = move |one: &&Completion<EpollSocket>| {
            matches!(one, Completion::Received { token, received: Received::Data(_), armed: true }
                if token.kind == kind)
        };
        completions.iter().filter(is_of).count()
    };
    assert_eq!((of(Kind::ClientReceive), of(Kind::TargetReceive)), (BUFFERS_A_TURN, 1));
    drop(completions);
    assert!(!turn(&mut driver, DEADLINE).is_empty(), "the rest is not forgotten");
}

#[test]
fn many_sockets_that_flood_leave_the_last_one_a_buffer() {
    let mut driver = driver();
    let mut kept = Vec::new();
    for slot in 0..200 {
        let (flooded, flooder) = pair();
        let flooded = driver.adopt(flooded);
        driver.receive(Token { slot, ..token(Kind::ClientReceive) }, &flooded);
        write(&flooder, &[7; 128 * 1024]).expect("there is room");
        kept.push((flooded, flooder));
    }
    let (calm, neighbour) = pair();
    let calm = driver.adopt(calm);
    driver.receive(token(Kind::TargetReceive), &calm);
    write(&neighbour, b"hello").expect("the pair is open");
    // Nobody gives a buffer back before the turn is over.
    let completions = turn(&mut driver, DEADLINE);
    let is_calm = |one: &Completion<EpollSocket>| {
        matches!(one, Completion::Received { token, received: Received::Data(_), .. }
            if token.kind == Kind::TargetReceive)
    };
    assert_eq!(completions.iter().filter(|one| is_calm(one)).count(), 1);
}

#[test]
fn messages_do_not_change_the_set() {
    let mut driver = driver();
    let (ours, theirs) = pair();
    let ours = driver.adopt(ours);
    driver.receive(token(Kind::ClientReceive), &ours);
    assert!(turn(&mut driver, Duration::ZERO).is_empty());
    for _ in 0..3 {
        write(&theirs, b"message").expect("the pair is open");
        assert_eq!(turn(&mut driver, DEADLINE).len(), 1);
        assert!(driver.changed.is_empty());
    }
    // A pause that is over before anything has come, either.
    driver.cancel(token(Kind::ClientReceive), &ours);
    assert_eq!(turn(&mut driver, Duration::ZERO).len(), 1);
    driver.receive(token(Kind::ClientReceive), &ours);
    assert!(driver.changed.is_empty());
}

#[test]
fn the_set_has_what_is_wanted_and_forgets_what_is_not() {
    let mut driver = driver();
    let (ours, theirs) = pair();
    let ours = driver.adopt(ours);
    let always = EventFlags::ERR | EventFlags::HUP;
    let mask = |flags: EventFlags| Some(format!("{:x}", (flags | always).bits()));
    let readable = EventFlags::IN | EventFlags::RDHUP;
    assert_eq!(entry(&driver, &ours), None);
    driver.receive(token(Kind::ClientReceive), &ours);
    turn(&mut driver, Duration::ZERO);
    assert_eq!(entry(&driver, &ours), mask(readable));
    driver.poll(token(Kind::ClientWritable), &ours, Interest::Writable);
    assert_eq!(turn(&mut driver, Duration::ZERO).len(), 1);
    assert_eq!(entry(&driver, &ours), mask(readable | EventFlags::OUT));
    turn(&mut driver, Duration::ZERO);
    assert_eq!(entry(&driver, &ours), mask(readable));
    drop(theirs);
    assert_eq!(turn(&mut driver, Duration::ZERO).len(), 1);
    turn(&mut driver, Duration::ZERO);
    assert_eq!(entry(&driver, &ours), None);
}

#[test]
fn a_socket_that_is_gone_leaves_nothing_behind() {
    let mut driver = driver();
    for _ in 0..3 {
        let (ours, theirs) = pair();
        let ours = driver.adopt(ours);
        let key = ours.source().key();
        assert_eq!(key, 0, "keys are used again, as descriptors are");
        driver.receive(token(Kind::ClientReceive), &ours);
        turn(&mut driver, Duration::ZERO);
        write(&theirs, b"never received").expect("the pair is open");
        // Marked, asked for, in the set and ready: and yet it is only dropped.
        driver.poll(token(Kind::ClientWritable), &ours, Interest::Writable);
        drop(ours);
        assert!(driver.sources.get(key).is_none());
        assert!(turn(&mut driver, Duration::from_millis(1)).is_empty());
    }
}
