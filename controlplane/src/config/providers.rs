//! The section `providers:`: stores of secrets, each with a name and settings.
//!
//! Owns which settings there are, the order in which stores are opened, and that none needs itself. What a setting means is
//! its kind's.

use std::collections::BTreeMap;

use super::credentials::{self, Described, StoreNames};
use super::findings::list_of;
use super::literals::LiteralSecrets;
use super::model::{CredentialConfig, Source, StoreConfig};
use super::nearest::nearest;
use super::section::{Field, Reader, Section};
use super::words::{self, LITERAL, Word};
use crate::diagnostics::quoted;
use crate::providers::{self, Conflict, Kind, KnownSetting, Written};

/// Reads `providers:`: the names that values may come from, also where something is wrong with the store; and the stores, each
/// behind those that it needs.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    root: &Section<'d>,
    literals: &mut LiteralSecrets,
) -> (StoreNames, Option<Vec<StoreConfig>>) {
    let section = match root.take_combined(reader, "providers") {
        Ok(Some((_, section))) => section,
        Ok(None) => return (StoreNames::new(), Some(Vec::new())),
        Err(()) => return (StoreNames::new(), None),
    };
    let fields = section.fields(reader);
    // All names first: a store's settings may come from any other.
    let described: Vec<_> = fields.values().map(|field| describe(reader, field)).collect();
    let names: StoreNames = fields.keys().map(|&name| name.to_owned()).zip(described).collect();
    let stores: Vec<_> = fields
        .iter()
        .map(|(name, field)| read_store(reader, field, names.get(*name)?.kind?, literals, &names))
        .collect();
    let stores: Option<Vec<StoreConfig>> = stores.into_iter().collect();
    let stores = stores.and_then(|stores| in_order(reader, stores));
    (names, stores)
}

/// What a store is: `type`, or what its name says; and which settings it has.
fn describe<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> Described {
    let kind = kind_of(reader, field);
    let settings = match kind {
        Some(_) => {
            reader.section(field).iter().flat_map(Section::keys).map(|(key, _)| key.to_owned()).collect()
        }
        None => Vec::new(),
    };
    Described { kind, settings }
}

fn kind_of<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> Option<&'static dyn Kind> {
    const EXPECTED: &str = "the name of a kind of provider";
    const HELP: &str = "write it like `type: file`";
    if field.key == LITERAL || field.key.is_empty() || field.key.chars().any(char::is_control) {
        let message = format!("{} cannot be the name of a store", quoted(field.key));
        reader.error(field.key_place, &field.path, message, "give it another name");
        return None;
    }
    let section = reader.section(field)?;
    let (word, place) = match section.take(reader, "type") {
        Some(kind) => (reader.text(&kind, EXPECTED, HELP)?, kind.place),
        None => (field.key, field.key_place),
    };
    // Whoever reads `from: file` means files.
    if providers::by_name(field.key).is_some() && word != field.key {
        let message = format!("{} is a kind of provider itself", quoted(field.key));
        reader.error(field.key_place, &field.path, message, "give the store another name");
        return None;
    }
    if let Some(kind) = providers::by_name(word) {
        return Some(kind);
    }
    if !section.has("type")
        && let Some((key, place)) = section.keys().find(|(key, _)| ["kind", "provider"].contains(key))
    {
        reader.error(place, &section.path_of(key), "unknown setting", "did you mean `type`?");
        return None;
    }
    let path = section.path_of("type");
    match words::provider(word, &StoreNames::new()) {
        Word::NotBuilt => {
            let message = format!("the provider {} is not supported yet", quoted(word));
            reader.error(place, &path, message, "remove the store until it is");
        }
        Word::Unknown(help) => {
            let message = format!("there is no kind of provider {}", quoted(word));
            reader.error(place, &path, message, format!("write `type:` and one of these: {help}"));
        }
    }
    None
}

fn read_store<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    kind: &'static dyn Kind,
    literals: &mut LiteralSecrets,
    names: &StoreNames,
) -> Option<StoreConfig> {
    let section = reader.section(field)?;
    let known: Vec<&str> = kind.settings().iter().map(|setting| setting.name).collect();
    let mut settings = Vec::new();
    let mut is_right = true;
    for (key, setting) in section.fields(reader) {
        if key == "type" {
            continue;
        }
        if !known.contains(&key) {
            let help = match nearest(key, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => format!("`{}` has no settings", kind.name()),
                None => list_of("setting", known.iter().copied()),
            };
            reader.error(setting.key_place, &setting.path, "unknown setting", help);
            is_right = false;
            continue;
        }
        let Some(meaning) = kind.settings().iter().find(|meaning| meaning.name == key) else { continue };
        match read_setting(reader, &setting, meaning, literals, names) {
            Some(read) => settings.extend(read),
            None => is_right = false,
        }
    }
    for missing in kind.settings().iter().filter(|meaning| meaning.is_required && !section.has(meaning.name))
    {
        let message = format!("there is no `{}`", missing.name);
        reader.error(field.key_place, &field.path, message, format!("`{}` needs it", kind.name()));
        is_right = false;
    }
    is_right &= is_consistent(reader, field, &section, kind, &settings);
    for alone in kind.settings().iter().filter(|meaning| section.has(meaning.name)) {
        let Some(missing) = alone.partner.filter(|partner| !section.has(partner)) else { continue };
        let message = format!("there is `{}` and no `{missing}`", alone.name);
        reader.error(field.key_place, &field.path, message, "write both, or neither");
        is_right = false;
    }
    let store = StoreConfig { name: field.key.to_owned(), place: field.key_place, kind, settings };
    is_right.then_some(store)
}

/// Whether the settings go together, as their kind sees it.
fn is_consistent<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    section: &Section<'d>,
    kind: &dyn Kind,
    settings: &[CredentialConfig],
) -> bool {
    // Those whose value is wrong have their error already, and are there.
    let keys = section.keys().map(|(key, _)| key).filter(|key| *key != "type");
    let written = keys.map(|key| {
        let values = settings.iter().filter_map(|setting| match &setting.source {
            Source::Literal(secret) if setting.name == key => Some(secret),
            _ => None,
        });
        (key, values.collect())
    });
    let conflicts = kind.check_settings(&Written(written.collect()));
    for Conflict { setting, words, help } in &conflicts {
        let place =
            section.keys().find(|(key, _)| key == setting).map_or(field.key_place, |(_, place)| place);
        reader.error(place, &section.path_of(setting), words.clone(), help.clone());
    }
    conflicts.is_empty()
}

/// One value, or those of a list.
fn read_setting<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    meaning: &KnownSetting,
    literals: &mut LiteralSecrets,
    names: &StoreNames,
) -> Option<Vec<CredentialConfig>> {
    let items = match (reader.items(field), meaning.is_list) {
        (Some(items), true) if !items.is_empty() => items,
        (None, false) => return read_value(reader, field, meaning, literals, names).map(|read| vec![read]),
        (items, true) => {
            let found = if items.is_some() { "an empty one" } else { reader.kind(field) };
            let message = format!("expected a list, found {found}");
            let help = format!("write it like `{}: [first, second]`", field.key);
            reader.error(field.place, &field.path, message, help);
            return None;
        }
        (Some(_), false) => {
            let message = "expected a single value, or `from` and `get`, found a list";
            reader.error(field.place, &field.path, message, "write one value");
            return None;
        }
    };
    items.iter().map(|item| read_value(reader, item, meaning, literals, names)).collect()
}

fn read_value<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    meaning: &KnownSetting,
    literals: &mut LiteralSecrets,
    names: &StoreNames,
) -> Option<CredentialConfig> {
    if meaning.is_fixed && reader.is_mapping(field) {
        let message = format!("`{}` cannot come from elsewhere", meaning.name);
        reader.error(field.place, &field.path, message, "write the value itself");
        return None;
    }
    // A path may be called `key` and is no secret that stands in the file.
    let mut none = LiteralSecrets::default();
    let literals = if meaning.is_fixed { &mut none } else { literals };
    let read = credentials::read_one(reader, field, literals, names)?;
    if let Source::Literal(secret) = &read.source
        && let Err(reason) = secret.expose(meaning.check)
    {
        reader.error(field.place, &field.path, reason, format!("correct `{}`", meaning.name));
        return None;
    }
    Some(read)
}

/// The stores that `store` takes settings from.
fn needs(store: &StoreConfig) -> impl Iterator<Item = &str> {
    store.settings.iter().filter_map(|CredentialConfig { source, .. }| match source {
        Source::Provider { store, .. } => Some(store.as_str()),
        Source::Literal(_) | Source::Unknown(_) => None,
    })
}

/// Each store behind those that it needs. An error if there is no such order.
fn in_order(reader: &mut Reader<'_>, stores: Vec<StoreConfig>) -> Option<Vec<StoreConfig>> {
    let mut left: BTreeMap<String, StoreConfig> =
        stores.into_iter().map(|store| (store.name.clone(), store)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_ready = |store: &StoreConfig| needs(store).all(|needed| !left.contains_key(needed));
        let Some(name) = left.values().find(|store| is_ready(store)).map(|store| store.name.clone()) else {
            let names: Vec<String> = left.keys().map(|name| quoted(name)).collect();
            let first = left.values().next()?;
            let message = match &names[..] {
                [name] => format!("{name} needs a value of its own to be asked for any"),
                names => format!("{} need each other's values to be asked for their own", names.join(", ")),
            };
            let path = format!("providers.{}", first.name);
            reader.error(first.place, &path, message, "take one of them from `file` or `env`");
            return None;
        };
        ordered.extend(left.remove(&name));
    }
    Some(ordered)
}
