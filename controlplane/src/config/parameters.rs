//! What stores must be told of the services that ask them.
//!
//! Owns that a service has it, and has it from somewhere else.

use std::collections::BTreeMap;

use super::Place;
use super::model::{CredentialConfig, ServiceConfig, Source, StoreConfig};
use super::section::Reader;
use crate::providers::Written;

/// The names of the values that each store must be told, where there are any.
struct Told<'s>(BTreeMap<&'s str, Vec<&'static str>>);

/// An error for everything that a store would not be told.
pub(super) fn check(reader: &mut Reader<'_>, stores: &[StoreConfig], services: &[ServiceConfig]) {
    let told = Told::of(stores);
    let settings = stores.iter().flat_map(|store| store.settings.iter().map(move |it| (&*store.name, it)));
    for (store, setting) in settings {
        if let Some((from, _)) = told.by(setting) {
            let path = format!("providers.{store}.{}", setting.name);
            let message = format!("`{from}` must be told of a service, and is asked for none here");
            reader.error(setting.place, &path, message, "take the value from another store");
        }
    }
    for service in services {
        for credential in &service.credentials {
            let Some((store, names)) = told.by(credential) else { continue };
            let path = format!("services.{}.credentials.{}", service.name, credential.name);
            for name in names {
                told.check(reader, service, (credential.place, &path), (store, name));
            }
        }
    }
}

impl<'s> Told<'s> {
    fn of(stores: &'s [StoreConfig]) -> Self {
        let names = |store: &'s StoreConfig| {
            let mut written: BTreeMap<&str, Vec<_>> = BTreeMap::new();
            for CredentialConfig { name, source, .. } in &store.settings {
                if let Source::Literal(secret) = source {
                    written.entry(name).or_default().push(secret);
                }
            }
            store.kind.parameters(&Written(written.into_iter().collect()))
        };
        let named = stores.iter().map(|store| (&*store.name, names(store)));
        Self(named.filter(|(_, names)| !names.is_empty()).collect())
    }

    /// The store that `value` comes from, if it must be told something, and what.
    fn by<'v>(&self, value: &'v CredentialConfig) -> Option<(&'v str, &[&'static str])> {
        match &value.source {
            Source::Provider { store, .. } => Some((store, self.0.get(&**store)?)),
            Source::Literal(_) | Source::Unknown(_) => None,
        }
    }

    fn check(
        &self,
        reader: &mut Reader<'_>,
        service: &ServiceConfig,
        (place, path): (Place, &str),
        (store, name): (&str, &str),
    ) {
        let (message, help) = match service.credentials.iter().find(|credential| credential.name == name) {
            None => {
                let message = format!("`{store}` must be told the service's `{name}`, and there is none");
                (message, format!("write `{name}:` under `credentials:`, too"))
            }
            Some(known) if self.by(known).is_some() => {
                let message =
                    format!("`{store}` must be told the service's `{name}`, which comes late itself");
                (message, format!("write `{name}` into the file, or take it from another store"))
            }
            Some(_) => return,
        };
        reader.error(place, path, message, help);
    }
}
