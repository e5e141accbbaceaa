//! Work of a handshake that is too slow for a worker: [`crate::Want::Compute`].
//!
//! Owns what the work may be, what comes of it, and under which name it may be kept. Does none of it: it travels to a
//! thread that may take its time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::auth::parsec::{ParsecDerivation, ParsecKey};
use crate::auth::rsa::RsaEncryption;
use crate::auth::scram::{ScramDerivation, ScramKeys};
use crate::{Generation, Secret};

/// A job.
pub enum Work {
    /// Keys of SCRAM.
    Scram(ScramDerivation),
    /// The key of MariaDB's parsec.
    Parsec(ParsecDerivation),
    /// A password for a server that has shown an RSA key.
    Rsa(RsaEncryption),
}

/// What comes of a job.
pub enum Product {
    /// Of [`Work::Scram`].
    Scram(ScramKeys),
    /// Of [`Work::Parsec`].
    Parsec(ParsecKey),
    /// Of [`Work::Rsa`]: the ciphertext, or `None` if the key is none, or too short for the password.
    Rsa(Option<Vec<u8>>),
}

/// Names a product within one service: what was made once may be kept under it, for as long as its generation is in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkName {
    /// The credential that it was made of.
    pub generation: Generation,
    method: Method,
    salt: Box<[u8]>,
    iterations: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Method {
    Scram,
    Parsec,
}

impl Work {
    /// Does the work; `encrypt` is how RSA is done, and `keep` where keys are kept.
    pub fn perform(
        self,
        encrypt: impl FnOnce(&RsaEncryption) -> Option<Vec<u8>>,
        keep: impl Fn(&[u8]) -> Secret,
    ) -> Product {
        match self {
            Self::Scram(derivation) => Product::Scram(derivation.derive(keep)),
            Self::Parsec(derivation) => Product::Parsec(derivation.derive(keep)),
            Self::Rsa(encryption) => Product::Rsa(encrypt(&encryption)),
        }
    }

    /// The product's name; `None` for one that is good only once.
    pub fn name(&self) -> Option<WorkName> {
        let (credential, method, salt, iterations) = match self {
            Self::Scram(job) => (&job.credential, Method::Scram, &job.salt, job.iterations),
            Self::Parsec(job) => (&job.credential, Method::Parsec, &job.salt, job.iterations),
            Self::Rsa(_) => return None,
        };
        Some(WorkName { generation: credential.generation(), method, salt: salt.clone(), iterations })
    }
}
