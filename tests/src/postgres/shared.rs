//! The clusters that all tests of a process share: one for each major version, started by who needs it first.
//! Tests keep out of each other's way by users and databases of their own.

use std::sync::OnceLock;

use super::{Cluster, Installation, Options};
use crate::certificates::Authority;
use crate::failure::Failure;

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// The distribution's.
    Distribution,
    /// The newer one: 18.
    Newer,
}

impl Major {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Distribution, Self::Newer];

    /// Where it is installed.
    pub fn installation(self) -> Result<Installation, Failure> {
        match self {
            Self::Distribution => Installation::of_distribution(),
            Self::Newer => Installation::newer(),
        }
    }
}

/// The shared cluster of `major`, which offers TLS with a certificate of [`Authority::shared`].
pub fn shared(major: Major) -> &'static Cluster {
    static DISTRIBUTION: OnceLock<Cluster> = OnceLock::new();
    static NEWER: OnceLock<Cluster> = OnceLock::new();
    let cell = match major {
        Major::Distribution => &DISTRIBUTION,
        Major::Newer => &NEWER,
    };
    cell.get_or_init(|| start(major, true))
}

/// A shared cluster of the distribution's version that does not offer TLS.
pub fn plaintext() -> &'static Cluster {
    static PLAINTEXT: OnceLock<Cluster> = OnceLock::new();
    PLAINTEXT.get_or_init(|| start(Major::Distribution, false))
}

fn start(major: Major, tls: bool) -> Cluster {
    let authority = Authority::shared();
    let tls = tls.then(|| (authority.server(&["localhost", "pg"]), authority.certificate.clone()));
    let options = Options { tls, ..Options::default() };
    match major.installation().and_then(|installation| Cluster::start(&installation, &options)) {
        Ok(cluster) => cluster,
        Err(failure) => panic!("cannot start PostgreSQL: {failure}"),
    }
}
