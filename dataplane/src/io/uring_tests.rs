//! What only a ring can promise.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::read;

use super::super::driver_tests::{DEADLINE, bytes, pair, token, turn};
use super::super::{Chunks, Io, Kind, Token};
use super::Uring;

fn ring() -> Uring {
    Uring::new(1 << 20).expect("the kernel lets us have a ring")
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
fn a_near_time_limit_leaves_the_far_one_in_the_kernel() {
    let mut ring = ring();
    let far = ring.now() + Duration::from_secs(3600);
    ring.set_timer(far);
    ring.submit(super::Wait::No);
    for _ in 0..3 {
        let near = ring.now() + Duration::from_micros(100);
        ring.turn(Some(near), &mut Vec::new());
        let pending: Vec<Instant> = ring.timer.pending.iter().map(|&(_, at)| at).collect();
        assert_eq!(pending, [far], "one for each turn would wake the worker as often, much later");
    }
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
