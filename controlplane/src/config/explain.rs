//! What a configuration means, in sentences for people.
//!
//! Owns the words. No value that may be a secret is among them: of what stands in the file only places and modes are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::time::Duration;

use dataplane::OnRotation;
use protocol::{ClientTls, Credential, Destination, Generation, Secret};

use super::authentication::host_of;
use super::model::{
    AuthenticationConfig, AuthenticationKind, Config, CredentialConfig, ListenOn, ServiceConfig, Source,
    UnservedConfig,
};
use super::transport;
use crate::diagnostics::printable;
use crate::providers::{Settings, Shown, is_program};

/// Literals that are no secrets.
const SHOWN: &[&str] = &["host", "port", "address", "sslmode", "sslhost"];

/// What `config` means: a paragraph for each store that has a name, for each service, and for each that cannot be started.
pub fn explain(config: &Config) -> String {
    let mut text = String::new();
    // A String takes all text.
    let _ = write_all(config, &mut text);
    text
}

fn write_all(config: &Config, text: &mut String) -> fmt::Result {
    for store in &config.stores {
        writeln!(text, "store {} ({})", printable(&store.name), store.kind.name())?;
        let mut last = "";
        for (setting, count) in lists(&store.settings) {
            let known = store.kind.settings().iter().find(|known| known.name == setting.name);
            let is_first = std::mem::replace(&mut last, &setting.name) != setting.name;
            let words = match (&setting.source, known.map_or(Shown::Never, |known| known.shown)) {
                _ if !setting.variables.is_empty() => origin(setting),
                (Source::Literal(value), Shown::Always) => text_of(value),
                (Source::Literal(value), Shown::Path) if is_path(value) => text_of(value),
                (Source::Literal(value), Shown::First) if is_first && value.expose(is_program) => {
                    let more = match count {
                        1 => String::new(),
                        2 => ", and one more word".to_owned(),
                        count => format!(", and {} more words", count - 1),
                    };
                    format!("{}{more}", text_of(value))
                }
                _ if count > 1 => format!("{} ({count} values)", origin(setting)),
                _ => origin(setting),
            };
            writeln!(text, "  {:12} {words}", printable(&setting.name))?;
        }
        text.push('\n');
    }
    for (i, service) in config.services.iter().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        write_service(service, text)?;
    }
    for (i, service) in config.unserved.iter().enumerate() {
        if i > 0 || !config.services.is_empty() {
            text.push('\n');
        }
        write_unserved(service, text)?;
    }
    Ok(())
}

/// Settings, those of a list that have one origin together: how many they are.
fn lists(settings: &[CredentialConfig]) -> Vec<(&CredentialConfig, usize)> {
    let mut lists: Vec<(&CredentialConfig, usize)> = Vec::new();
    for setting in settings {
        match lists.last_mut() {
            Some((last, count)) if last.name == setting.name && origin(last) == origin(setting) => {
                *count += 1;
            }
            _ => lists.push((setting, 1)),
        }
    }
    lists
}

fn write_service(service: &ServiceConfig, text: &mut String) -> fmt::Result {
    writeln!(text, "{} ({})", printable(&service.name), service.protocol.name())?;
    let mut line = |name: &str, words: &str| writeln!(text, "  {name:12} {words}");
    line("listens on", &listens_on(service))?;
    line("reaches", &reaches(service))?;
    for credential in &service.credentials {
        line(&printable(&credential.name), &origin(credential))?;
    }
    match &freshness(service)[..] {
        [(_, words)] => line("values are", words)?,
        ways => {
            for (stores, words) in ways {
                line("values are", &format!("{words} (from {stores})"))?;
            }
        }
    }
    line("rotation", &rotation(service))?;
    line("sessions", &format!("at most {}; {}", service.sessions_max, timeouts(service)))
}

fn write_unserved(service: &UnservedConfig, text: &mut String) -> fmt::Result {
    writeln!(text, "{} ({})", printable(&service.name), service.connector)?;
    let mut line = |name: &str, words: &str| writeln!(text, "  {name:12} {words}");
    line("cannot start", &service.reason)?;
    if let Some(listen_on) = &service.listen_on {
        line("listens on", &place(listen_on))?;
    }
    for entry in &service.authentication {
        line("logs in", &authentication(entry))?;
        // What is shown already needs no origin.
        for value in entry.values.iter().filter(|value| shown(value, &["header", "scope"]).is_none()) {
            line(&printable(&value.name), &origin(value))?;
        }
    }
    if !service.headers.is_empty() {
        line("sends", &format!("the headers {}", printable(&service.headers.join(", "))))?;
    }
    for credential in &service.credentials {
        line(&printable(&credential.name), &origin(credential))?;
    }
    Ok(())
}

/// How a service shows who it is, without what is secret in that.
fn authentication(entry: &AuthenticationConfig) -> String {
    let literal = |name| entry.values.iter().find_map(|value| shown(value, &[name]));
    let somewhere = || "what its values say".to_owned();
    match entry.kind {
        AuthenticationKind::OAuth2 => {
            let url = literal("token_url");
            let host = url.as_deref().and_then(host_of).map_or_else(somewhere, printable);
            let scope = literal("scope").map(|scope| format!(", scope {}", printable(&scope)));
            format!("with a token of {host} (oauth2){}", scope.unwrap_or_default())
        }
        AuthenticationKind::Header => {
            let header = literal("header").map_or_else(somewhere, |header| printable(&header));
            format!("with the header {header}")
        }
    }
}

/// The text of a literal that has one of these names.
fn shown(credential: &CredentialConfig, names: &[&str]) -> Option<String> {
    match &credential.source {
        Source::Literal(secret) if names.contains(&&*credential.name) => {
            Some(secret.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        }
        _ => None,
    }
}

fn place(listen_on: &ListenOn) -> String {
    let mut words = printable(&listen_on.to_string());
    if let ListenOn::Unix { access, .. } = listen_on {
        let id = |id: Option<u32>| id.map_or("ours".to_owned(), |id| id.to_string());
        let (owner, group) = (id(access.owner), id(access.group));
        // Writing to a String cannot fail.
        let _ = write!(words, ", mode {:04o}, owner {owner}, group {group}", access.mode);
    }
    words
}

fn listens_on(service: &ServiceConfig) -> String {
    let mut words = place(&service.listen_on);
    let mode = service.client_tls.mode;
    let offers = service.protocol.offers_client_tls(mode, transport(&service.listen_on));
    words.push_str(match (mode, offers) {
        (_, false) => ", in clear",
        (ClientTls::Required, true) => ", in TLS",
        (_, true) => ", in clear or in TLS",
    });
    words
}

/// The target, as far as the file alone says it.
fn reaches(service: &ServiceConfig) -> String {
    let is_elsewhere = |name: &str| {
        let mut sources = service.credentials.iter().filter(|credential| credential.name == name);
        sources.any(|credential| !matches!(credential.source, Source::Literal(_)))
    };
    if ["host", "port", "address"].into_iter().any(is_elsewhere) {
        return "what its values say".to_owned();
    }
    let literals: BTreeMap<Box<str>, Secret> = service
        .credentials
        .iter()
        .filter_map(|credential| match &credential.source {
            Source::Literal(secret) if SHOWN.contains(&&*credential.name) => {
                let copy = secret.expose(|bytes| Secret::from_heap(bytes.to_vec()));
                Some((credential.name.as_str().into(), copy))
            }
            _ => None,
        })
        .collect();
    match service.protocol.destination(&Credential::new(Generation(1), literals)) {
        Ok(Destination::Tcp { host, port }) if host.contains(':') => printable(&format!("[{host}]:{port}")),
        Ok(Destination::Tcp { host, port }) => printable(&format!("{host}:{port}")),
        Ok(Destination::Unix(path)) => printable(&path),
        Err(error) => error.to_string(),
    }
}

/// Where a value comes from.
fn origin(credential: &CredentialConfig) -> String {
    if let Some(text) = shown(credential, SHOWN) {
        return printable(&text);
    }
    match &credential.source {
        Source::Literal(_) if !credential.variables.is_empty() => {
            format!("from the environment: {}", credential.variables.join(", "))
        }
        Source::Literal(_) => "in the file".to_owned(),
        Source::Provider { store, kind, id, .. } => printable(&format!("from {store}: {}", kind.shown(id))),
        Source::Unknown(store) => printable(&format!("from {store}, which is not supported yet")),
    }
}

/// Whether somebody has not put a secret where a path belongs.
fn is_path(value: &Secret) -> bool {
    value.expose(|bytes| bytes.starts_with(b"/") && !bytes.contains(&b'\n'))
}

/// A literal that is no secret.
fn text_of(value: &Secret) -> String {
    value.expose(|bytes| printable(&String::from_utf8_lossy(bytes)))
}

/// How values are kept fresh: of which stores, and in which way.
fn freshness(service: &ServiceConfig) -> Vec<(String, String)> {
    let store = |credential: &CredentialConfig| match &credential.source {
        Source::Provider { store, kind, .. } => Some((printable(store), kind.open(Settings::default()))),
        Source::Literal(_) | Source::Unknown(_) => None,
    };
    let stores: Vec<_> = service.credentials.iter().filter_map(store).collect();
    let asked = |leases: bool| {
        let often = match service.refresh {
            Some(interval) => {
                format!("asked for every {} and when the target refuses one", duration(interval))
            }
            None => "asked for when the target refuses one".to_owned(),
        };
        let stale = match service.stale_max {
            Duration::ZERO => "none serves longer than it is fresh".to_owned(),
            stale => format!("the last values serve {} longer while the store fails", duration(stale)),
        };
        let leases = if leases {
            "; what is leased is renewed and replaced in its own time, and no session outlives it"
        } else {
            ""
        };
        format!("{often}; {stale}{leases}")
    };
    let mut ways: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, store) in &stores {
        let way = match (store.must_be_asked(), store.is_constant()) {
            (true, _) => asked(store.gives_leases()),
            (false, true) => "read once".to_owned(),
            (false, false) => "read when they change; the last ones serve on while they cannot be".to_owned(),
        };
        ways.entry(way).or_default().insert(name);
    }
    let names = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    ways.into_iter().map(|(way, stores)| (names(stores), way)).collect()
}

fn rotation(service: &ServiceConfig) -> String {
    match service.on_rotation {
        OnRotation::Keep => "open sessions are kept".to_owned(),
        OnRotation::Drain { idle, within } => format!(
            "open sessions end when they are idle for {}, at the latest after {}",
            duration(idle),
            duration(within)
        ),
        OnRotation::Close { within } => format!("open sessions end within {}", duration(within)),
    }
}

fn timeouts(service: &ServiceConfig) -> String {
    let idle = service.timeouts.idle.map_or("without a limit".to_owned(), duration);
    let (dial, handshake) = (duration(service.timeouts.dial), duration(service.timeouts.handshake));
    format!("dial {dial}, handshake {handshake}, idle {idle}")
}

/// In the largest unit that is whole.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if duration.subsec_nanos() != 0 => format!("{} ms", duration.as_millis()),
        0 => "0 s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
