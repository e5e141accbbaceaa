//! A hostile target.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use std::sync::OnceLock;

use super::{HonestTarget, PASSWORD, contains, product};
use crate::protocols::ALL;
use crate::testing::{Driver, credential, describe, route};
use crate::tls::TlsPeer;
use crate::{CleartextPassword, Event, Next, Protocol, Side, Transport, Want};

/// Arbitrary bytes of a target, which answers a client that has said all it has to say. The first byte of `data`
/// chooses the line; the rest is a program for a target that is honest where it likes to be.
///
/// No target lets a client in that has begun SCRAM and not proved that it knows the password, no password leaves
/// in clear on a line where it may not, and no client is told a secret of ours.
pub fn handshake_target(data: &[u8]) {
    let Some((&line, program)) = data.split_first() else { return };
    for (&protocol, opening) in ALL.iter().zip(openings()) {
        target_of(protocol, opening, line, program);
    }
}

/// For each protocol, what the client of its first transcript sends.
fn openings() -> &'static [Vec<Vec<u8>>] {
    static OPENINGS: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    OPENINGS.get_or_init(|| {
        let first = |protocol: &dyn Protocol| protocol.transcripts().into_iter().next();
        let opening = |protocol: &&dyn Protocol| {
            first(*protocol)
                .iter()
                .flat_map(|transcript| transcript.sent(Side::Client))
                .map(<[u8]>::to_vec)
                .collect()
        };
        ALL.iter().map(opening).collect()
    })
}

/// What the target's side of a session can be seen doing.
struct Observed {
    /// All that the target has been sent on this connection.
    received: Vec<u8>,
    honest: Box<dyn HonestTarget>,
    /// The line may carry a password in clear.
    may_see_password: bool,
    /// The client is not waited for.
    is_alone: bool,
}

/// Plays one program, and says what the machine said last.
fn target_of(protocol: &dyn Protocol, opening: &[Vec<u8>], line: u8, program: &[u8]) -> String {
    let rule = match line & 3 {
        0 => CleartextPassword::Tls,
        1 => CleartextPassword::Always,
        _ => CleartextPassword::Verified,
    };
    let transport = if line & 4 == 0 { Transport::Tcp } else { Transport::Unix };
    let sslmode: &[u8] = if line & 8 == 0 { b"disable" } else { b"require" };
    let verified = line & 16 != 0;
    let end_point = (line & 32 != 0).then(|| Box::from([7; 32]));
    let peer = TlsPeer { verified, end_point };
    let may_see_password = transport == Transport::Unix
        || rule == CleartextPassword::Always
        || sslmode == b"require" && (verified || rule == CleartextPassword::Tls);

    let mut driver = Driver::start(protocol, &route(rule), [0; 32]);
    let mut retries = 0;
    let new_connection = || Observed {
        received: Vec::new(),
        honest: protocol.honest_target(PASSWORD),
        may_see_password,
        is_alone: false,
    };
    let mut observed = new_connection();
    let mut all_sent = Vec::new();
    for bytes in opening {
        driver.receive(Side::Client, bytes);
    }
    let mut program = program.iter().copied();
    loop {
        observe(protocol, &mut driver, &mut observed, &all_sent);
        match mem::replace(&mut driver.next, Ok(Next::Linger)) {
            Ok(Next::Want(Side::Target, Want::Credential)) => {
                let fields: [(&str, &[u8]); 3] =
                    [("username", b"svc"), ("password", PASSWORD), ("sslmode", sslmode)];
                driver.answer(Event::Credential(credential(&fields)));
            }
            Ok(Next::Want(Side::Target, Want::Connection(_))) => {
                driver.answer(Event::Connected(transport));
                observed.is_alone = line & 64 != 0 && driver.go_on_alone([9; 32]);
            }
            Ok(Next::Want(Side::Target, Want::Tls(_))) => driver.answer(Event::Encrypted(peer.clone())),
            Ok(Next::Want(Side::Target, Want::Compute(work))) => {
                driver.answer(Event::Computed(Arc::new(product(work))));
            }
            Ok(Next::Want(Side::Target, Want::Bytes)) => {
                driver.next = Ok(Next::Want(Side::Target, Want::Bytes));
                let Some(message) = next_message(&mut program, &mut observed) else { break };
                all_sent.extend_from_slice(&message);
                driver.receive(Side::Target, &message);
            }
            Ok(Next::Refused) if retries < 2 => {
                retries += 1;
                observed = new_connection();
                driver.retry([retries; 32]);
            }
            Ok(Next::Refused) => driver.give_up(None),
            other => {
                driver.next = other;
                break;
            }
        }
    }
    if let Err(error) = &driver.next {
        let error = error.clone();
        driver.fail(&error);
        observe(protocol, &mut driver, &mut observed, &all_sent);
    }
    describe(&driver.next)
}

fn observe(protocol: &dyn Protocol, driver: &mut Driver, observed: &mut Observed, all_sent: &[u8]) {
    if !driver.to_target.is_empty() {
        observed.received.append(&mut driver.to_target);
        let in_clear = !observed.may_see_password && contains(&observed.received, PASSWORD);
        assert!(!in_clear, "the password is sent in clear");
    }
    let relays = matches!(driver.next, Ok(Next::Relay(_)));
    let is_in = relays && !observed.is_alone;
    assert_eq!(protocol.lets_client_in(&driver.to_client), is_in, "a client is in where both legs are up");
    if relays {
        assert!(observed.honest.may_let_in(&observed.received), "the target has proved nothing");
    }
    // A target that has been told the password may repeat it in its own words.
    assert!(
        !contains(&driver.to_client, PASSWORD) || contains(all_sent, PASSWORD),
        "the client sees the password"
    );
}

/// The next thing that the target says: something that makes sense, or a raw piece.
fn next_message(program: &mut impl Iterator<Item = u8>, observed: &mut Observed) -> Option<Vec<u8>> {
    let operation = program.next()?;
    let said = observed.honest.say(operation, &mut || program.next().unwrap_or(0), &observed.received);
    said.or_else(|| {
        let len = usize::from(program.next().unwrap_or(0));
        Some(program.by_ref().take(len).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::seeds;
    use super::target_of;
    use crate::protocols::by_name;

    #[test]
    fn a_program_goes_as_far_as_it_says() {
        for (seed, outcome) in [
            ("trust", "relays"),
            ("cleartext-unix", "relays"),
            ("cleartext-tcp", "failed: Denied(CleartextPassword)"),
            ("md5", "relays"),
            ("scram", "relays"),
            ("scram-plus", "relays"),
            ("scram-refused-then-right", "relays"),
            ("scram-without-proof", "failed: Server(NoProof)"),
            ("refused", "failed: Denied(ByTarget)"),
            ("tls-refused", "failed: Target(TlsNotOffered)"),
            ("tls-stuffed", "failed: Server(BytesBehindTlsAnswer)"),
            ("notice-and-version", "relays"),
            ("raw", "relays"),
        ] {
            let seed = std::fs::read(seeds("handshake_target").join(seed)).unwrap();
            let opening = [b"\0\0\0\x09\0\x03\0\0\0".to_vec()];
            let said = target_of(by_name("pg").unwrap(), &opening, seed[0], &seed[1..]);
            assert_eq!(said, outcome);
        }
    }
}
