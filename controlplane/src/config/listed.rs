//! A service of a list: like one under a name, and it need not be one that can be started.
//!
//! Owns what such a service may lack, and the words for it. Whether the file is refused for that is for whoever reads the file.

use protocol::{Protocol, protocols};

use super::authentication;
use super::credential_list;
use super::credentials;
use super::model::{ConnectorConfig, CredentialConfig, ServiceConfig, UnservedConfig};
use super::section::{Field, Reader, Section, Unknown};
use super::service::{self, Core, Shared};
use super::words::{self, Word};
use crate::diagnostics::quoted;

/// What has become of a service.
pub(super) enum Listed {
    Served(ServiceConfig),
    Unserved(UnservedConfig),
}

/// Reads one service; `name_key` is the key that its name stands under, if there is one. `None`, and errors, if something in it is
/// wrong.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    name_key: Option<&str>,
    shared: &mut Shared<'_>,
) -> Option<Listed> {
    let known: Vec<&str> =
        service::KEYS.iter().copied().chain([authentication::KEY]).chain(name_key).collect();
    section.finish(reader, &known, Unknown::Ignored);

    // Every part is read before any is missed, so that every error is found.
    let connector = read_connector(reader, section, field);
    let has_place = section.has("listenOn");
    let listen_on = if has_place { service::read_place(reader, section, field, shared) } else { None };
    let authentication = authentication::read(reader, section, &mut shared.literals, &shared.stores);
    let is_authenticated = section.has(authentication::KEY);
    let protocol = connector.as_ref().and_then(Connector::built);
    let needs_credentials = protocol.is_some() && !is_authenticated;
    let credentials = match section.has("credentials") {
        false if !needs_credentials => Some(Vec::new()),
        _ => read_credentials(reader, section, field, shared),
    };
    let (config, headers) = match &connector {
        Some(Connector::NotBuilt(_)) => ((ConnectorConfig::default(), None), read_headers(reader, section)),
        _ => (service::read_config(reader, section), Vec::new()),
    };
    let lacks = connector.as_ref().map(|connector| lacks(connector, has_place, is_authenticated));
    let Some(lacks) = lacks.filter(|lacks| !lacks.is_empty()) else {
        let core = Core { protocol, listen_on, credentials, config };
        return service::read_rest(reader, section, field, core, shared).map(Listed::Served);
    };
    // What else is wrong is wrong whatever it lacks.
    let core = Core { protocol, listen_on: listen_on.clone(), credentials: None, config };
    let _ = service::read_rest(reader, section, field, core, shared);
    let reason = Lack::join(&lacks, |lack| &lack.what);
    reader.say(
        shared.unserved,
        field.place,
        &field.path,
        format!("{} cannot be started: {reason}", quoted(field.key)),
        Lack::join(&lacks, |lack| &lack.remedy),
    );
    Some(Listed::Unserved(UnservedConfig {
        name: field.key.to_owned(),
        connector: connector?.word().to_owned(),
        listen_on,
        authentication: authentication?,
        credentials: credentials?,
        headers,
        reason,
    }))
}

fn read_credentials<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: &Field<'d>,
    shared: &mut Shared<'_>,
) -> Option<Vec<CredentialConfig>> {
    let Shared { literals, stores, .. } = shared;
    if !section.has_list(reader, "credentials") {
        return credentials::read(reader, section, service.place, literals, stores);
    }
    // A list adds up with nothing.
    let field = section.take(reader, "credentials")?;
    match reader.items(&field) {
        Some(items) => credential_list::read(reader, &field, &items, literals, stores),
        None => {
            let section = reader.section(&field)?;
            credentials::read_section(reader, &field, &section, literals, stores)
        }
    }
}

/// A connector that is known.
enum Connector<'d> {
    Built(&'static dyn Protocol),
    NotBuilt(&'d str),
}

impl Connector<'_> {
    fn built(&self) -> Option<&'static dyn Protocol> {
        match self {
            Self::Built(protocol) => Some(*protocol),
            Self::NotBuilt(_) => None,
        }
    }

    fn word(&self) -> &str {
        match self {
            Self::Built(protocol) => protocol.name(),
            Self::NotBuilt(word) => word,
        }
    }
}

fn read_connector<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
) -> Option<Connector<'d>> {
    let named = service::read_connector(reader, section, field)?;
    if let Some(protocol) = protocols::by_name(named.word) {
        return Some(Connector::Built(protocol));
    }
    match words::connector_of_list(named.word) {
        Word::NotBuilt => Some(Connector::NotBuilt(named.word)),
        Word::Unknown(help) => {
            named.refuse(reader, help);
            None
        }
    }
}

/// Why a service cannot be started, and what helps.
struct Lack {
    what: String,
    remedy: String,
}

impl Lack {
    fn join<'l>(lacks: &'l [Self], part: fn(&'l Self) -> &'l String) -> String {
        lacks.iter().map(|lack| part(lack).as_str()).collect::<Vec<_>>().join(", and ")
    }
}

fn lacks(connector: &Connector<'_>, has_place: bool, is_authenticated: bool) -> Vec<Lack> {
    let mut lacks = Vec::new();
    match connector {
        Connector::NotBuilt(word) => lacks.push(Lack {
            what: format!("the connector `{word}` is not supported yet"),
            remedy: "remove the service until its connector is supported".to_owned(),
        }),
        Connector::Built(protocol) if is_authenticated => lacks.push(Lack {
            what: format!("the connector `{}` has no use for `authentication`", protocol.name()),
            remedy: "write `credentials` in its place".to_owned(),
        }),
        Connector::Built(_) => {}
    }
    if !has_place {
        lacks.push(Lack {
            what: "there is no `listenOn`".to_owned(),
            remedy: "write where it listens, like `listenOn: tcp://127.0.0.1:8080`".to_owned(),
        });
    }
    lacks
}

/// The headers that `config:` of a connector for HTTP has. What else is in it is that connector's matter, once it is built.
fn read_headers<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> Vec<String> {
    let inner = |reader: &mut Reader<'d>, section: &Section<'d>, key| {
        let field = section.take(reader, key)?;
        reader.section(&field)
    };
    let Some(config) = inner(reader, section, "config") else { return Vec::new() };
    let Some(headers) = inner(reader, &config, "headers") else { return Vec::new() };
    headers.fields(reader).into_keys().map(str::to_owned).collect()
}
