//! `vault`: values of HashiCorp Vault and of OpenBao.
//!
//! Owns the provider, and how often it asks again within one fetch. What is asked and what the answers mean is in the
//! files beside this one.

mod answer;
mod client;
mod id;
mod json;
mod proxy;
mod read;
mod settings;
mod store;
mod tls;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::{FetchError, Fetched, Fetching, Flaw, Item, Kind, Provider, Request};
use crate::offload::offload;
use client::GRACE;
use id::Id;
use settings::Settings;
use store::Store;

/// The kind `vault`.
pub(super) struct Vault;

/// One store, or why there is none.
struct Opened(Result<Arc<Store>, String>);

impl Kind for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        Id::parse(id).map(|_| ())
    }

    fn open(&self, _: super::Settings) -> Arc<dyn Provider> {
        let settings = Settings::from_environment(|name| std::env::var(name).ok());
        Arc::new(Opened(settings.map(|settings| Arc::new(Store::new(settings))).map_err(|wrong| wrong.0)))
    }
}

impl Provider for Opened {
    fn must_be_asked(&self) -> bool {
        true
    }

    fn look(&self, _item: &Item) -> Option<Flaw> {
        let (words, help) = match &self.0 {
            Err(words) => (words.clone(), "correct the variable in the environment of the broker"),
            Ok(store) => (store.settings.token.read().err()?, "the broker needs a token when it starts"),
        };
        Some(Flaw { words, help: help.to_owned(), is_fatal: true })
    }

    fn fetch(&self, request: Request) -> Fetching {
        let store = self.0.clone();
        Box::pin(async move {
            match store {
                Ok(store) => fetch(store, request).await,
                Err(words) => Err(FetchError::Unusable(words)),
            }
        })
    }
}

/// Asks until there is an answer, as often as the settings allow. Between two tries nothing is held.
async fn fetch(store: Arc<Store>, request: Request) -> Result<Fetched, FetchError> {
    let ids: Vec<&str> = request.items.iter().map(|item| item.id.as_str()).collect();
    let work = format!("vault: {}", ids.join(", "));
    let deadline = Instant::now() + store.settings.timeout;
    let mut retries = store.settings.retries;
    loop {
        let outcome = ask(&work, &store, &request, deadline).await;
        if !matches!(outcome, Err(FetchError::Unavailable(_)))
            || retries == 0
            || Instant::now() + PAUSE >= deadline
        {
            return outcome;
        }
        retries -= 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(
    work: &str,
    store: &Arc<Store>,
    request: &Request,
    deadline: Instant,
) -> Result<Fetched, FetchError> {
    let late = || FetchError::Unavailable(format!("{work}: i/o timeout"));
    let patience = deadline.saturating_duration_since(Instant::now());
    // A store that hangs must not hold all threads that files need, too.
    let Ok(Ok(_turn)) = tokio::time::timeout(patience, TURNS.acquire()).await else { return Err(late()) };
    let patience = deadline.saturating_duration_since(Instant::now()) + GRACE;
    let (store, request) = (Arc::clone(store), request.clone());
    offload(work, patience, move || store.fetch(&request, deadline)).await.unwrap_or_else(|_| Err(late()))
}

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Half of what may block at a time.
const AT_ONCE: usize = 8;

/// As the store's own client, at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes `text` for what a configuration file asks for. For fuzzing: it is taken apart, or refused with words.
pub fn id_for_fuzz(text: &str) {
    match Id::parse(text) {
        Ok(id) => {
            assert!(!id.place.path.is_empty() && !id.field.is_empty());
            assert!(!id.place.path.split('/').any(|segment| matches!(segment, "" | "." | "..")));
        }
        Err(words) => assert!(!words.is_empty()),
    }
}

/// Takes `body` for what a store answers with this status when it is asked for a secret, and looks for `field` in it. For
/// fuzzing: there is a value that is in the answer, or there are words that hold nothing of it.
pub fn answer_for_fuzz(status: u16, field: &str, body: &[u8]) {
    let body = zeroize::Zeroizing::new(body.to_vec());
    read::for_fuzz(&client::Answer { status, body }, field);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every seed of a fuzz target, and everything that it begins with.
    fn each_prefix(target: &str, mut play: impl FnMut(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
        let mut seeds = 0;
        for entry in fs::read_dir(folder).expect("the target has seeds") {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a seed");
            (0..=bytes.len()).for_each(|end| play(&bytes[..end]));
            seeds += 1;
        }
        assert!(seeds > 1);
    }

    #[test]
    fn hostile_ids_and_answers_are_refused_with_words() {
        each_prefix("vault_id", |bytes| id_for_fuzz(&String::from_utf8_lossy(bytes)));
        each_prefix("vault_answer", |bytes| {
            let Some((_, rest)) = bytes.split_first() else { return };
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (field, body) =
                (String::from_utf8_lossy(&rest[..end]), rest.get(end + 1..).unwrap_or_default());
            for status in [200, 204, 400, 403, 404, 500] {
                answer_for_fuzz(status, &field, body);
            }
        });
    }

    #[test]
    fn a_name_that_cannot_be_asked_for_is_refused_when_the_file_is_read() {
        assert!(Vault.check_id("secret/data/app#data.password").is_ok());
        let words = Vault.check_id("kv/app#").expect_err("it names no field");
        assert_eq!(words, "there is no field behind '#': name one, or leave '#' out for the field 'value'");
    }
}
