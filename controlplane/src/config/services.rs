//! The section `services:`: a mapping by name, or a list in which each service has its name.
//!
//! Owns the names of services, and which of the two a service is like. Knows no key of a service but `name`.

use std::collections::BTreeMap;

use super::Place;
use super::listed::{self, Listed};
use super::model::{ServiceConfig, UnservedConfig};
use super::section::{Field, Reader, Section};
use super::service::{self, Shared};

/// The services of a file, each kind in the order of their names.
#[derive(Default)]
pub(super) struct Services {
    pub(super) served: Vec<ServiceConfig>,
    pub(super) unserved: Vec<UnservedConfig>,
}

/// Reads `services:`. `None`, and errors, if one of them is wrong, or none is there.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    root: &Section<'d>,
    shared: &mut Shared<'_>,
) -> Option<Services> {
    let list = root.peek(reader, "services").and_then(|field| Some((reader.items(&field)?, field)));
    let read = match list {
        Some((items, field)) => {
            // For what is said about the other, if the key is there twice.
            let _ = root.take(reader, "services");
            read_list(reader, &field, &items, shared)
        }
        None => read_mapping(reader, root, shared),
    };
    let mut services = Services::default();
    for service in read.into_iter().collect::<Option<Vec<_>>>()? {
        match service {
            Listed::Served(service) => services.served.push(service),
            Listed::Unserved(service) => services.unserved.push(service),
        }
    }
    services.served.sort_by(|a, b| a.name.cmp(&b.name));
    services.unserved.sort_by(|a, b| a.name.cmp(&b.name));
    Some(services)
}

/// What each service has come to.
type Read = Vec<Option<Listed>>;

fn read_mapping<'d>(reader: &mut Reader<'d>, root: &Section<'d>, shared: &mut Shared<'_>) -> Read {
    const HELP: &str =
        "write a name under `services:`, and `connector`, `listenOn` and `credentials` under that";
    let (field, section) = match root.take_combined(reader, "services") {
        Ok(Some(found)) => found,
        Ok(None) => {
            reader.error(Place::START, "services", BLANK, HELP);
            return vec![None];
        }
        Err(()) => return vec![None],
    };
    let fields = section.fields(reader);
    if fields.is_empty() {
        reader.error(field.place, &field.path, BLANK, HELP);
        return vec![None];
    }
    fields.values().map(|field| read_named(reader, field, shared)).collect()
}

fn read_named<'d>(reader: &mut Reader<'d>, field: &Field<'d>, shared: &mut Shared<'_>) -> Option<Listed> {
    service::check_name(reader, field);
    let section = reader.section(field)?;
    if section.is_empty() {
        reader.error(
            field.key_place,
            &field.path,
            "cannot be blank: expected `connector`, `listenOn` and `credentials`",
            "write them under the service's name, indented",
        );
        return None;
    }
    // No file of the Go broker has that.
    let credentials = section.peek(reader, "credentials").and_then(|field| reader.items(&field));
    let is_listed =
        credentials.is_some_and(|items| items.first().is_some_and(|item| reader.is_mapping(item)));
    if is_listed {
        return listed::read(reader, &section, field, None, shared);
    }
    service::read(reader, &section, field, shared).map(Listed::Served)
}

fn read_list<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    items: &[Field<'d>],
    shared: &mut Shared<'_>,
) -> Read {
    if items.is_empty() {
        reader.error(field.place, &field.path, BLANK, LIST_HELP);
        return vec![None];
    }
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    items.iter().map(|item| read_item(reader, field, item, &mut places, shared)).collect()
}

fn read_item<'d>(
    reader: &mut Reader<'d>,
    list: &Field<'d>,
    item: &Field<'d>,
    places: &mut BTreeMap<&'d str, Place>,
    shared: &mut Shared<'_>,
) -> Option<Listed> {
    if !reader.is_mapping(item) {
        let message = format!("expected a mapping with `name`, found {}", reader.kind(item));
        reader.error(item.place, &item.path, message, LIST_HELP);
        return None;
    }
    let section = reader.section(item)?;
    let Some(name) = section.take(reader, NAME) else {
        reader.error(item.place, &section.path_of(NAME), "cannot be blank: expected a name", LIST_HELP);
        return None;
    };
    let word = reader.text(&name, "a name", LIST_HELP)?;
    let named = reader.named(item, &list.path, word);
    if !service::check_name(reader, &named) {
        return None;
    }
    if let Some(first) = places.get(word) {
        reader.error(
            name.place,
            &named.path,
            format!("the list has this name twice, first in line {}", first.line),
            "give each service its own name",
        );
    } else {
        places.insert(word, name.place);
    }
    listed::read(reader, &section.at(&named), &named, Some(NAME), shared)
}

/// The key of a service's name.
const NAME: &str = "name";
const BLANK: &str = "cannot be blank: expected at least one service";
const LIST_HELP: &str =
    "write each like `- name: orders`, with `connector`, `listenOn` and `credentials` below `name`";
