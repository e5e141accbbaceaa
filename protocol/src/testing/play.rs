//! The playing of one step of a transcript.
//!
//! Owns the comparison of what a machine does with what the step says.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::step::Step;
use super::{Driver, credential, describe, hex};
use crate::auth::parsec::ParsecDerivation;
use crate::work::{Product, Work};
use crate::{Event, Next, Secret, Side, Want};

/// Plays `step` with these values in the credential. The error says what the machine did otherwise.
pub(super) fn play_step(
    driver: &mut Driver,
    step: &Step,
    fields: &[(&'static str, Vec<u8>)],
) -> Result<(), String> {
    match (step, mem::replace(&mut driver.next, Ok(Next::Linger))) {
        (Step::IsSent(side, expected), next) => {
            driver.next = next;
            let sent = match side {
                Side::Client => mem::take(&mut driver.to_client),
                Side::Target => mem::take(&mut driver.to_target),
            };
            if sent != *expected {
                let now = describe(&driver.next);
                return Err(format!(
                    "{side:?} is sent\n  {}\nnot\n  {}\nand it {now}",
                    hex(&sent),
                    hex(expected)
                ));
            }
        }
        (Step::Credential, Ok(Next::Want(Side::Target, Want::Credential))) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            driver.answer(Event::Credential(credential(&fields)));
        }
        (Step::Connection(dial, transport), Ok(Next::Want(Side::Target, Want::Connection(wanted))))
            if wanted == *dial =>
        {
            driver.answer(Event::Connected(*transport));
        }
        (Step::Tls(policy, peer), Ok(Next::Want(Side::Target, Want::Tls(wanted)))) if wanted == *policy => {
            if !driver.unused(Side::Target).is_empty() {
                return Err("bytes in clear reach the TLS session".to_owned());
            }
            driver.answer(Event::Encrypted(peer.clone()));
        }
        (Step::AcceptTls, Ok(Next::Want(Side::Client, Want::AcceptTls))) => {
            driver.accept_tls(driver.unused(Side::Client).len());
        }
        (Step::Keys { salt, iterations }, Ok(Next::Want(Side::Target, Want::Compute(Work::Scram(job)))))
            if *job.salt == **salt && job.iterations == *iterations =>
        {
            driver.answer(Event::Computed(Arc::new(Product::Scram(job.derive(Secret::copied_to_heap)))));
        }
        (
            Step::Parsec { salt, iterations },
            Ok(Next::Want(Side::Target, Want::Compute(Work::Parsec(job)))),
        ) if *job.salt == **salt && job.iterations == *iterations => {
            // A thousand rounds at each cut of a transcript would take their time.
            let job = ParsecDerivation { iterations: 1, ..job };
            driver.answer(Event::Computed(Arc::new(Product::Parsec(job.derive(Secret::copied_to_heap)))));
        }
        (Step::Rsa { key, ciphertext }, Ok(Next::Want(Side::Target, Want::Compute(Work::Rsa(job)))))
            if *job.key == **key =>
        {
            let ciphertext = (!ciphertext.is_empty()).then(|| ciphertext.clone());
            driver.answer(Event::Computed(Arc::new(Product::Rsa(ciphertext))));
        }
        (Step::Refused { certain }, Ok(Next::Refused)) if driver.refusal_is_certain() == *certain => {
            driver.next = Ok(Next::Refused);
        }
        (Step::Permission, Ok(Next::Want(Side::Target, Want::Permission))) => driver.answer(Event::Permitted),
        (Step::Renewed(changes, expected), next @ Ok(Next::Want(Side::Target, Want::Permission))) => {
            driver.next = next;
            let newer = fields.iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
            let newer: Vec<_> = newer.chain(changes).map(|(name, value)| (*name, &**value)).collect();
            if driver.renew(&credential(&newer)) != *expected {
                return Err(format!("expected that it {}", step.expectation()));
            }
        }
        (Step::GoesAlone(expected), next) => {
            driver.next = next;
            if driver.go_on_alone([0; 32]) != *expected {
                return Err(format!("expected that it {}", step.expectation()));
            }
        }
        (Step::GoesOn, Ok(Next::Relay(None))) => driver.go_on_with_client(),
        (Step::GiveUp(None, expected), Ok(Next::Refused)) => {
            driver.give_up(None);
            return play_step(driver, &Step::Fails(expected.clone()), fields);
        }
        (Step::GiveUp(Some(words), expected), Ok(Next::Want(Side::Target, Want::Permission))) => {
            driver.give_up(Some(words));
            return play_step(driver, &Step::Fails(expected.clone()), fields);
        }
        (Step::Fails(expected), Err(error)) if error == *expected => {
            driver.fail(&error);
            driver.next = Err(error);
        }
        (Step::FailsOutside(error), Ok(next)) => {
            driver.fail(error);
            driver.next = Ok(next);
        }
        (Step::Waits(side), Ok(Next::Want(waits, Want::Bytes))) if waits == *side => {
            driver.next = Ok(Next::Want(waits, Want::Bytes));
        }
        (Step::Relays { from_client, from_target }, Ok(Next::Relay(watch))) => {
            let (client, target) = (driver.unused(Side::Client), driver.unused(Side::Target));
            if client != from_client || target != from_target {
                return Err(format!("left over are {} and {}", hex(client), hex(target)));
            }
            driver.next = Ok(Next::Relay(watch));
        }
        (Step::Passes(bytes, expected), Ok(Next::Relay(Some(watch)))) => {
            let passed = driver.relay(watch, bytes);
            if passed != *expected {
                return Err(format!("what passes is {}, not {}", hex(&passed), hex(expected)));
            }
        }
        (Step::Answered, Ok(next @ Next::Relay(Some(_)))) => {
            driver.next = Ok(next);
            driver.answer_relayed();
        }
        (Step::Lingers, Ok(Next::Linger)) => {}
        (Step::Again, Ok(Next::Linger)) => driver.retry([0; 32]),
        (step, next) => {
            return Err(format!("expected that it {}, but it {}", step.expectation(), describe(&next)));
        }
    }
    Ok(())
}
