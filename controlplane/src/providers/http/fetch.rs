//! One fetch, from settings to values.
//!
//! Owns the order: what the settings are worth, a request for each place, and another try after an outage. What may block runs
//! elsewhere; between two tries nothing is held.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use protocol::Secret;
use ureq::http::Uri;

use super::id::Id;
use super::keys::{HEADERS, OF_LINE, OF_PROOF, check};
use super::proof::Proof;
use super::question::{self, Found, Question};
use crate::environment;
use crate::providers::{FetchError, Fetched, Item, Request, Settings};
use crate::web::said::values;
use crate::web::tries::{self, Deadline, Host, Tries};

/// One store, or all hosts that are asked without one.
pub(super) struct Store {
    pub(super) settings: Settings,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
}

impl Store {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, hosts: Mutex::default() }
    }

    fn host_of(&self, address: &Uri) -> Arc<Host> {
        let name = address.authority().map(ToString::to_string).unwrap_or_default();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Files change, and the store without settings stays.
        hosts.retain(|_, host| Arc::strong_count(host) > 1 || host.until(now).is_some());
        Arc::clone(hosts.entry(name).or_default())
    }
}

/// Asks until there is an answer, as often as the settings allow.
pub(super) async fn fetch(store: Arc<Store>, request: Request) -> Result<Fetched, FetchError> {
    let way = values(&store.settings, &OF_LINE).await?;
    let proof = Arc::new(proof(&store.settings).await?);
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, item) in request.items.iter().enumerate() {
        let id = Id::parse(&item.id).map_err(FetchError::Unusable)?;
        places.entry(id.place).or_default().push(index);
    }
    let began = Instant::now();
    let mut all: Vec<Option<Secret>> = request.items.iter().map(|_| None).collect();
    let mut notes = Vec::new();
    for (place, indexes) in places {
        let line = question::line_to(place, &store.settings, &way, environment::text);
        let line = line.map_err(|wrong| FetchError::Unusable(wrong.0))?;
        let deadline = began + line.timeout;
        let items: Vec<Item> = indexes.iter().map(|index| request.items[*index].clone()).collect();
        let question = Arc::new(Question { line, items, proof: Arc::clone(&proof) });
        let found = ask(&store, question, deadline).await?;
        notes.extend(found.note);
        for (index, value) in indexes.into_iter().zip(found.values) {
            all[index] = Some(value);
        }
    }
    Ok(Fetched { notes, ..Fetched::new(all.into_iter().flatten().collect()) })
}

/// Who we are at the moment. Another store's verdict on its own value is none on ours.
async fn proof(settings: &Settings) -> Result<Proof, FetchError> {
    let known = values(settings, &OF_PROOF).await?;
    for (name, value) in &known {
        let checked = value.expose(|bytes| check(name, bytes));
        checked.map_err(|words| FetchError::Unusable(format!("`{name}` {words}")))?;
    }
    let lines = settings.values(HEADERS).await;
    let lines = lines.map_err(|error| FetchError::Unavailable(format!("`{HEADERS}`: {error}")))?;
    Proof::of(&known, &lines).map_err(FetchError::Unusable)
}

async fn ask(store: &Arc<Store>, question: Arc<Question>, deadline: Instant) -> Result<Found, FetchError> {
    let host = store.host_of(&question.line.address);
    let key = format!("http {:p}: {}", Arc::as_ptr(store), question.line.address);
    let late = Deadline::new(deadline);
    let mut tries = Tries::new(deadline, question.line.retries);
    loop {
        host.wait(deadline).await.map_err(|error| match error {
            FetchError::Unavailable(words) => {
                FetchError::Unavailable(format!("{}: {words}", question.name()))
            }
            error => error,
        })?;
        let (asked, resting) = (Arc::clone(&question), Arc::clone(&host));
        let work = move |deadline| asked.ask(deadline, &resting);
        let outcome = tries::blocking(&host, (&key, &question.name()), &late, work).await;
        let outcome = outcome.and_then(|asked| asked);
        if !tries.another(&outcome, &host).await {
            return outcome;
        }
    }
}
