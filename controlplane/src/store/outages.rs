//! Stores that do not answer, as services meet them.
//!
//! Owns what an answer says about its stores, and what clients are told of it. When a store is asked again, its breaker says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use dataplane::{Outage, ServiceId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{info, warn};

use super::Store;
use crate::fetch::{self, Asked, Failure};
use crate::providers::FetchError;

/// The answer to a question that was not asked.
pub(super) struct Forbidden {
    pub(super) service: ServiceId,
    pub(super) epoch: u64,
    pub(super) answer: fetch::Answer,
    pub(super) at: Instant,
}

impl Store {
    /// Learns from an answer which stores answer.
    pub(super) fn judge_stores(&mut self, id: ServiceId, answer: &fetch::Answer, now: Instant) {
        let mut silent = BTreeMap::new();
        for Failure { peer, error, .. } in answer.result.as_ref().err().into_iter().flatten() {
            if let FetchError::Unavailable(words) = error {
                silent.insert(peer, words);
            }
        }
        for (peer, words) in &silent {
            if self.breakers.on_silence(peer, id, now, time_of_day) {
                warn!("store '{peer}' does not answer: it is tried again every few seconds: {words}");
            }
        }
        // What one place of a store says while another is silent is no word for the store.
        for Asked { peer, .. } in answer.asked.iter().filter(|asked| !silent.contains_key(&asked.peer)) {
            if self.breakers.on_answer(peer, id, now) {
                info!("store '{peer}' answers again");
            }
        }
    }

    /// Every store that was asked, and whether it is left alone because it does not answer.
    pub(crate) fn breakers(&self) -> BTreeMap<Arc<str>, bool> {
        let asked = self.counts.durations.keys().map(|store| (Arc::clone(store), false));
        let mut states: BTreeMap<_, _> = asked.collect();
        for (silent, is_open) in self.breakers.states() {
            let peers = self.services.values().flat_map(|service| service.sources.peers());
            for (_, store) in peers.filter(|(peer, _)| *peer == silent) {
                *states.entry(Arc::clone(store)).or_default() |= is_open;
            }
        }
        states
    }

    /// The first store that has not given what it was asked for, one that does not answer before the others. `known` is what was
    /// said of the service before.
    pub(super) fn outage(&self, answer: &fetch::Answer, known: Option<&Outage>) -> Option<Outage> {
        let failures = answer.result.as_ref().err()?;
        let is_silent = |failure: &&Failure| matches!(failure.error, FetchError::Unavailable(_));
        let silent = failures.iter().find(is_silent);
        let Failure { provider: store, peer, .. } = silent.or(failures.first())?;
        let known = known.filter(|known| known.store == *store).map(|known| &known.since);
        let since = silent.and_then(|_| self.breakers.since(peer)).or(known);
        Some(Outage {
            since: since.cloned().unwrap_or_else(time_of_day),
            store: Arc::clone(store),
            is_silent: silent.is_some(),
        })
    }
}

/// Now, for people.
fn time_of_day() -> Arc<str> {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default().into()
}
