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
        for Failure { provider, error } in answer.result.as_ref().err().into_iter().flatten() {
            if let FetchError::Unavailable(words) = error {
                silent.insert(provider, words);
            }
        }
        for (store, words) in &silent {
            if self.breakers.on_silence(store, id, (*words).clone(), now, time_of_day) {
                warn!("store '{store}' does not answer: it is tried again every few seconds: {words}");
            }
        }
        // What one place of a store says while another is silent is no word for the store.
        for Asked { provider, .. } in
            answer.asked.iter().filter(|asked| !silent.contains_key(&asked.provider))
        {
            if self.breakers.on_answer(provider, id, now) {
                info!("store '{provider}' answers again");
            }
        }
    }

    /// Every store that was asked, and whether it is left alone because it does not answer.
    pub(crate) fn breakers(&self) -> BTreeMap<Arc<str>, bool> {
        let asked = self.counts.durations.keys().map(|store| (Arc::clone(store), false));
        let silent = self.breakers.states().map(|(store, is_open)| (Arc::clone(store), is_open));
        asked.chain(silent).collect()
    }

    /// The first store that has not answered, and since when it does not.
    pub(super) fn outage(&self, answer: &fetch::Answer) -> Option<Outage> {
        let mut silent = answer.result.as_ref().err()?.iter();
        let silent = silent.find(|failure| matches!(failure.error, FetchError::Unavailable(_)))?;
        let store = Arc::clone(&silent.provider);
        Some(Outage { since: self.breakers.since(&store).cloned().unwrap_or_else(time_of_day), store })
    }
}

/// Now, for people.
fn time_of_day() -> Arc<str> {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&Rfc3339).unwrap_or_default().into()
}
