//! What a configuration may ask of the machine it is read on.
//!
//! Owns the seam: reading the same bytes without asking anything is [`System::NONE`], for fuzzing.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStringExt;

use protocol::Secret;
use zeroize::Zeroizing;

use super::accounts;
use crate::environment;
use crate::providers;

/// What a file holds, and what its owner should know about it.
pub(super) type FileRead = (Secret, Option<String>);

/// The questions.
pub(super) struct System {
    /// The addresses of a name, and a port beside each.
    pub(super) resolve: fn(&str, u16) -> Vec<SocketAddr>,
    /// The id of a user.
    pub(super) user_id: fn(&str) -> Option<u32>,
    /// The id of a group.
    pub(super) group_id: fn(&str) -> Option<u32>,
    /// What a file holds; `true` for one that anybody may read.
    pub(super) file: fn(&str, bool) -> Result<FileRead, String>,
    /// The value of an environment variable.
    pub(super) variable: fn(&str) -> Option<Zeroizing<Vec<u8>>>,
}

impl System {
    /// This machine.
    pub(super) const REAL: Self =
        Self { resolve, user_id: accounts::user_id, group_id: accounts::group_id, file, variable };

    /// A machine that knows no name, and has no file and no variable.
    pub(super) const NONE: Self = Self {
        resolve: |_, _| Vec::new(),
        user_id: |_| None,
        group_id: |_| None,
        file: |_, _| Err("there are no files".to_owned()),
        variable: |_| None,
    };
}

fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

fn file(path: &str, is_public: bool) -> Result<FileRead, String> {
    providers::read_whole(path, is_public).map_err(|error| error.to_string())
}

fn variable(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let taken = environment::taken(name).map(|value| value.expose(<[u8]>::to_vec));
    taken.or_else(|| Some(std::env::var_os(name)?.into_vec())).map(Zeroizing::new)
}
