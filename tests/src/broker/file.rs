//! A configuration file, put together from what a test cares about.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Result};
use crate::mysql::{Account, Server};
use crate::postgres::{Cluster, Login};
use crate::{places, ports};

/// The variable that says what brokers move bytes with, where the test does not: `cargo suite` runs the acceptance tests
/// once with each driver.
pub const DRIVER: &str = "TESTS_IO";

/// A configuration file in the making, and the directory that it lies in.
#[derive(Clone, Debug)]
pub struct File {
    directory: PathBuf,
    admin: SocketAddr,
    /// Lines of the section `broker:`.
    pub broker: Vec<String>,
    /// Lines of the section `providers:`.
    pub providers: Vec<String>,
    /// The services.
    pub services: Vec<Service>,
}

/// One service of the file.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub connector: &'static str,
    /// Where it listens.
    pub listen: Listen,
    /// What its credential is made of.
    pub credentials: Vec<(String, Value)>,
    /// More lines of the service, indented from its own level.
    pub more: Vec<String>,
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A port of 127.0.0.1.
    Tcp(u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where a value of a credential comes from.
#[derive(Clone, Debug)]
pub enum Value {
    /// The file itself.
    Literal(String),
    /// A provider and what to ask it for.
    From(&'static str, String),
}

impl File {
    /// A file without services.
    pub fn new() -> Result<Self> {
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let directory = places::fresh("broker")?;
        Ok(Self { directory, admin, broker: Vec::new(), providers: Vec::new(), services: Vec::new() })
    }

    /// A file with these services.
    pub fn with(services: impl IntoIterator<Item = Service>) -> Result<Self> {
        let mut file = Self::new()?;
        file.services.extend(services);
        Ok(file)
    }

    /// Where the broker answers about itself.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The directory that it lies in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts a secret beside the file, for nobody else to read.
    pub fn secret(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        write_private(&path, content)?;
        Ok(path)
    }

    /// Writes it to its place.
    pub fn write(&self) -> Result<PathBuf> {
        let path = self.directory.join("secretless.yml");
        self.write_to(&path)?;
        Ok(path)
    }

    /// Writes it to `path`.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        write_private(path, &self.text())
    }

    /// What it says.
    pub fn text(&self) -> String {
        let mut text = format!("version: \"2\"\nbroker:\n  admin: \"{}\"\n", self.admin);
        let names_driver = self.broker.iter().any(|line| line.starts_with("io:"));
        if let Ok(driver) = std::env::var(DRIVER)
            && !names_driver
        {
            line_of(&mut text, 2, &format!("io: {driver}"));
        }
        for line in &self.broker {
            line_of(&mut text, 2, line);
        }
        if !self.providers.is_empty() {
            text.push_str("providers:\n");
        }
        for line in &self.providers {
            line_of(&mut text, 2, line);
        }
        text.push_str("services:\n");
        for service in &self.services {
            service.write(&mut text);
        }
        text
    }
}

impl Service {
    fn write(&self, text: &mut String) {
        line_of(text, 2, &format!("{}:", self.name));
        line_of(text, 4, &format!("connector: {}", self.connector));
        line_of(text, 4, &format!("listenOn: {}", self.listen.url()));
        line_of(text, 4, "credentials:");
        for (name, value) in &self.credentials {
            match value {
                Value::Literal(literal) => line_of(text, 6, &format!("{name}: {}", quoted(literal))),
                Value::From(provider, id) => {
                    line_of(text, 6, &format!("{name}: {{from: {provider}, get: {}}}", quoted(id)));
                }
            }
        }
        for line in &self.more {
            line_of(text, 4, line);
        }
    }

    /// A service without a credential.
    pub fn new(connector: &'static str, name: &str, listen: Listen) -> Self {
        Self { name: name.to_owned(), connector, listen, credentials: Vec::new(), more: Vec::new() }
    }

    /// The same service with one more value, or another one of that name.
    #[must_use]
    pub fn credential(mut self, name: &str, value: Value) -> Self {
        self.credentials.retain(|(known, _)| known != name);
        self.credentials.push((name.to_owned(), value));
        self
    }

    /// The same with a literal.
    #[must_use]
    pub fn literal(self, name: &str, value: &str) -> Self {
        self.credential(name, Value::Literal(value.to_owned()))
    }

    /// The same with a value that lies in a file.
    #[must_use]
    pub fn file(self, name: &str, path: &Path) -> Self {
        self.credential(name, Value::From("file", path.display().to_string()))
    }

    /// The same with one more line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }

    /// The same elsewhere.
    #[must_use]
    pub fn listening_on(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }
}

/// A service `name` on a free port, for `account` on `server`, in TLS that checks nothing, as long as nobody says otherwise.
pub fn mysql(name: &str, server: &Server, account: &Account) -> Service {
    let service = Service::new("mysql", name, Listen::tcp())
        .literal("host", "127.0.0.1")
        .literal("port", &server.port.to_string())
        .literal("username", &account.name);
    if account.password.is_empty() { service } else { service.literal("password", &account.password) }
}

/// A service `name` on a free port, for `login` on `cluster`, in clear.
pub fn pg(name: &str, cluster: &Cluster, login: &Login) -> Service {
    Service::new("pg", name, Listen::tcp())
        .literal("host", "127.0.0.1")
        .literal("port", &cluster.port.to_string())
        .literal("username", &login.name)
        .literal("password", &login.password)
        .literal("sslmode", "disable")
}

impl Listen {
    /// A free port of 127.0.0.1.
    pub fn tcp() -> Self {
        Self::Tcp(ports::free())
    }

    /// PostgreSQL's own kind of socket path in a fresh directory.
    pub fn unix() -> Result<Self> {
        Ok(Self::Unix(places::fresh("socket")?.join(".s.PGSQL.5432")))
    }

    /// As `listenOn` spells it.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(port) => format!("tcp://127.0.0.1:{port}"),
            Self::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    /// As libpq spells it: host and port.
    pub fn host_and_port(&self) -> (String, String) {
        match self {
            Self::Tcp(port) => ("127.0.0.1".to_owned(), port.to_string()),
            Self::Unix(path) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let port = name.rsplit('.').next().unwrap_or_default().to_owned();
                let directory = path.parent().unwrap_or(Path::new("/"));
                (directory.display().to_string(), port)
            }
        }
    }
}

/// A YAML scalar that means exactly `text`: JSON's escapes are YAML's.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn line_of(text: &mut String, indent: usize, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:indent$}{line}", "");
}

/// Writes a file that only we may read, as one change: whoever reads it sees the old content or the new.
fn write_private(path: &Path, content: &str) -> Result<()> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .doing(format_args!("write {}", beside.display()))?;
    std::io::Write::write_all(&mut file, content.as_bytes())
        .doing(format_args!("write {}", beside.display()))?;
    fs::rename(&beside, path).doing(format_args!("replace {}", path.display()))
}
