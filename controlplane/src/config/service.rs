//! One service: what it speaks, where it listens, what it may.

use std::time::Duration;

use dataplane::OnRotation;
use protocol::{ChannelBinding, CleartextPassword, Protocol, protocols};

use super::Place;
use super::broker::{self, BrokerSection};
use super::claims::Claims;
use super::client_tls;
use super::credentials::{self, StoreNames};
use super::listen;
use super::literals::LiteralSecrets;
use super::model::{ConnectorConfig, CredentialConfig, ListenOn, ServiceConfig};
use super::section::{Field, Reader, Section, Unknown};
use super::values::{Bound, read_word};
use super::words::{self, Word};
use crate::diagnostics::{Severity, quoted};
use crate::rotation::Rules;

/// What all services of a file share.
pub(super) struct Shared<'b> {
    /// What `broker:` says.
    pub(super) broker: &'b BrokerSection,
    /// Whether services may listen beyond this machine.
    pub(super) allow_remote: bool,
    /// Addresses that are taken.
    pub(super) claims: Claims,
    /// Literal secrets so far.
    pub(super) literals: LiteralSecrets,
    /// The stores that the file gives a name.
    pub(super) stores: StoreNames,
    /// What it is to the file that a service cannot be started.
    pub(super) unserved: Severity,
}

/// Reads one service. `None`, and errors, if it cannot be served.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    shared: &mut Shared<'_>,
) -> Option<ServiceConfig> {
    section.finish(reader, KEYS, Unknown::Ignored);

    // Every part is read before any is missed, so that every error is found.
    let protocol = read_protocol(reader, section, field);
    let listen_on = read_place(reader, section, field, shared);
    let credentials =
        credentials::read(reader, section, field.key_place, &mut shared.literals, &shared.stores);
    let config = read_config(reader, section);
    read_rest(reader, section, field, Core { protocol, listen_on, credentials, config }, shared)
}

/// What a service cannot be started without, as far as it could be read.
pub(super) struct Core<'d> {
    pub(super) protocol: Option<&'static dyn Protocol>,
    pub(super) listen_on: Option<ListenOn>,
    pub(super) credentials: Option<Vec<CredentialConfig>>,
    /// See [`read_config`].
    pub(super) config: (ConnectorConfig, Option<Field<'d>>),
}

/// Reads everything else of a service. `None` if its core is not whole.
pub(super) fn read_rest<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    core: Core<'d>,
    shared: &Shared<'_>,
) -> Option<ServiceConfig> {
    let Core { protocol, listen_on, credentials, config: (connector, inner_client_tls) } = core;
    let own_client_tls = section.take(reader, client_tls::KEY);
    let about = client_tls::About { protocol, listen_on: listen_on.as_ref() };
    let client_tls = client_tls::read(reader, own_client_tls.as_ref(), inner_client_tls.as_ref(), &about);
    let sessions_max = broker::read_limits(reader, section, shared.broker.config.sessions_max);
    let timeouts = broker::read_timeouts(reader, section).over(shared.broker.timeouts);
    let freshness = read_freshness(reader, section);
    let on_rotation = read_on_rotation(reader, section);
    let required = section.take(reader, "required").and_then(|field| reader.boolean(&field)).unwrap_or(true);

    Some(ServiceConfig {
        name: field.key.to_owned(),
        place: field.key_place,
        protocol: protocol?,
        listen_on: listen_on?,
        credentials: credentials?,
        sessions_max,
        timeouts: timeouts.of_service(protocol?),
        required,
        on_rotation,
        refresh: freshness.refresh,
        stale_max: freshness.rules.stale_max,
        failure_pause_max: freshness.rules.failure_pause_max,
        rotation_grace: freshness.rules.grace,
        connector,
        client_tls,
    })
}

/// How fresh a service wants its values.
struct Freshness {
    refresh: Option<Duration>,
    rules: Rules,
}

fn read_freshness<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> Freshness {
    let refresh = section.take(reader, "refresh").and_then(|field| reader.duration_or_off(&field));
    let stale = section.take(reader, "stale").and_then(|field| reader.duration_or_zero(&field));
    let failure_pause = section.take(reader, "failureTtl").and_then(|field| reader.duration(&field));
    let grace = section.take(reader, "rotationGrace").and_then(|field| reader.duration_or_zero(&field));
    let usual = Rules::default();
    Freshness {
        refresh: match refresh {
            None => Some(Duration::from_secs(5 * 60)),
            Some(Bound::After(interval)) => Some(interval),
            Some(Bound::Off) => None,
        },
        rules: Rules {
            stale_max: stale.unwrap_or(usual.stale_max),
            failure_pause_max: failure_pause.unwrap_or(usual.failure_pause_max),
            grace: grace.unwrap_or(usual.grace),
        },
    }
}

fn read_on_rotation<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> OnRotation {
    /// A session that is idle for so long is between two uses.
    const IDLE: Duration = Duration::from_secs(30);
    /// Their clients come back, and a server takes only so many logins a second.
    const CLOSE_WITHIN: Duration = Duration::from_secs(5);
    let within = section.take(reader, "drainWithin").and_then(|field| reader.duration(&field));
    let drain = OnRotation::Drain { idle: IDLE, within: within.unwrap_or(Duration::from_secs(60 * 60)) };
    read_word(
        reader,
        section,
        "onRotation",
        &[
            ("keep", OnRotation::Keep),
            ("drain", drain),
            ("close", OnRotation::Close { within: CLOSE_WITHIN }),
        ],
        "`keep`: open sessions go on; `drain`: each ends when it has been idle for 30 s; `close`: each ends within 5 s",
    )
}

/// The name goes into logs, metrics and errors that clients see. Whether it may.
pub(super) fn check_name(reader: &mut Reader<'_>, field: &Field<'_>) -> bool {
    let is_right = !field.key.is_empty() && !field.key.chars().any(char::is_control);
    if !is_right {
        reader.error(
            field.key_place,
            &field.path,
            "expected a name, which is not blank and has no control characters",
            "logs, metrics and errors show the name: use letters, digits, `-` and `_`",
        );
    }
    is_right
}

fn read_protocol<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: &Field<'d>,
) -> Option<&'static dyn Protocol> {
    let named = read_connector(reader, section, service)?;
    if let Some(protocol) = protocols::by_name(named.word) {
        return Some(protocol);
    }
    match words::connector(named.word) {
        Word::NotBuilt => {
            let service = quoted(service.key);
            let message = format!("the connector `{}` of service {service} is not supported yet", named.word);
            let help = "remove the service, or leave it to the Go broker until it is";
            reader.error(named.place, &named.path, message, help);
        }
        Word::Unknown(help) => named.refuse(reader, help),
    }
    None
}

/// The word that says what a service speaks.
pub(super) struct ConnectorWord<'d> {
    pub(super) word: &'d str,
    /// The variables that say it, which may say anything.
    origin: Option<String>,
    path: String,
    place: Place,
}

impl ConnectorWord<'_> {
    /// Notes that there is no such connector.
    pub(super) fn refuse(&self, reader: &mut Reader<'_>, help: String) {
        let word = self.origin.clone().unwrap_or_else(|| format!("{:?}", self.word));
        let message = format!("missing service connector {word}: there is no such connector");
        reader.error(self.place, &self.path, message, help);
    }
}

/// Reads `connector`, or the deprecated `protocol`.
pub(super) fn read_connector<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: &Field<'d>,
) -> Option<ConnectorWord<'d>> {
    const EXPECTED: &str = "the name of a connector";
    let help = "write it like `connector: pg`";
    let word_of = |reader: &mut Reader<'d>, key| match section.take(reader, key) {
        Some(field) => reader.text(&field, EXPECTED, help).map(|word| (word, field.place)),
        None => Some(("", service.key_place)),
    };
    let connector = word_of(reader, "connector");
    let deprecated = word_of(reader, "protocol");
    let (connector, deprecated) = (connector?, deprecated?);
    if !deprecated.0.is_empty() {
        warn_deprecated(reader, section, service, deprecated.1, !connector.0.is_empty());
    }
    let (key, (word, place)) =
        if connector.0.is_empty() { ("protocol", deprecated) } else { ("connector", connector) };
    if word.is_empty() {
        reader.error(
            connector.1,
            &section.path_of("connector"),
            format!("missing 'connector' key on service '{}': expected {EXPECTED}", service.key),
            help,
        );
        return None;
    }
    let field = section.take(reader, key);
    let origin = field.filter(|field| !reader.variables(field).is_empty());
    let origin = origin.map(|field| reader.shown(&field, word));
    Some(ConnectorWord { word, origin, path: section.path_of(key), place })
}

fn warn_deprecated<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: &Field<'d>,
    place: Place,
    has_connector: bool,
) {
    let outcome = if has_connector { " 'connector' is what counts." } else { "" };
    reader.warn(
        place,
        &section.path_of("protocol"),
        format!(
            "'protocol' key found on service '{}'. 'protocol' is now deprecated and will be removed in a future release.{outcome}",
            service.key
        ),
        if has_connector { "remove `protocol`" } else { "rename the key to `connector`" },
    );
}

/// Reads where a service listens, and whether it may.
pub(super) fn read_place<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    service: &Field<'d>,
    shared: &mut Shared<'_>,
) -> Option<ListenOn> {
    let listen_on = listen::read(reader, section, service.key_place);
    let allow_remote = section.take(reader, "allowRemote").and_then(|field| reader.boolean(&field));
    let (place, listen_on) = listen_on?;
    check_reach(reader, (place, &listen_on), &service.path, allow_remote.unwrap_or(shared.allow_remote));
    claim(reader, (place, &listen_on), &service.path, &mut shared.claims);
    Some(listen_on)
}

/// Beyond this machine a service listens only if somebody said so.
fn check_reach(
    reader: &mut Reader<'_>,
    (place, listen_on): (Place, &ListenOn),
    service: &str,
    allow_remote: bool,
) {
    if listen::is_local(listen_on) || allow_remote {
        return;
    }
    reader.error(
        place,
        &format!("{service}.listenOn"),
        format!("expected an address that only this machine reaches, found {}", quoted(&listen_on.to_string())),
        "whoever connects is served without a password: listen on 127.0.0.1 or a Unix socket; or say `allowRemote: \
         true` on the service or under `broker:`, or start with --allow-remote",
    );
}

/// Two services cannot share an address.
fn claim(
    reader: &mut Reader<'_>,
    (place, listen_on): (Place, &ListenOn),
    service: &str,
    claims: &mut Claims,
) {
    if let Err(other) = claims.claim(listen_on, service) {
        reader.error(
            place,
            &format!("{service}.listenOn"),
            format!("{other} listens there already, so {service} cannot: address already in use"),
            "give each its own port or path",
        );
    }
}

/// Reads `config:`, which belongs to the connector. `clientTls` in it is left unread: the same key may stand on the service.
pub(super) fn read_config<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
) -> (ConnectorConfig, Option<Field<'d>>) {
    let default = ConnectorConfig::default();
    let Some(field) = section.take(reader, "config") else { return (default, None) };
    if !reader.is_mapping(&field) {
        if reader.kind(&field) != "nothing" {
            reader.warn(field.place, &field.path, "ignored: this connector expects a mapping", "remove it");
        }
        return (default, None);
    }
    let Some(config) = reader.section(&field) else { return (default, None) };
    config.finish(reader, CONFIG_KEYS, Unknown::Ignored);
    let cleartext_password = read_word(
        reader,
        &config,
        "cleartextPassword",
        &[
            ("verified", Some(CleartextPassword::Verified)),
            ("tls", Some(CleartextPassword::Tls)),
            ("always", Some(CleartextPassword::Always)),
        ],
        "`verified`: in TLS with a checked certificate; `tls`: in any TLS; `always`: anywhere",
    );
    let channel_binding = read_word(
        reader,
        &config,
        "channelBinding",
        &[("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)],
        "`prefer`: where the target offers it; `require`: no login without it",
    );
    let allow_public_key_retrieval = config
        .take(reader, "allowPublicKeyRetrieval")
        .and_then(|field| reader.boolean(&field))
        .unwrap_or(default.allow_public_key_retrieval);
    let compression = config
        .take(reader, "compression")
        .and_then(|field| reader.boolean(&field))
        .unwrap_or(default.compression);
    let connector =
        ConnectorConfig { cleartext_password, channel_binding, allow_public_key_retrieval, compression };
    (connector, config.take(reader, client_tls::KEY))
}

/// What connectors know of `config:`.
const CONFIG_KEYS: &[&str] =
    &["cleartextPassword", "channelBinding", "allowPublicKeyRetrieval", "compression", client_tls::KEY];

/// `debug` was left over in files of the Go broker, which ignored it.
pub(super) const KEYS: &[&str] = &[
    "connector",
    "protocol",
    "listenOn",
    "credentials",
    "config",
    client_tls::KEY,
    "limits",
    "timeouts",
    "socket",
    "allowRemote",
    "required",
    "onRotation",
    "drainWithin",
    "refresh",
    "stale",
    "failureTtl",
    "rotationGrace",
    "debug",
];
