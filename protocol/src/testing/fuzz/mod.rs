//! Fuzz entry points: what a hostile peer may do, and what must hold whatever it does.
//!
//! Owns the small ones. Those of handshakes are in [`client`], [`target`] and [`session`]; what a target of a protocol may
//! say that makes sense is the protocol's own ([`HonestTarget`]). Unit tests play the seeds, so that an entry point that no
//! longer works fails the build and not a long run.

mod client;
mod session;
mod target;

use alloc::vec::Vec;

use crate::Secret;
use crate::auth::channel_binding::end_point;
use crate::auth::parsec::ParsecDerivation;
use crate::auth::scram::{self, ScramKeys};
use crate::limits::SCRAM_ITERATIONS_MAX;
use crate::work::{Product, Work};

pub use client::handshake_client;
pub use session::session_client;
pub use target::handshake_target;

/// Nothing that a fuzzer writes by accident.
const PASSWORD: &[u8] = b"correct horse battery staple";

/// A target that is honest where a fuzzer's program likes it to be.
pub trait HonestTarget {
    /// What it says before it has been spoken to.
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// What it says next, by the number of an operation, `bytes` for its details and all that it has received; `None` if there
    /// is no such operation.
    fn say(&mut self, operation: u8, bytes: &mut dyn FnMut() -> u8, received: &[u8]) -> Option<Vec<u8>>;

    /// Whether it may let a client in, by what it has received.
    fn may_let_in(&self, received: &[u8]) -> bool {
        let _ = received;
        true
    }
}

/// A target that says nothing that makes sense.
pub struct Silent;

impl HonestTarget for Silent {
    fn say(&mut self, _: u8, _: &mut dyn FnMut() -> u8, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// What comes of `work`, or something in its place where that would take a fuzzer's time.
fn product(work: Work) -> Product {
    match work {
        Work::Scram(job) => {
            assert!((1..=SCRAM_ITERATIONS_MAX).contains(&job.iterations) && !job.salt.is_empty());
            Product::Scram(if job.iterations < 16 { job.derive(Secret::copied_to_heap) } else { some_keys() })
        }
        Work::Parsec(job) => {
            assert!((1024..=8192).contains(&job.iterations));
            Product::Parsec(ParsecDerivation { iterations: 1, ..job }.derive(Secret::copied_to_heap))
        }
        Work::Rsa(job) => {
            assert!(job.plaintext().len() == PASSWORD.len() + 1);
            Product::Rsa(Some(alloc::vec![7; 256]))
        }
    }
}

fn some_keys() -> ScramKeys {
    ScramKeys {
        client_key: Secret::from_heap([1; 32].to_vec()),
        server_key: Secret::from_heap([2; 32].to_vec()),
    }
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

/// Arbitrary messages of a SCRAM server: `data` up to its first NUL is the first, the rest the last. A `%` at the
/// front of the first stands for an `r=` and our nonce.
///
/// Nothing but the right signature proves anything, and what is derived from is within its limits.
pub fn scram_server_messages(data: &[u8]) {
    let mut messages = data.splitn(2, |byte| *byte == 0);
    let (first, last) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    scram::fuzz(first, last, &some_keys());
}

/// Arbitrary bytes for a certificate: its hash is one of the lengths there are, or there is none.
pub fn certificate_hash(data: &[u8]) {
    if let Some(hash) = end_point(data) {
        assert!([28, 32, 48, 64].contains(&hash.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{
        certificate_hash, handshake_client, handshake_target, scram_server_messages, session_client,
    };

    pub(super) fn seeds(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
    }

    fn play_seeds(target: &str, entry: fn(&[u8])) {
        let folder = seeds(target);
        let mut played = 0;
        for seed in std::fs::read_dir(&folder).unwrap() {
            let seed = std::fs::read(seed.unwrap().path()).unwrap();
            // Each prefix too: a fuzzer tries them first.
            (0..=seed.len()).for_each(|len| entry(&seed[..len]));
            played += 1;
        }
        assert!(played >= 3, "{played} seeds in {}", folder.display());
    }

    #[test]
    fn a_hostile_client_meets_the_seeds() {
        play_seeds("handshake_client", handshake_client);
    }

    #[test]
    fn a_hostile_target_meets_the_seeds() {
        play_seeds("handshake_target", handshake_target);
    }

    #[test]
    fn a_hostile_client_of_a_session_meets_the_seeds() {
        play_seeds("session_client", session_client);
    }

    #[test]
    fn a_hostile_scram_server_meets_the_seeds() {
        play_seeds("scram_server_messages", scram_server_messages);
    }

    #[test]
    fn a_hostile_certificate_meets_the_seeds() {
        play_seeds("certificate_hash", certificate_hash);
    }
}
