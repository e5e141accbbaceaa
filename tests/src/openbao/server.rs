//! One running OpenBao with a directory of its own, gone when it is dropped.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::certificates::Identity;
use crate::failure::{Doing, Failure, Result};
use crate::postgres::unguessable;
use crate::process::Process;
use crate::{http, places, ports, unprivileged, wait};

/// How a server differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where it keeps what it is given.
    pub storage: Storage,
    /// A second address, which speaks TLS.
    pub tls: Option<Tls>,
}

/// Where a server keeps what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: the server's development mode, which is quick and forgets all when it ends.
    #[default]
    Memory,
    /// In its directory: what it has outlives a restart, after which it is sealed.
    Raft,
}

/// What a server's second address shows, and asks for.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Its certificate.
    pub identity: Identity,
    /// The root of the certificates that clients must have; without, they need none.
    pub client_root: Option<String>,
}

/// A running server. It has an engine of KV version 1 at `kv/` and one of version 2 at `secret/`.
pub struct OpenBao {
    storage: Storage,
    directory: PathBuf,
    /// Where it listens in clear.
    pub port: u16,
    /// Where it listens in TLS, if it does.
    pub tls_port: u16,
    /// The token that may do everything.
    pub root: String,
    unseal_key: String,
    server: Mutex<Option<Process>>,
}

/// What a server has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; null if there is none.
    pub body: Value,
}

impl OpenBao {
    /// Makes a server and starts it; it is unsealed.
    pub fn start(options: &Options) -> Result<Self> {
        let mut server = Self {
            storage: options.storage,
            directory: places::fresh("openbao")?,
            // For others of its kind it takes the one behind each port that it listens on.
            port: ports::free_pair(),
            tls_port: ports::free_pair(),
            root: unguessable(),
            unseal_key: String::new(),
            server: Mutex::new(None),
        };
        server.configure(options)?;
        server.launch()?;
        if server.storage == Storage::Raft {
            let request = json!({"secret_shares": 1, "secret_threshold": 1});
            let made = server.ask("PUT", "sys/init", None, Some(&request))?.succeeded()?;
            server.root = text(&made["root_token"]);
            server.unseal_key = text(&made["keys_base64"][0]);
            server.unseal()?;
            server.write("sys/mounts/secret", &json!({"type": "kv", "options": {"version": "2"}}))?;
        }
        server.write("sys/mounts/kv", &json!({"type": "kv", "options": {"version": "1"}}))?;
        // An engine of version 2 refuses everything until it has made its own folders.
        wait::until("the engine of KV version 2 is ready", || {
            server.write("secret/data/ready", &json!({"data": {}})).is_ok()
        });
        Ok(server)
    }

    fn configure(&self, options: &Options) -> Result<()> {
        let mut text = String::from("ui = false\n");
        let mut listener = |port: u16, lines: &[String]| {
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n{}}}", lines.concat());
        };
        if let Some(Tls { identity, client_root }) = &options.tls {
            let file = |name: &str, content: &str| -> Result<String> {
                let path = self.directory.join(name);
                fs::write(&path, content).doing(format_args!("write {name}"))?;
                Ok(format!("\"{}\"\n", path.display()))
            };
            let mut lines = vec![
                format!("  tls_cert_file = {}", file("server.crt", &identity.certificate)?),
                format!("  tls_key_file = {}", file("server.key", &identity.key)?),
            ];
            if let Some(root) = client_root {
                lines.push(format!("  tls_client_ca_file = {}", file("clients.crt", root)?));
                lines.push("  tls_require_and_verify_client_cert = true\n".to_owned());
            }
            listener(self.tls_port, &lines);
        }
        if self.storage == Storage::Raft {
            listener(self.port, &["  tls_disable = true\n".to_owned()]);
            let data = self.directory.join("data");
            fs::create_dir(&data).doing("create the store's directory")?;
            let _ = write!(
                text,
                "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
                 api_addr = \"{}\"\ncluster_addr = \"http://127.0.0.1:{}\"\n",
                data.display(),
                self.url(),
                self.port + 1
            );
        }
        fs::write(self.config(), text).doing("write the server's configuration")?;
        unprivileged::give(&self.directory, &unprivileged::user("nobody"))
    }

    fn config(&self) -> PathBuf {
        self.directory.join("server.hcl")
    }

    fn launch(&self) -> Result<()> {
        let mut command = Command::new(super::program()?);
        command.arg("server").arg(format!("-config={}", self.config().display()));
        if self.storage == Storage::Memory {
            command
                .args(["-dev", "-dev-no-store-token"])
                .arg(format!("-dev-root-token-id={}", self.root))
                .arg(format!("-dev-listen-address=127.0.0.1:{}", self.port));
        }
        command.current_dir(&self.directory).env("HOME", &self.directory);
        let server = Process::start("openbao", &command, &unprivileged::user("nobody"), Signal::TERM)?;
        server.wait_for_words("that it has started", |said| said.contains("OpenBao server started!"))?;
        *self.process() = Some(server);
        Ok(())
    }

    /// Its address in clear.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its address in TLS.
    pub fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// Ends the server. One in memory has forgotten everything.
    pub fn stop(&self) -> Result<()> {
        match self.process().take() {
            Some(server) => server.stop().map(drop),
            None => Ok(()),
        }
    }

    /// Kills it.
    pub fn kill(&self) -> Result<()> {
        match self.process().take() {
            Some(server) => {
                server.signal(Signal::KILL);
                server.wait().map(drop)
            }
            None => Ok(()),
        }
    }

    /// Starts a server on raft storage again, on the same ports. It is sealed.
    pub fn resume(&self) -> Result<()> {
        if self.storage == Storage::Memory {
            return Err(Failure::new("a server in memory has nothing to go on with"));
        }
        self.launch()
    }

    /// Seals it: it answers, and knows nothing.
    pub fn seal(&self) -> Result<()> {
        self.ask("PUT", "sys/seal", Some(&self.root), None)?.succeeded().map(drop)
    }

    /// Unseals a server on raft storage, and waits until it serves.
    pub fn unseal(&self) -> Result<()> {
        let request = json!({"key": self.unseal_key});
        self.ask("PUT", "sys/unseal", None, Some(&request))?.succeeded()?;
        wait::until("the store is unsealed and active", || {
            self.ask("GET", "sys/health", None, None).is_ok_and(|answer| answer.status == 200)
        });
        Ok(())
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        self.process().as_ref().map(Process::said).unwrap_or_default()
    }

    /// A request to `path`, which begins behind `/v1/`.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Answer> {
        let server = SocketAddr::from(([127, 0, 0, 1], self.port));
        let headers: Vec<(&str, &str)> = token.iter().map(|token| ("X-Vault-Token", *token)).collect();
        let body = body.map(Value::to_string).unwrap_or_default();
        let response = http::send(server, method, &format!("/v1/{path}"), &headers, &body)?;
        let body = serde_json::from_str(&response.body).unwrap_or_default();
        Ok(Answer { status: response.status, body })
    }

    /// Writes to a path with the token that may do everything; gives what comes back.
    pub fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("POST", path, Some(&self.root), Some(body))?.succeeded()
    }

    /// Reads a path with the token that may do everything.
    pub fn read(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, Some(&self.root), None)?.succeeded()
    }

    /// Deletes at a path with the token that may do everything.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.ask("DELETE", path, Some(&self.root), None)?.succeeded().map(drop)
    }

    /// A fresh policy with these rules, by its name.
    pub fn policy(&self, rules: &str) -> Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("policy-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.write(&format!("sys/policies/acl/{name}"), &json!({"policy": rules}))?;
        Ok(name)
    }

    /// A fresh token that may read these paths, and nothing else.
    pub fn reader(&self, paths: &[&str]) -> Result<String> {
        let rules: String =
            paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}\n")).collect();
        self.token(&rules)
    }

    /// A fresh token with these rules.
    pub fn token(&self, rules: &str) -> Result<String> {
        let policy = self.policy(rules)?;
        let made = self.write("auth/token/create", &json!({"policies": [policy], "ttl": "1h"}))?;
        Ok(text(&made["auth"]["client_token"]))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// Its body, if it is no error.
    pub fn succeeded(self) -> Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        Err(Failure::new(format!("OpenBao answers {}: {}", self.status, self.body)))
    }
}

/// A string of an answer.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
