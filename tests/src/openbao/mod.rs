//! A real OpenBao: the servers that tests start, and what they put into them.

mod server;

pub use server::{Answer, OpenBao, Options, Storage, Tls};

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::certificates::Authority;
use crate::failure::{Doing, Failure, Result};
use crate::{obtain, places, process};

/// The server that tests share, in memory, in clear and in TLS by a certificate of [`Authority::shared`]. Tests keep out
/// of each other's way by paths and policies of their own.
///
/// # Panics
/// If it does not start.
pub fn shared() -> &'static OpenBao {
    static SHARED: OnceLock<OpenBao> = OnceLock::new();
    SHARED.get_or_init(|| {
        let identity = Authority::shared().server(&["localhost", "bao.test", "127.0.0.1"]);
        let options = Options { tls: Some(Tls { identity, client_root: None }), ..Options::default() };
        OpenBao::start(&options).unwrap_or_else(|failure| panic!("cannot start OpenBao: {failure}"))
    })
}

/// The program, where an unprivileged user may run it: as a link, or as a copy on another disk.
fn program() -> Result<PathBuf> {
    static PROGRAM: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let placed = PROGRAM.get_or_init(|| place().map_err(|failure| failure.to_string()));
    placed.clone().map_err(Failure::new)
}

fn place() -> Result<PathBuf> {
    let from = obtain::openbao()?;
    let to = places::fresh("openbao")?.join("bao");
    if fs::hard_link(&from, &to).is_err() {
        fs::copy(&from, &to).doing("copy OpenBao")?;
    }
    process::run(Command::new(&to).arg("version"))?.succeeded()?;
    Ok(to)
}
