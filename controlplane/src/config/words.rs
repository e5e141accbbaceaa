//! Words that the Go broker knows and this one does not yet, so that they can be told from typing errors.
//!
//! Owns these words. The ones that work are in the registries.

use super::credentials::StoreNames;
use super::findings::list_of;
use super::nearest::nearest;

/// What a word for a connector or a provider is to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It means something to users, and is not built.
    NotBuilt,
    /// It means nothing. The remedy is here.
    Unknown(String),
}

/// What `word` is, if no protocol has that name.
pub(super) fn connector(word: &str) -> Word {
    let built: Vec<&str> = protocol::protocols::ALL.iter().map(|protocol| protocol.name()).collect();
    let meant = match word.to_lowercase().as_str() {
        "postgres" | "postgresql" => "pg",
        "mariadb" => "mysql",
        _ => return classify(word, "connector", &built, CONNECTORS_NOT_BUILT),
    };
    Word::Unknown(format!("did you mean `{meant}`? ({})", list_of("connector", built.iter().copied())))
}

/// What `word` is to a service of a list, if no protocol has that name.
pub(super) fn connector_of_list(word: &str) -> Word {
    if CONNECTORS_OF_LISTS.contains(&word) { Word::NotBuilt } else { connector(word) }
}

/// What `word` is, if neither a store nor a kind of store has that name.
pub(super) fn provider(word: &str, stores: &StoreNames) -> Word {
    let built: Vec<&str> = providers(stores).collect();
    classify(word, "provider", &built, PROVIDERS_NOT_BUILT)
}

/// The providers that work, and the stores that the file gives a name.
pub(super) fn providers(stores: &StoreNames) -> impl Iterator<Item = &str> {
    let named = stores.keys().map(String::as_str).filter(|name| crate::providers::by_name(name).is_none());
    std::iter::once(LITERAL).chain(crate::providers::ALL.iter().map(|kind| kind.name())).chain(named)
}

fn classify(word: &str, what: &str, built: &[&str], not_built: &[&str]) -> Word {
    if not_built.contains(&word) {
        return Word::NotBuilt;
    }
    let list = list_of(what, built.iter().copied());
    Word::Unknown(match nearest(word, built) {
        Some(meant) => format!("did you mean `{meant}`? ({list})"),
        None => list,
    })
}

/// The provider of values that stand in the file.
pub(super) const LITERAL: &str = "literal";

const CONNECTORS_NOT_BUILT: &[&str] =
    &["mssql", "ssh", "ssh-agent", "aws", "basic_auth", "conjur", "generic_http", "http"];

/// Those that the Go broker never knew.
const CONNECTORS_OF_LISTS: &[&str] = &["tcp"];

const PROVIDERS_NOT_BUILT: &[&str] = &["aws", "azure", "conjur", "gcp", "keychain", "keyring", "kubernetes"];
