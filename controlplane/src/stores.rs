//! Every store of secrets that is open.
//!
//! Owns which they are, by the names that credentials call them. A store lives as long as the file describes it in the same
//! words: what it knows (a login, leases) survives a reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

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

    /// Lets those that were there before try at once what they have been refused.
    pub(crate) fn hurry(&self) {
        for opened in self.open.values() {
            opened.provider.hurry();
        }
    }

    /// The leases of all stores.
    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Those of `self` that are not in `kept`.
    fn without<'a>(&'a self, kept: &'a Self) -> impl Iterator<Item = &'a Arc<dyn Provider>> {
        let is_kept = |provider| kept.open.values().any(|opened| Arc::ptr_eq(&opened.provider, provider));
        self.open.values().map(|opened| &opened.provider).filter(move |provider| !is_kept(provider))
    }

    /// Closes those that nobody needs who has `kept`, each once nobody has a lease of it any more: that ends with what the store
    /// holds for us. Gives up on whoever takes longer than `patience`: what it holds ends by itself.
    pub(crate) fn close(&self, kept: &Self, patience: Duration) -> JoinSet<()> {
        let mut closing = JoinSet::new();
        for provider in self.without(kept) {
            let (provider, leases) = (Arc::clone(provider), self.leases.clone());
            closing.spawn(async move {
                while leases.are_held_of(&provider) {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                let _ = tokio::time::timeout(patience, provider.close()).await;
            });
        }
        closing
    }

    /// The store of this name, and its name.
    pub(crate) fn get(&self, name: &str) -> Option<(&Arc<str>, &Arc<dyn Provider>)> {
        self.open.get_key_value(name).map(|(name, opened)| (name, &opened.provider))
    }
}

/// Between two looks whether leases are left.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::providers::{Closing, Fetching, Request};
    use crate::testing::block_on;

    /// A store that counts how often it is closed, and may take for ever to do it.
    struct Counting {
        closed: Arc<AtomicU32>,
        is_slow: bool,
    }

    impl Provider for Counting {
        fn fetch(&self, _: Request) -> Fetching {
            Box::pin(std::future::pending())
        }

        fn close(&self) -> Closing {
            let (closed, is_slow) = (Arc::clone(&self.closed), self.is_slow);
            Box::pin(async move {
                closed.fetch_add(1, Ordering::Relaxed);
                if is_slow {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    fn stores(names: &[&str], closed: &Arc<AtomicU32>) -> Stores {
        let kind = ALL[0];
        let opened = |name: &&str| {
            let provider: Arc<dyn Provider> =
                Arc::new(Counting { closed: Arc::clone(closed), is_slow: *name == "slow" });
            (Arc::from(*name), Opened { kind, settings: Settings::default(), provider })
        };
        Stores { open: names.iter().map(opened).collect(), ..Stores::default() }
    }

    #[test]
    fn only_stores_that_are_described_no_more_are_closed() {
        let closed = Arc::new(AtomicU32::new(0));
        let before = stores(&["a", "b"], &closed);
        let mut after = before.clone();
        after.open.remove("b");
        after.open.extend(stores(&["c"], &closed).open);
        let generous = Duration::from_secs(60);
        block_on(async { before.close(&after, generous).join_all().await });
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        block_on(async { after.close(&after, generous).join_all().await });
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        block_on(async { after.close(&Stores::default(), generous).join_all().await });
        assert_eq!(closed.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_store_that_does_not_answer_holds_up_a_stop_for_a_moment() {
        let closed = Arc::new(AtomicU32::new(0));
        let slow = stores(&["a", "slow"], &closed);
        block_on(async { slow.close(&Stores::default(), Duration::from_millis(1)).join_all().await });
        assert_eq!(closed.load(Ordering::Relaxed), 2);
    }
}
