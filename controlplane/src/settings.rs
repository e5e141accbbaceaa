//! What a store is told about itself: where it is, who we are to it.
//!
//! Owns the values, some of which may come from other stores. Knows no key.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::Secret;

use crate::providers::{FetchError, Item, Provider, Request};
use crate::values::Value;

/// The settings of one store.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<String, Setting>);

/// The value of one setting.
#[derive(Clone)]
pub(crate) enum Setting {
    /// It stands in the file.
    Literal(Value),
    /// Another store has it.
    From {
        /// That store.
        provider: Arc<dyn Provider>,
        /// What it calls the value.
        item: Item,
    },
}

impl Settings {
    pub(crate) fn new(settings: BTreeMap<String, Setting>) -> Self {
        Self(settings)
    }

    /// The value of `name` as it is now.
    pub async fn value(&self, name: &str) -> Result<Option<Secret>, FetchError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Setting::Literal(value)) => Ok(Some(Secret::new(value.clone()))),
            Some(Setting::From { provider, item }) => {
                let fetched = provider.fetch(Request { items: vec![item.clone()] }).await?;
                Ok(fetched.values.into_iter().next())
            }
        }
    }

    /// Whether both would give the same values, as far as they are known.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |(mine, theirs): (&Setting, &Setting)| match (mine, theirs) {
            (Setting::Literal(mine), Setting::Literal(theirs)) => mine.is_same(theirs).into(),
            (
                Setting::From { provider, item },
                Setting::From { provider: their_provider, item: their_item },
            ) => Arc::ptr_eq(provider, their_provider) && item == their_item,
            _ => false,
        };
        self.0.keys().eq(other.0.keys()) && self.0.values().zip(other.0.values()).all(is_same)
    }
}
