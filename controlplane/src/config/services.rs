//! The section `services:`, a mapping by name.
//!
//! Owns the names of services. Knows no key of a service.

use super::Place;
use super::model::ServiceConfig;
use super::section::{Field, Reader, Section};
use super::service::{self, Shared};

/// Reads `services:`. `None`, and errors, if one of them is wrong, or none is there.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    root: &Section<'d>,
    shared: &mut Shared<'_>,
) -> Option<Vec<ServiceConfig>> {
    const BLANK: &str = "cannot be blank: expected at least one service";
    const HELP: &str =
        "write a name under `services:`, and `connector`, `listenOn` and `credentials` under that";
    let (field, section) = match root.take_combined(reader, "services") {
        Ok(Some(found)) => found,
        Ok(None) => {
            reader.error(Place::START, "services", BLANK, HELP);
            return None;
        }
        Err(()) => return None,
    };
    let fields = section.fields(reader);
    if fields.is_empty() {
        reader.error(field.place, &field.path, BLANK, HELP);
        return None;
    }
    // Every one is read, so that every error is found.
    let services: Vec<_> = fields.values().map(|field| read_named(reader, field, shared)).collect();
    services.into_iter().collect()
}

fn read_named<'d>(
    reader: &mut Reader<'d>,
    field: &Field<'d>,
    shared: &mut Shared<'_>,
) -> Option<ServiceConfig> {
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
    service::read(reader, &section, field, shared)
}
