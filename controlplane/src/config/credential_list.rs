//! `credentials` that are a list: each value with its name in it.
//!
//! Owns which keys say who has a value. Like `credentials`, no finding of this module holds a value.

use std::collections::BTreeMap;

use super::Place;
use super::credentials::{self, Asked, SINGLE, StoreNames};
use super::literals::LiteralSecrets;
use super::model::CredentialConfig;
use super::section::{Field, Reader, Section};

/// Reads `items`, which are the list `field`, in the order of the values' names.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    items: &[Field<'d>],
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<Vec<CredentialConfig>> {
    if items.is_empty() {
        reader.error(field.place, &field.path, credentials::BLANK, HELP);
        return None;
    }
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    // Every one is read, so that every error is found.
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let (section, name, place) = read_name(reader, item)?;
            let named = reader.named(item, &field.path, name);
            if let Some(first) = places.get(name) {
                reader.error(
                    place,
                    &named.path,
                    format!("the list has this name twice, first in line {}", first.line),
                    "remove one of them",
                );
                return None;
            }
            places.insert(name, place);
            read_one(reader, &section.at(&named), &named, literals, stores)
        })
        .collect();
    let mut credentials: Vec<CredentialConfig> = read.into_iter().collect::<Option<_>>()?;
    credentials.sort_by(|a, b| a.name.cmp(&b.name));
    Some(credentials)
}

/// The keys of an item, its name, and where that is.
fn read_name<'d>(reader: &mut Reader<'d>, item: &Field<'d>) -> Option<(Section<'d>, &'d str, Place)> {
    if !reader.is_mapping(item) {
        let message = format!("expected a mapping with `name`, found {}", reader.kind(item));
        reader.error(item.place, &item.path, message, HELP);
        return None;
    }
    let section = reader.section(item)?;
    let name = section.take(reader, "name");
    let word = match &name {
        Some(name) => reader.text(name, "the name of a value", HELP)?,
        None => "",
    };
    let place = name.map_or(item.place, |name| name.place);
    if word.is_empty() {
        reader.error(place, &section.path_of("name"), "a credential's name cannot be blank", HELP);
        return None;
    }
    Some((section, word, place))
}

fn read_one<'d>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    field: &Field<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<CredentialConfig> {
    credentials::refuse_unknown_keys(reader, section, field, KEYS, KEYS_WORDS);
    let [value, provider, from, get] =
        ["value", "provider", "from", "get"].map(|key| section.take(reader, key));
    let path = |key: &str| format!("{}.{key}", field.path);
    let asked = match (value, provider) {
        (Some(value), None) if from.is_none() && get.is_none() => {
            return credentials::read_literal(reader, field, &value, SINGLE, literals);
        }
        (Some(value), _) => {
            let message = "given here, and asked of a provider too";
            reader.error(value.place, &path("value"), message, "keep one of them");
            return None;
        }
        (None, None) if from.is_none() && get.is_none() => {
            let message = "cannot be blank: expected `value`, or a provider and what to ask it for";
            reader.error(field.place, &field.path, message, HELP);
            return None;
        }
        (None, None) => Asked { provider: (path("from"), from), id: (path("get"), get) },
        (None, provider) => {
            let id_key = if get.is_none() && from.is_some() { "from" } else { "get" };
            let id = one_id(reader, from, get)?;
            Asked { provider: (path("provider"), provider), id: (path(id_key), id) }
        }
    };
    credentials::read_provided(reader, section, field, &asked, literals, stores)
}

/// Beside `provider`, either of two keys says what to ask it for. An error if both do, and differ.
fn one_id<'d>(
    reader: &mut Reader<'d>,
    from: Option<Field<'d>>,
    get: Option<Field<'d>>,
) -> Option<Option<Field<'d>>> {
    if let (Some(from), Some(get)) = (&from, &get) {
        let said = [from, get].map(|id| credentials::read_value(reader, id, SINGLE));
        let [Some(from_value), Some(get_value)] = said else { return None };
        if from_value != get_value {
            let line = get.place.line;
            reader.error(
                from.place,
                &from.path,
                format!("beside `provider`, this and `get`, in line {line}, both say what to ask it for"),
                "keep one of them; without `provider`, `from` is the provider",
            );
            return None;
        }
    }
    Some(get.or(from))
}

const KEYS: &[&str] = &["name", "provider", "from", "get", "value", "raw"];
const KEYS_WORDS: &str = "`name`, `provider`, `from`, `get`, `value` and `raw`";
const HELP: &str = "write it like `- {name: password, from: file, get: /run/secrets/password}`";
