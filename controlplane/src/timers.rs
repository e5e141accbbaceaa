//! Moments at which something is due, one for each key.
//!
//! Owns their order. Has no clock: whoever asks says what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// At most one moment a key.
pub(crate) struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Replaces the moment of `key`; `None` takes it away.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(&key),
        };
        if let Some(before) = before.filter(|before| Some(*before) != at) {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// The first moment.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the key whose moment was first and has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn gives_keys_in_the_order_of_their_moments() {
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut timers = Timers::new();
        timers.set("late", at(3));
        timers.set("early", at(1));
        timers.set("moved", at(1));
        timers.set("moved", at(2));
        timers.set("gone", at(1));
        timers.set("gone", None);
        assert_eq!(timers.next(), at(1));
        let now = start + Duration::from_secs(2);
        assert_eq!(timers.pop(now), Some("early"));
        assert_eq!(timers.pop(now), Some("moved"));
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.next(), at(3));
    }
}
