//! Leases: values that end, and that their store takes back when nobody needs them any more.
//!
//! Owns which leases there are, when each wants to be renewed or replaced, and that each is given back once. How a lease is
//! renewed and given back, its provider knows.

mod given_back;
mod replacing;
mod term;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Generation, Hold};

use given_back::Guard;
pub(crate) use given_back::Leases;
pub(crate) use replacing::Replacing;
pub(crate) use term::{Step, Term};

use crate::providers::Lease;
use crate::values::Value;

/// The values of one lease, as long as anybody has them. A clone is the same lease.
#[derive(Clone)]
pub(crate) struct Held {
    /// In the order in which they were asked for.
    pub(crate) values: Arc<[Value]>,
    /// As of its last renewal.
    pub(crate) term: Term,
    guard: Arc<Guard>,
}

impl Held {
    /// The lease, as the store gave it.
    pub(crate) fn lease(&self) -> &Lease {
        self.guard.lease()
    }

    /// The same lease, renewed.
    pub(crate) fn renewed(self, term: Term) -> Self {
        self.guard.ends_at(term.ends_at());
        Self { term, ..self }
    }
}

/// What a service's values hang on: one for each store and place that was asked, in that order.
pub(crate) type Holds = Vec<Option<Held>>;

/// What sessions keep that log in with values of these leases.
pub(crate) fn hold(holds: &Holds) -> Option<Hold> {
    let guards: Vec<Arc<Guard>> = holds.iter().flatten().map(|held| Arc::clone(&held.guard)).collect();
    (!guards.is_empty()).then(|| Arc::new(guards) as Arc<dyn Any + Send + Sync>)
}

/// When the first of them is over, and how long before its end that is.
pub(crate) fn over_at(holds: &Holds) -> Option<(Instant, Duration)> {
    holds.iter().flatten().map(|held| held.term.over_at()).min()
}

/// When leases are over that sessions may have logged in with.
#[derive(Default)]
pub(crate) struct Leased(BTreeMap<Generation, (Instant, Duration)>);

impl Leased {
    /// The leases of `generation` are over then, as far as it has any.
    pub(crate) fn put(&mut self, generation: Option<Generation>, over_at: Option<(Instant, Duration)>) {
        if let (Some(generation), Some(over_at)) = (generation, over_at) {
            self.0.insert(generation, over_at);
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the first one is over.
    pub(crate) fn over_at(&self) -> Option<Instant> {
        self.0.values().map(|(at, _)| *at).min()
    }

    /// Takes the newest generation whose leases are over, and the time that is left until they end.
    pub(crate) fn take_over(&mut self, now: Instant) -> Option<(Generation, Duration)> {
        let (newest, (_, left)) = self.0.iter().rfind(|(_, (at, _))| *at <= now)?;
        let over = (*newest, *left);
        self.0.retain(|generation, _| *generation > over.0);
        Some(over)
    }
}

#[cfg(test)]
mod tests;
