//! A hostile client whose session is relayed and watched.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{PASSWORD, contains, product};
use crate::protocols::ALL;
use crate::testing::{Driver, credential, route};
use crate::{
    CleartextPassword, Entropy, Event, Handshake, Look, Next, Output, Protocol, Side, Transport, Want, Watch,
};

/// Arbitrary bytes of a client whose session has begun. The first byte of `data` says where they are cut.
///
/// What is held back is the same wherever the bytes are cut, nothing passes twice or is lost, and whatever machine begins
/// then says nothing to the client that is a secret.
pub fn session_client(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    for &protocol in ALL {
        let Some(mut whole) = watch_of(protocol) else { continue };
        let Some(mut pieces) = watch_of(protocol) else { continue };
        let passed = pass(&mut *whole, bytes, bytes.len().max(1));
        let passed_in_pieces = pass(&mut *pieces, bytes, usize::from(cut).max(1));
        assert_eq!(passed, passed_in_pieces, "cut at {cut}");
        if let Held::At(at) = passed {
            change(whole.begin(), bytes.get(at..).unwrap_or_default());
        }
    }
}

/// How much has passed.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// All of it but the beginning of a head.
    Nothing(usize),
    /// Up to here.
    At(usize),
}

/// What a session of `protocol` is watched by: one with an honest target that lets everybody in.
fn watch_of(protocol: &dyn Protocol) -> Option<Box<dyn Watch>> {
    let mut driver = Driver::start(protocol, &route(CleartextPassword::Verified), [0; 32]);
    let mut target = protocol.honest_target(PASSWORD);
    let transcripts = protocol.transcripts();
    for bytes in transcripts.first()?.sent(Side::Client) {
        driver.receive(Side::Client, bytes);
    }
    driver.answer(Event::Credential(credential(&[("username", b"svc"), ("password", PASSWORD)])));
    driver.answer(Event::Connected(Transport::Unix));
    driver.receive(Side::Target, &target.greeting());
    let received = driver.to_target.clone();
    let ok = target.say(1, &mut || 0, &received)?;
    driver.receive(Side::Target, &ok);
    match driver.next {
        Ok(Next::Relay(watch)) => watch,
        _ => None,
    }
}

/// Shows `bytes` in pieces of `cut`, as the relay does.
fn pass(watch: &mut dyn Watch, bytes: &[u8], cut: usize) -> Held {
    let mut waiting = Vec::new();
    let mut passed = 0;
    for piece in bytes.chunks(cut) {
        waiting.extend_from_slice(piece);
        // What it says is unseen may pass without a look.
        let unseen = watch.unseen().min(waiting.len()) / 2;
        watch.pass(unseen);
        waiting.drain(..unseen);
        passed += unseen;
        match watch.look(&waiting) {
            Look::Hold(at) => return Held::At(passed + at),
            Look::Pass(len) => {
                assert!(waiting.len() - len < 5, "more than a head is kept");
                waiting.drain(..len);
                passed += len;
            }
        }
    }
    Held::Nothing(passed)
}

/// Drives what begins in the middle of a session, up to where its target would speak.
fn change(mut machine: Box<dyn Handshake>, bytes: &[u8]) {
    let mut out = Output::default();
    let mut next = machine.start(Entropy { client: [0; 32], target: [1; 32] }, &mut out);
    for _ in 0..8 {
        next = match next {
            Ok(Next::Want(Side::Client, Want::Bytes)) if out.used == 0 => {
                let next = machine.handle(Side::Client, Event::Bytes(bytes), &mut out);
                assert!(out.used <= bytes.len());
                if out.used == 0 {
                    return;
                }
                next
            }
            Ok(Next::Want(Side::Target, Want::Credential)) => {
                let fields: [(&str, &[u8]); 2] = [("username", b"svc"), ("password", PASSWORD)];
                machine.handle(Side::Target, Event::Credential(credential(&fields)), &mut out)
            }
            Ok(Next::Want(Side::Target, Want::Permission)) => {
                machine.handle(Side::Target, Event::Permitted, &mut out)
            }
            Ok(Next::Want(Side::Target, Want::Compute(work))) => {
                machine.handle(Side::Target, Event::Computed(Arc::new(product(work))), &mut out)
            }
            _ => break,
        };
    }
    assert!(!contains(&out.client, PASSWORD) && !contains(&out.target, PASSWORD));
}
