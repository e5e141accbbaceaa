//! `credentials`: where a service's values come from.
//!
//! Owns literals and `{from, get}`; `credential_list` owns the form that is a list. No finding of this module holds a value,
//! nor a word that may be one.

use std::collections::BTreeMap;

use protocol::Secret;
use zeroize::Zeroizing;

use super::Place;
use super::findings::list_of;
use super::literals::{LiteralSecrets, VARIABLE_IS_TEXT, names_variable};
use super::model::{CredentialConfig, Source};
use super::nearest::{elsewhere, nearest};
use super::section::{Field, Reader, Section};
use super::words::{self, Word};
use crate::diagnostics::quoted;
use crate::providers::{self, Kind};

/// The stores that the file gives a name.
pub(super) type StoreNames = BTreeMap<String, Described>;

/// What is known of such a store before any value is read.
pub(super) struct Described {
    /// `None` if something is wrong with that, which is said where the store is.
    pub(super) kind: Option<&'static dyn Kind>,
    /// The names of its settings.
    pub(super) settings: Vec<String>,
}

/// Reads `credentials:` of a service.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    service: &Section<'d>,
    place: Place,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<Vec<CredentialConfig>> {
    let (field, section) = match service.take_combined(reader, "credentials") {
        Ok(Some(found)) => found,
        Ok(None) => {
            reader.error(place, &service.path_of("credentials"), BLANK, BLANK_HELP);
            return None;
        }
        Err(()) => return None,
    };
    read_section(reader, &field, &section, literals, stores)
}

/// Reads `credentials:`, which are the mapping `field`.
pub(super) fn read_section<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    section: &Section<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<Vec<CredentialConfig>> {
    let fields = section.fields(reader);
    if fields.is_empty() {
        reader.error(field.place, &field.path, BLANK, BLANK_HELP);
        return None;
    }
    // Every one is read, so that every error is found.
    let credentials: Vec<_> =
        fields.values().map(|field| read_one(reader, field, literals, stores)).collect();
    credentials.into_iter().collect()
}

pub(super) fn read_one<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<CredentialConfig> {
    if field.key.is_empty() {
        reader.error(
            field.place,
            &field.path,
            "a credential's name cannot be blank",
            "name it, like `password`",
        );
        return None;
    }
    if !reader.is_mapping(field) {
        return read_literal(reader, field, field, SINGLE_OR_PROVIDED, literals);
    }
    let section = reader.section(field)?;
    refuse_unknown_keys(reader, &section, field, &["from", "get", "raw"], "`from`, `get` and `raw`");
    let asked = Asked {
        provider: (section.path_of("from"), section.take(reader, "from")),
        id: (section.path_of("get"), section.take(reader, "get")),
    };
    read_provided(reader, &section, field, &asked, literals, stores)
}

/// Reads the value of `name`, which stands in the file as `field`.
pub(super) fn read_literal<'d>(
    reader: &mut Reader<'d>,
    name: &Field<'d>,
    field: &Field<'d>,
    expected: &str,
    literals: &mut LiteralSecrets,
) -> Option<CredentialConfig> {
    let value = read_value(reader, field, expected)?;
    if names_variable(&value) {
        reader.warn(
            field.place,
            &field.path,
            VARIABLE_IS_TEXT,
            "write `{from: env, get: NAME}` for a value that is a variable's",
        );
    }
    let is_rewritten = reader.scalar(field).is_some_and(|scalar| scalar.is_rewritten(&value));
    Some(CredentialConfig { is_rewritten, ..literal(reader, name, field, value, literals) })
}

/// Two keys, each with its path: who is asked, and for what.
pub(super) struct Asked<'d> {
    pub(super) provider: (String, Option<Field<'d>>),
    pub(super) id: (String, Option<Field<'d>>),
}

/// Reads what is asked of a provider. Each key is read before any is missed, so that every error is found.
pub(super) fn read_provided<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    asked: &Asked<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<CredentialConfig> {
    let provider = read_provider(reader, asked, field, stores);
    let raw = section.take(reader, "raw").map(|raw| (reader.boolean(&raw), raw));
    let (id_path, id) = &asked.id;
    let value = id.as_ref().map(|id| read_value(reader, id, SINGLE));
    let provider = provider?;
    let value = match value {
        Some(value) => value?,
        None => Zeroizing::default(),
    };
    let is_raw = match raw {
        Some((is_raw, raw)) => {
            if !provider.trims() {
                reader.warn(raw.place, &raw.path, "ignored: nothing is dropped from this value", "remove it");
            }
            is_raw?
        }
        None => false,
    };
    let id = id.as_ref().unwrap_or(field);
    let source = match provider {
        Named::Literal => return Some(literal(reader, field, id, value, literals)),
        Named::NotBuilt(word) => Source::Unknown(word),
        Named::Store(store, kind) => {
            let settings = stores.get(&store).map(|store| &*store.settings).unwrap_or_default();
            let is_shown = reader.variables(id).is_empty();
            let place = (id.place, id_path.as_str(), asked.provider.0.as_str());
            let id = read_id(reader, place, (value, is_shown), (kind, settings))?;
            Source::Provider { store, kind, id, raw: is_raw }
        }
    };
    Some(CredentialConfig {
        name: field.key.to_owned(),
        place: field.place,
        is_rewritten: false,
        variables: Vec::new(),
        source,
    })
}

/// What is named as a provider.
enum Named {
    Literal,
    Store(String, &'static dyn Kind),
    NotBuilt(String),
}

impl Named {
    fn trims(&self) -> bool {
        matches!(self, Self::Store(_, kind) if kind.trims())
    }
}

fn read_provider<'d>(
    reader: &mut Reader<'d>,
    asked: &Asked<'d>,
    field: &Field<'d>,
    stores: &StoreNames,
) -> Option<Named> {
    let (path, provider) = &asked.provider;
    let (word, place) = match provider {
        Some(provider) => (read_text(reader, provider)?, provider.place),
        None => (Zeroizing::default(), field.place),
    };
    if word.is_empty() {
        let list = list_of("provider", words::providers(stores));
        reader.error(place, path, "cannot be blank: expected a provider", list);
        return None;
    }
    if *word == words::LITERAL {
        return Some(Named::Literal);
    }
    if let Some(store) = stores.get(&**word) {
        return Some(Named::Store(word.to_string(), store.kind?));
    }
    if let Some(kind) = providers::by_name(&word) {
        if let Some(setting) = kind.settings().iter().find(|setting| setting.is_required) {
            let message = format!("`{}` needs settings, `{}` for one", kind.name(), setting.name);
            let help = format!(
                "write `providers:` at the top of the file, in it a name, and under that `type: {}` and the settings; then take \
                 the value `from:` that name",
                kind.name()
            );
            reader.error(place, path, message, help);
            return None;
        }
        return Some(Named::Store(word.to_string(), kind));
    }
    match words::provider(&word, stores) {
        Word::NotBuilt => {
            let word = word.to_string();
            let message =
                format!("the provider `{word}` is not supported yet: connections to this service will fail");
            reader.warn(
                place,
                path,
                message,
                "take the value from a store that is supported until then, such as `local`, `file` or `env`",
            );
            Some(Named::NotBuilt(word))
        }
        Word::Unknown(help) => {
            reader.error(place, path, format!("unknown provider{}", shown(&word)), help);
            None
        }
    }
}

/// What a provider is asked for: text that it accepts.
fn read_id(
    reader: &mut Reader<'_>,
    (place, path, provider_path): (Place, &str, &str),
    (mut value, is_shown): (Zeroizing<Vec<u8>>, bool),
    (kind, settings): (&dyn Kind, &[String]),
) -> Option<String> {
    let name = kind.name();
    let Ok(id) = String::from_utf8(std::mem::take(&mut *value)) else {
        reader.error(place, path, "expected text, found other bytes", "write it without `!!binary`");
        return None;
    };
    if id.is_empty() {
        let message = format!("cannot be blank: expected what to ask `{name}` for");
        let [id, provider] = [path, provider_path].map(last_of);
        reader.error(place, path, message, format!("write `{id}:` beside `{provider}:`"));
        return None;
    }
    match kind.check_id_with(&id, &|name| settings.iter().any(|known| known == name)) {
        Ok(()) => Some(id),
        Err(refusal) => {
            // It may quote what a variable says.
            let message = if is_shown {
                refusal
            } else {
                format!("`{name}` cannot be asked for what the variable says")
            };
            reader.error(place, path, message, format!("correct what `{name}` is asked for"));
            None
        }
    }
}

/// The value of `name`, which stands in the file as `field`, if it does not come from the environment.
fn literal<'d>(
    reader: &Reader<'d>,
    name: &Field<'d>,
    field: &Field<'d>,
    mut value: Zeroizing<Vec<u8>>,
    literals: &mut LiteralSecrets,
) -> CredentialConfig {
    let variables = reader.scalar(field).map(|scalar| scalar.variables().to_vec()).unwrap_or_default();
    if variables.is_empty() && !value.is_empty() && is_secret_like(name.key) {
        literals.note(name);
    }
    CredentialConfig {
        name: name.key.to_owned(),
        place: name.place,
        is_rewritten: false,
        variables,
        source: Source::Literal(Secret::from_heap(std::mem::take(&mut *value))),
    }
}

/// The value as the Go broker would have it.
pub(super) fn read_value<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    expected: &str,
) -> Option<Zeroizing<Vec<u8>>> {
    if reader.is_lost(field) {
        return None;
    }
    let Some(scalar) = reader.scalar(field) else {
        let message = format!("expected {expected}, found {}", reader.kind(field));
        reader.error(
            field.place,
            &field.path,
            message,
            if expected == SINGLE { "write one word, or text in quotes" } else { PROVIDED_HELP },
        );
        return None;
    };
    match scalar.render() {
        Ok(value) => Some(value),
        Err(_) => {
            let help = "remove the tag (`!!…`) and put the value in quotes";
            reader.error(field.place, &field.path, "the value is not what its tag says", help);
            None
        }
    }
}

fn read_text<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> Option<Zeroizing<String>> {
    let mut value = read_value(reader, field, SINGLE)?;
    match String::from_utf8(std::mem::take(&mut *value)) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(_) => {
            reader.error(
                field.place,
                &field.path,
                "expected text, found other bytes",
                "write it without `!!binary`",
            );
            None
        }
    }
}

/// Keys beside `from` and `get` are ignored, as in Go. They are not named: `password: {hunter2}` has a key.
pub(super) fn refuse_unknown_keys<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    known: &[&str],
    list: &str,
) {
    for (key, place) in section.keys() {
        if known.contains(&key) {
            continue;
        }
        let help = match nearest(key, known) {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("the keys here are {list}; a value with braces goes in quotes"),
        };
        reader.warn(place, &field.path, "unknown key, ignored", help);
    }
}

/// A provider's word may be shown, unless it looks like a value that went astray.
fn shown(word: &str) -> String {
    let is_word =
        word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_'));
    if is_word { format!(" {}", quoted(word)) } else { String::new() }
}

/// The key that a path ends in.
fn last_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, key)| key)
}

/// Whether a value of that name is what others must not see. A host or a port is not, nor where a secret lies.
fn is_secret_like(name: &str) -> bool {
    const NONE: &[&str] = &["keyid", "hostkey", "clientkey", "file", "token_url", "tokenurl"];
    const WORDS: &[&str] = &["password", "passphrase", "secret", "token", "key", "jwt", "bearer"];
    let name = name.to_ascii_lowercase();
    let is_misspelt = || elsewhere(&name) == Some("password") || nearest(&name, &["password"]).is_some();
    (WORDS.iter().any(|word| name.contains(word)) && !NONE.iter().any(|word| name.contains(word)))
        || is_misspelt()
}

pub(super) const SINGLE: &str = "a single value";
const SINGLE_OR_PROVIDED: &str = "a single value, or `from` and `get`";
const PROVIDED_HELP: &str = "write `name: value`, or `name: {from: provider, get: id}`";
pub(super) const BLANK: &str = "cannot be blank: expected at least one credential";
const BLANK_HELP: &str = "write `credentials:` with `host`, `username` and `password` under it";
