//! How often providers were asked, and how long they took.
//!
//! Owns the counts. Labels are the names of stores and the outcomes' own words, so their number is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::{BUCKETS, HistogramTotals};

use crate::fetch::Asked;

/// Counts of all questions since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchCounts {
    /// By provider and outcome.
    pub outcomes: BTreeMap<(Arc<str>, &'static str), u64>,
    /// By provider.
    pub durations: BTreeMap<Arc<str>, HistogramTotals>,
}

impl FetchCounts {
    pub(crate) fn add(&mut self, asked: Asked) {
        *self.outcomes.entry((Arc::clone(&asked.provider), asked.outcome)).or_default() += 1;
        let seconds = asked.took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        let histogram = self.durations.entry(asked.provider).or_default();
        histogram.buckets[bucket] += 1;
        histogram.sum_seconds += seconds;
    }
}
