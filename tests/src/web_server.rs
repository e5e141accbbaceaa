//! A real HTTP server, Python's own: it serves the files of a directory.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::certificates::Identity;
use crate::failure::{Doing, Result};
use crate::process::{Process, User};
use crate::{obtain, places, ports};

/// A running server. Dropping it stops it.
pub struct WebServer {
    process: Process,
    directory: PathBuf,
    scheme: &'static str,
    port: u16,
}

impl WebServer {
    /// One that speaks in clear.
    pub fn start() -> Result<Self> {
        Self::launch(None)
    }

    /// One that speaks TLS as this, and asks for a certificate of `client_root` if there is one.
    pub fn start_in_tls(identity: &Identity, client_root: Option<&str>) -> Result<Self> {
        Self::launch(Some((identity, client_root)))
    }

    fn launch(tls: Option<(&Identity, Option<&str>)>) -> Result<Self> {
        let (directory, port) = (places::fresh("web")?, ports::free());
        let mut command = Command::new(obtain::python()?);
        command.arg(obtain::drivers().join("python/http_store.py")).arg(port.to_string()).arg(&directory);
        if let Some((identity, client_root)) = tls {
            let beside = places::fresh("web-tls")?;
            let files = [Some(&*identity.certificate), Some(&*identity.key), client_root];
            for (name, content) in ["server.crt", "server.key", "clients.crt"].into_iter().zip(files) {
                let Some(content) = content else { continue };
                let path = beside.join(name);
                fs::write(&path, content).doing(format_args!("write {name}"))?;
                command.arg(path);
            }
        }
        let process = Process::start("the web server", &command, &User::Same, Signal::TERM)?;
        process.wait_for_words("that it is ready", |said| said.contains("ready\n"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self { process, directory, scheme, port })
    }

    /// Its address, by its number.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Where what it answers at `/NAME` lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Has it answer `content` at `/NAME`.
    pub fn put(&self, name: &str, content: &str) -> Result<()> {
        // In one step, for it may be asked meanwhile.
        let beside = self.directory.join(".new");
        fs::write(&beside, content).doing(format_args!("write {name}"))?;
        fs::rename(&beside, self.path(name)).doing(format_args!("replace {name}"))
    }

    /// Has it refuse requests that lack one of these headers.
    pub fn allow(&self, headers: &[&str]) -> Result<()> {
        self.put(".allowed", &headers.join("\n"))
    }

    /// How often it has been asked for `/NAME`.
    pub fn asked(&self, name: &str) -> usize {
        self.process.stdout().matches(&format!("\"GET /{name} ")).count()
    }
}
