//! What a store is told about itself: where it is, who we are to it.
//!
//! Owns the values, some of which may come from other stores. Knows no key.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Secret, SecretMemory};

use crate::providers::{FetchError, Item, Provider, Request};
use crate::values::Value;

/// The settings of one store.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<String, Vec<Setting>>);

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
    /// Settings by their names; those of one name are a list.
    pub(crate) fn new(settings: impl IntoIterator<Item = (String, Setting)>) -> Self {
        let mut all = Self::default();
        for (name, setting) in settings {
            all.0.entry(name).or_default().push(setting);
        }
        all
    }

    /// Whether `name` has been said.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether no value of these comes from another store.
    pub fn are_literal(&self, names: &[&str]) -> bool {
        let values = names.iter().filter_map(|name| self.0.get(*name)).flatten();
        values.into_iter().all(|setting| matches!(setting, Setting::Literal(_)))
    }

    /// The value of `name` as it is now.
    pub async fn value(&self, name: &str) -> Result<Option<Secret>, FetchError> {
        Ok(self.values(name).await?.into_iter().next())
    }

    /// The value of `name` that stands in the file.
    pub(crate) fn fixed(&self, name: &str) -> Option<&impl SecretMemory> {
        self.all_fixed(name).next()
    }

    /// Those values of the list `name` that stand in the file.
    pub(crate) fn all_fixed(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0.get(name).into_iter().flatten().filter_map(|setting| match setting {
            Setting::Literal(value) => Some(value),
            Setting::From { .. } => None,
        })
    }

    /// The values of the list `name` as they are now.
    pub async fn values(&self, name: &str) -> Result<Vec<Secret>, FetchError> {
        let mut values = Vec::new();
        for setting in self.0.get(name).into_iter().flatten() {
            match setting {
                Setting::Literal(value) => values.push(Secret::new(value.clone())),
                Setting::From { provider, item } => {
                    let fetched = provider.fetch(Request::of(vec![item.clone()])).await?;
                    values.extend(fetched.values.into_iter().next());
                }
            }
        }
        Ok(values)
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
        let is_same_list = |(mine, theirs): (&Vec<Setting>, &Vec<Setting>)| {
            mine.len() == theirs.len() && mine.iter().zip(theirs).all(is_same)
        };
        self.0.keys().eq(other.0.keys()) && self.0.values().zip(other.0.values()).all(is_same_list)
    }
}
