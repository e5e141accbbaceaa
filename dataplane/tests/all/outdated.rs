//! Open sessions whose credential has been replaced.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use dataplane::{IoChoice, OnRotation, ServiceId};
use protocol::Generation;

use crate::support::{Bed, Options, accept, await_that, connect, target};

on_both_drivers! {
    sessions_of_an_earlier_credential_end_as_they_are_told_and_others_go_on,
    a_session_that_is_still_logging_in_is_told_as_well,
}

/// A session that begins with this generation.
fn session(bed: &Bed, listener: &TcpListener, generation: u64) -> (TcpStream, TcpStream) {
    bed.publish_generation(Some(Generation(generation)));
    let client = connect(bed, b"");
    (client, accept(listener))
}

#[track_caller]
fn assert_talks((client, target): &mut (TcpStream, TcpStream)) {
    client.write_all(b"?").unwrap();
    let mut byte = [0];
    target.read_exact(&mut byte).unwrap();
    target.write_all(b"!").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"!");
}

fn sessions_of_an_earlier_credential_end_as_they_are_told_and_others_go_on(io: IoChoice) {
    const HOUR: Duration = Duration::from_secs(3600);
    let (listener, address) = target();
    let bed = Bed::new(address, Options::on(io));
    let mut first = session(&bed, &listener, 1);
    let mut second = session(&bed, &listener, 2);
    let mut third = session(&bed, &listener, 3);
    let outdate = |newer: u64, then| bed.plane.outdate(ServiceId(1), Generation(newer), then);

    outdate(2, OnRotation::Keep);
    bed.plane.outdate(ServiceId(7), Generation(9), OnRotation::Close { within: Duration::ZERO });
    outdate(2, OnRotation::Drain { idle: HOUR, within: HOUR });
    assert_talks(&mut first);
    // What was told earlier has been done when what was told later has; the sooner of two ends counts.
    outdate(3, OnRotation::Close { within: Duration::ZERO });
    outdate(3, OnRotation::Drain { idle: HOUR, within: HOUR });
    let mut rest = Vec::new();
    for session in [&mut first, &mut second] {
        session.0.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
    assert_talks(&mut third);

    outdate(4, OnRotation::Drain { idle: Duration::ZERO, within: HOUR });
    third.0.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    drop((first, second, third));
    await_that("all to end", || bed.plane.connections() == 0);
    assert_eq!(bed.runtime.totals().recycled, 3);
}

fn a_session_that_is_still_logging_in_is_told_as_well(io: IoChoice) {
    let (listener, address) = target();
    // Its dial takes as long as nobody takes what is queued.
    let queued = crate::support::fill(&listener, address);
    let bed = Bed::new(address, Options::on(io));
    bed.publish_generation(Some(Generation(1)));
    let mut client = connect(&bed, b"");
    await_that("it dials", || bed.runtime.totals().opened == 1 && bed.plane.connections() == 1);
    bed.plane.outdate(ServiceId(1), Generation(2), OnRotation::Close { within: Duration::ZERO });
    crate::support::take_all(&listener);
    drop(queued);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    await_that("it is counted", || bed.runtime.totals().recycled == 1);
}
