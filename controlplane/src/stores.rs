//! Every store of secrets that is open.
//!
//! Owns which they are, by the names that credentials call them. A store lives as long as the file describes it in the same
//! words: what it knows (a login, leases) survives a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{CredentialConfig, Source, StoreConfig};
use crate::leases::Leases;
use crate::providers::{ALL, Item, Kind, Provider, Settings};
use crate::settings::Setting;
use crate::values::Value;

/// See the module's documentation.
#[derive(Clone, Default)]
pub(crate) struct Stores {
    open: BTreeMap<Arc<str>, Opened>,
    /// Of all stores that this process has ever had.
    leases: Leases,
}

#[derive(Clone)]
struct Opened {
    kind: &'static dyn Kind,
    settings: Settings,
    provider: Arc<dyn Provider>,
}

impl Stores {
    /// Opens the stores that a file describes, each behind those that it needs, and one without settings of every kind. Those that
    /// are the same in `before` are those.
    pub(crate) fn open(configs: Vec<StoreConfig>, before: &Self) -> Self {
        let mut stores = Self { open: BTreeMap::new(), leases: before.leases.clone() };
        for kind in ALL {
            stores.add(kind.name().into(), *kind, Settings::default(), before);
        }
        for StoreConfig { name, kind, settings, .. } in configs {
            let settings = settings
                .into_iter()
                .filter_map(|CredentialConfig { name, source, .. }| Some((name, stores.setting(source)?)));
            let settings = Settings::new(settings.collect::<Vec<_>>());
            stores.add(name.into(), kind, settings, before);
        }
        stores
    }

    fn add(&mut self, name: Arc<str>, kind: &'static dyn Kind, settings: Settings, before: &Self) {
        let known = before
            .open
            .get(&name)
            .filter(|known| known.kind.name() == kind.name() && known.settings.is_same(&settings));
        let opened = known.cloned().unwrap_or_else(|| {
            let provider = kind.open(settings.clone());
            Opened { kind, settings, provider }
        });
        self.open.insert(name, opened);
    }

    fn setting(&self, source: Source) -> Option<Setting> {
        match source {
            Source::Literal(secret) => Some(Setting::Literal(Value::new(secret))),
            Source::Provider { store, id, raw, .. } => {
                let (_, provider) = self.get(&store)?;
                Some(Setting::From {
                    provider: Arc::clone(provider),
                    item: Item { id, raw, is_public: false },
                })
            }
            // That there is no such provider was said when the file was read.
            Source::Unknown(_) => None,
        }
    }

    /// The leases of all stores.
    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The store of this name, and its name.
    pub(crate) fn get(&self, name: &str) -> Option<(&Arc<str>, &Arc<dyn Provider>)> {
        self.open.get_key_value(name).map(|(name, opened)| (name, &opened.provider))
    }
}
