//! The configuration: from a file to checked values, or to everything that is wrong with it.
//!
//! [`load`] is all that the rest of the program needs, at start, for `check` and at a reload. Nothing of a file
//! is taken over before all of it was found right.

mod accounts;
mod authentication;
mod broker;
mod check;
mod claims;
mod client_tls;
mod cores;
mod credential_list;
mod credentials;
mod explain;
mod findings;
mod listed;
mod listen;
mod literals;
mod model;
mod nearest;
mod needs;
mod parameters;
mod place;
mod providers;
mod section;
mod service;
mod services;
mod source;
mod system;
mod values;
mod variables;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dataplane::IoChoice;

use self::broker::BrokerSection;
use self::claims::Claims;
pub use self::explain::explain;
use self::findings::Findings;
use self::literals::LiteralSecrets;
pub(crate) use self::nearest::nearest;
use self::needs::Need;
use self::section::{Reader, Section, Unknown};
use self::service::Shared;
use self::services::Services;
pub use self::source::FileState;
use self::system::System;
use crate::diagnostics::{Report, Severity, quoted};
use crate::stores::Stores;

pub(crate) use broker::IO_WORDS;
pub(crate) use client_tls::transport;
pub use model::{
    AuthenticationConfig, AuthenticationKind, BrokerConfig, ClientTlsConfig, Config, ConnectorConfig,
    CredentialConfig, ListenOn, ServiceConfig, SocketAccess, Source, StoreConfig, UnservedConfig,
};
pub use place::Place;

/// What to load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadRequest {
    /// The file; without one, the first that exists of `./secretless.yml`, `~/.secretless.yml` and
    /// `/etc/secretless.yml`.
    pub file: Option<PathBuf>,
    /// Whether services may listen beyond this machine that do not say so of themselves.
    pub allow_remote: bool,
    /// What bytes are moved with, whatever the file says.
    pub io: Option<IoChoice>,
}

/// A file that may be used.
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What its author should know.
    pub warnings: Report,
    /// Its services that cannot work as they are, by name; only [`check`] looks.
    pub doubtful: BTreeSet<String>,
    /// What the file was when it was read.
    pub state: FileState,
}

/// Loads a file to serve what it says. On an error the report has all errors of the file, and its warnings.
pub fn load(request: &LoadRequest) -> Result<Loaded, Report> {
    load_for(Purpose::Serve, request)
}

/// Loads a file to say what is in it: a service that cannot be started is only warned of.
pub fn inspect(request: &LoadRequest) -> Result<Loaded, Report> {
    load_for(Purpose::Inspect, request)
}

fn load_for(purpose: Purpose, request: &LoadRequest) -> Result<Loaded, Report> {
    let path = source::find(request.file.as_deref())?;
    let file = source::read(&path)?;
    let reading = Reading {
        path: &path,
        is_shared: file.is_shared,
        allow_remote: request.allow_remote,
        purpose,
        system: &System::REAL,
    };
    let mut loaded = reading.read(&file.text)?;
    loaded.state = file.state;
    let io = &mut loaded.config.broker.io;
    *io = request.io.unwrap_or(*io);
    Ok(loaded)
}

/// Loads a file as [`inspect`] does, and warns of what can be seen without connecting: literal values that the
/// protocol cannot use, files of secrets that are missing or open to others.
pub fn check(request: &LoadRequest) -> Result<Loaded, Report> {
    let mut loaded = inspect(request)?;
    let needs = Need::all(&loaded.config.stores);
    check::add_rewritten(&loaded.config, &mut loaded.warnings);
    let stores = Stores::open(std::mem::take(&mut loaded.config.stores), &Stores::default());
    loaded.doubtful = check::add_findings(&loaded.config, &needs, &stores, &mut loaded.warnings);
    loaded.warnings.sort();
    Ok(loaded)
}

/// Reads `bytes` as a file would be read, without asking the system for anything. For fuzzing: whatever the bytes
/// are, this returns, and holds memory in proportion to their number.
pub fn parse_for_fuzz(bytes: &[u8]) -> Result<Loaded, Report> {
    let path = Path::new("fuzz.yml");
    let purpose = Purpose::Inspect;
    let reading = Reading { path, is_shared: true, allow_remote: true, purpose, system: &System::NONE };
    match std::str::from_utf8(bytes) {
        Ok(text) => reading.read(text),
        Err(_) => Err(Report::of_error(Some(path), "expected UTF-8", "")),
    }
}

/// What a file is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Serve,
    Inspect,
}

/// How a text is read, whatever it says.
struct Reading<'a> {
    path: &'a Path,
    /// Whether others than its owner may read the file.
    is_shared: bool,
    allow_remote: bool,
    purpose: Purpose,
    system: &'a System,
}

impl Reading<'_> {
    fn read(&self, text: &str) -> Result<Loaded, Report> {
        let mut findings = Findings::new(self.path.to_owned());
        let mut document = match yaml::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let message = format!("not valid YAML: {}", error.message);
                findings.add(Severity::Error, Some(error.place), "", message, error.help.to_owned());
                return Err(findings.into_report());
            }
        };
        variables::expand(&mut document, self.system, &mut findings);
        let mut reader = Reader::new(&document, self.system, findings);
        if let Some(second) = document.second {
            reader.warn(
                second,
                "",
                "a second document begins here: only the first counts",
                "remove the `---`",
            );
        }
        let config = self.read_root(&mut reader);
        let Some(findings) = reader.into_findings() else {
            // Whatever else was found, it was found in a part.
            let message = "the file has too many keys once its aliases are unfolded";
            return Err(Report::of_error(Some(self.path), message, "use fewer aliases and merges"));
        };
        let report = findings.into_report();
        match config {
            Some(config) if !report.has_errors() => Ok(Loaded {
                config,
                warnings: report,
                doubtful: BTreeSet::new(),
                state: FileState::default(),
            }),
            _ => Err(report),
        }
    }

    fn read_root(&self, reader: &mut Reader<'_>) -> Option<Config> {
        let root = reader.root()?;
        // A file of another version would only earn errors about keys that are right in it.
        let looks_like_version_2 = root.has("services") && !root.has("listeners");
        if !is_version_2(reader, &root) && !looks_like_version_2 {
            return None;
        }
        root.without_extensions().finish(
            reader,
            &["version", "services", "broker", "providers"],
            Unknown::Ignored,
        );

        let broker_field = root.take(reader, "broker");
        let broker = broker_field.map_or_else(BrokerSection::default, |field| broker::read(reader, &field));
        let mut literals = LiteralSecrets::default();
        let (names, stores) = providers::read(reader, &root, &mut literals);
        let mut shared = Shared {
            broker: &broker,
            allow_remote: self.allow_remote || broker.allow_remote,
            claims: Claims::default(),
            literals,
            stores: names,
            unserved: match self.purpose {
                Purpose::Serve => Severity::Error,
                Purpose::Inspect => Severity::Warning,
            },
        };
        if let Some(admin) = broker.config.admin {
            // Nothing is taken yet.
            drop(shared.claims.claim_tcp(admin, "broker.admin"));
        }
        let services = services::read(reader, &root, &mut shared);
        let Shared { literals, .. } = shared;
        literals.warn_if_shared(reader, self.path, self.is_shared);
        let (Services { served, unserved }, stores) = (services?, stores?);
        parameters::check(reader, &stores, &served);
        let path = self.path.to_owned();
        Some(Config { path, services: served, unserved, stores, broker: broker.config })
    }
}

/// Whether the file says that it is of version 2.
fn is_version_2<'d>(reader: &mut Reader<'d>, root: &Section<'d>) -> bool {
    const EXPECTED: &str = "`version: \"2\"`";
    let field = root.take(reader, "version");
    let (found, place) = match &field {
        Some(field) => match reader.text(field, EXPECTED, "write `version: \"2\"`") {
            Some(found) => (found, field.place),
            None => return false,
        },
        None => ("", Place::START),
    };
    match found {
        "2" | "v2" => return true,
        "" if root.has("services") && !root.has("listeners") => reader.error(
            place,
            "version",
            format!("cannot be blank: expected {EXPECTED}"),
            "write `version: \"2\"` above `services:`",
        ),
        "" | "1" | "v1" => reader.error(
            place,
            "version",
            format!("v1 configuration is not supported: expected {EXPECTED}"),
            "convert it: write `version: \"2\"` and `services:`; each handler becomes a service with its name, its \
             `type` or its listener's `protocol` as `connector`, its listener's `address` as `listenOn: \
             tcp://address` or `socket` as `listenOn: unix://path`, and each credential as `name: {from: provider, \
             get: id}`",
        ),
        _ => reader.error(
            place,
            "version",
            format!("unknown configuration version {}: expected {EXPECTED}", quoted(found)),
            "write `version: \"2\"`",
        ),
    }
    false
}
