//! What is said about one store.
//!
//! Owns the way from a name to a value: the entry in the file first, then the environment, as far as that speaks of this store
//! at all. What the values mean is for others.

use zeroize::Zeroizing;

use super::keys::{ADDRESS, KEYS, Key, check};
use crate::providers::Settings;
use crate::web::said::{Values, Wrong};

/// A store's entry and the environment.
pub(super) struct Said<'a> {
    pub(super) settings: &'a Settings,
    /// What the settings are worth at the moment.
    pub(super) values: &'a Values,
    /// A variable of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A value, and who says it: a setting's name, or a variable's.
pub(super) type Saying = (Zeroizing<String>, String);

impl Said<'_> {
    /// Whether the file says where the store is. Then it is another one than the environment's.
    pub(super) fn has_own_address(&self) -> bool {
        self.settings.has(ADDRESS)
    }

    /// What is said under this name, which has a right look.
    pub(super) fn get(&self, name: &str) -> Result<Option<Saying>, Wrong> {
        let said = match self.values.get(name) {
            Some(value) => {
                let text = value.expose(|bytes| Some(Zeroizing::new(str::from_utf8(bytes).ok()?.to_owned())));
                Some((text.ok_or_else(|| Wrong(format!("`{name}` is no text")))?, format!("`{name}`")))
            }
            None => KEYS.iter().find(|key| key.name == name).and_then(|key| self.in_environment(key)),
        };
        let Some((value, by)) = said else { return Ok(None) };
        // The value is not shown: a proxy's address may hold a password.
        check(name, value.as_bytes()).map_err(|words| Wrong(format!("{by} {words}")))?;
        Ok(Some((value, by)))
    }

    fn in_environment(&self, key: &Key) -> Option<Saying> {
        let is_said = key.with.iter().any(|with| self.settings.has(with));
        if is_said || key.is_of_one_store && self.has_own_address() {
            return None;
        }
        key.variables.iter().find_map(|variable| self.variable(variable))
    }

    /// A variable of the store's own client.
    pub(super) fn variable(&self, name: &str) -> Option<Saying> {
        // OpenBao's own client looks for its own name first. An empty variable is none, as in Go.
        let names = ["BAO", "VAULT"].map(|prefix| format!("{prefix}_{name}"));
        names.into_iter().find_map(|name| {
            let value = (self.variable)(&name).filter(|value| !value.is_empty())?;
            Some((Zeroizing::new(value), name))
        })
    }
}
