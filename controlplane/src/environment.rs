//! Variables of the environment that are secrets by themselves.
//!
//! Owns their values from the start on: they are taken out of the environment, which lies outside every wiped memory and is shown to
//! whoever may look into the process. Knows nothing of what they are for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use protocol::Secret;

use crate::values::Value;

/// Those that are taken: the key of the embedded vault, and tokens of Vault and OpenBao.
pub(crate) const SECRETS: [&str; 3] = ["SECRETLESS_VAULT_KEY", "VAULT_TOKEN", "BAO_TOKEN"];

/// Takes them, before there is a second thread. What stays in the environment all the same is said, one sentence each.
pub(crate) fn take() -> Vec<String> {
    let mut refused = Vec::new();
    let mut taken = BTreeMap::new();
    for name in SECRETS {
        let Some((value, is_wiped)) = dataplane::take_variable(name) else { continue };
        taken.insert(name, Value::new(value));
        if !is_wiped {
            refused.push(format!("{name} could not be wiped from the environment"));
        }
    }
    // Once for the process: nobody has taken anything before.
    let _ = TAKEN.set(taken);
    refused
}

/// What a variable that was taken has said.
pub(crate) fn taken(name: &str) -> Option<Secret> {
    TAKEN.get()?.get(name).cloned().map(Secret::new)
}

/// What a variable says, taken or not.
pub(crate) fn text(name: &str) -> Option<String> {
    match taken(name) {
        Some(value) => value.expose(|bytes| Some(str::from_utf8(bytes).ok()?.to_owned())),
        None => std::env::var(name).ok(),
    }
}

static TAKEN: OnceLock<BTreeMap<&'static str, Value>> = OnceLock::new();
