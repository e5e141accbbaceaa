//! What stores are told about themselves by other stores, for whoever checks a file.
//!
//! Owns which settings that are, and which stores cannot be used because one of theirs is not to be had.

use std::collections::BTreeSet;

use super::model::{Source, StoreConfig};
use super::place::Place;
use crate::providers::{Flaw, Item};
use crate::stores::Stores;

/// A setting of one store that comes from another.
pub(super) struct Need {
    store: String,
    /// The setting's path in the file.
    pub(super) key: String,
    pub(super) place: Place,
    from: String,
    item: Item,
}

impl Need {
    /// All of them, those of a store behind those of the stores that it needs.
    pub(super) fn all(stores: &[StoreConfig]) -> Vec<Self> {
        let settings = stores.iter().flat_map(|store| store.settings.iter().map(move |it| (store, it)));
        let needs = settings.filter_map(|(store, setting)| match &setting.source {
            Source::Provider { store: from, id, raw, .. } => Some(Self {
                store: store.name.clone(),
                key: format!("providers.{}.{}", store.name, setting.name),
                place: setting.place,
                from: from.clone(),
                item: Item { id: id.clone(), raw: *raw, is_public: is_public(store, &setting.name) },
            }),
            Source::Literal(_) | Source::Unknown(_) => None,
        });
        needs.collect()
    }

    /// What is wrong with it where it lies.
    fn flaw(&self, stores: &Stores) -> Option<Flaw> {
        let (_, provider) = stores.get(&self.from)?;
        let flaw = provider.look(&self.item)?;
        let help =
            if flaw.is_fatal { format!("'{}' cannot be asked without it", self.store) } else { flaw.help };
        Some(Flaw { help, ..flaw })
    }
}

fn is_public(store: &StoreConfig, name: &str) -> bool {
    store.kind.settings().iter().any(|known| known.name == name && known.is_public)
}

/// Looks at every need: what is wrong is told to `say`. The stores that cannot be used.
pub(super) fn unmet<'n>(
    needs: &'n [Need],
    stores: &Stores,
    mut say: impl FnMut(&Need, Flaw),
) -> BTreeSet<&'n str> {
    let mut unusable = BTreeSet::new();
    for need in needs {
        let flaw = need.flaw(stores);
        if unusable.contains(&*need.from) || flaw.as_ref().is_some_and(|flaw| flaw.is_fatal) {
            unusable.insert(&*need.store);
        }
        if let Some(flaw) = flaw {
            say(need, flaw);
        }
    }
    unusable
}
