//! Stores that do not answer are left alone for a while.
//!
//! Owns a circuit breaker for each store: when nobody may ask, who is the first to ask again, and who is told when the store is
//! back. Has no clock: the time is an argument. A value that its store cannot give, while it gives others, is none of its business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The breakers of all stores; `K` names who asks.
pub(crate) struct Breakers<K> {
    stores: BTreeMap<Arc<str>, Breaker<K>>,
    /// Who is to ask again because a store is back, and when the next of them may.
    waking: VecDeque<K>,
    wake_at: Option<Instant>,
}

struct Breaker<K> {
    /// In a row.
    failures: u32,
    /// When the first of them was, as text.
    since: Arc<str>,
    /// Why the last one failed.
    reason: String,
    /// Those whose last question failed.
    failing: BTreeSet<K>,
    open: Option<Open>,
}

struct Open {
    /// When the next question may pass.
    probe_at: Instant,
    pause: Duration,
    /// Whether a refusal by a target has let one pass since the last probe.
    has_passed: bool,
}

impl<K: Ord + Copy> Breakers<K> {
    pub(crate) fn new() -> Self {
        Self { stores: BTreeMap::new(), waking: VecDeque::new(), wake_at: None }
    }

    /// Why `store` must not be asked now, if it must not: then `who` is told when it is back. `is_refused` says that a target refuses what the store gave last.
    pub(crate) fn forbids(&mut self, store: &str, who: K, is_refused: bool, now: Instant) -> Option<String> {
        let breaker = self.stores.get_mut(store)?;
        let open = breaker.open.as_mut()?;
        if open.probe_at <= now {
            open.pause = (open.pause * 2).min(PAUSE_MAX);
            open.probe_at = now + open.pause;
            open.has_passed = false;
            return None;
        }
        if is_refused && !std::mem::replace(&mut open.has_passed, true) {
            return None;
        }
        breaker.failing.insert(who);
        Some(breaker.reason.clone())
    }

    /// The store has answered, whatever it said. Whether it had not before.
    pub(crate) fn on_answer(&mut self, store: &str, now: Instant) -> bool {
        let Some(breaker) = self.stores.remove(store) else { return false };
        // All at once would be too much for a store that has just come back.
        self.waking.extend(breaker.failing);
        self.wake_at.get_or_insert(now);
        breaker.open.is_some()
    }

    /// The store has not answered `who`. `time` is the time of day. Whether it is left alone from now on.
    pub(crate) fn on_silence(
        &mut self,
        store: &Arc<str>,
        who: K,
        reason: String,
        now: Instant,
        time: impl FnOnce() -> Arc<str>,
    ) -> bool {
        let breaker = self.stores.entry(Arc::clone(store)).or_insert_with(|| Breaker {
            failures: 0,
            since: time(),
            reason: String::new(),
            failing: BTreeSet::new(),
            open: None,
        });
        breaker.failures += 1;
        breaker.reason = reason;
        breaker.failing.insert(who);
        if breaker.failures < FAILURES_MAX || breaker.open.is_some() {
            return false;
        }
        breaker.open = Some(Open { probe_at: now + PAUSE_FIRST, pause: PAUSE_FIRST, has_passed: false });
        true
    }

    /// Since when the store does not answer, if it does not.
    pub(crate) fn since(&self, store: &str) -> Option<&Arc<str>> {
        self.stores.get(store).map(|breaker| &breaker.since)
    }

    /// Every store that does not answer, and whether it is left alone.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.stores.iter().map(|(store, breaker)| (store, breaker.open.is_some()))
    }

    /// When [`Breakers::take_due`] has somebody next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let open = self.stores.values().filter_map(|breaker| breaker.open.as_ref());
        let wake_at = self.wake_at.filter(|_| !self.waking.is_empty());
        open.map(|open| open.probe_at).chain(wake_at).min()
    }

    /// Takes those who are to ask now: one for each store that is to be tried again, and a few of those whose store is back.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<K> {
        let mut due = Vec::new();
        self.stores.retain(|_, breaker| {
            if breaker.open.as_ref().is_none_or(|open| now < open.probe_at) {
                return true;
            }
            // The next time somebody else, for this one may be gone. A store that nobody waits for is none of ours.
            let first = breaker.failing.pop_first();
            due.extend(first);
            first.is_some()
        });
        if self.wake_at.is_some_and(|at| at <= now) {
            let count = self.waking.len().min(WAKE_AT_ONCE);
            due.extend(self.waking.drain(..count));
            self.wake_at = (!self.waking.is_empty()).then(|| now + WAKE_INTERVAL);
        }
        due
    }
}

/// One lost packet is no outage.
const FAILURES_MAX: u32 = 3;

const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// A store that is back is noticed within this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// So many ask a store at once that has come back, and so often.
const WAKE_AT_ONCE: usize = 32;
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        breakers: Breakers<u32>,
        start: Instant,
        now: Instant,
        store: Arc<str>,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            Self { breakers: Breakers::new(), start: now, now, store: "vault".into() }
        }

        fn fails(&mut self, who: u32) -> bool {
            self.breakers.on_silence(&self.store, who, "i/o timeout".into(), self.now, || "noon".into())
        }

        fn forbids(&mut self, is_refused: bool) -> bool {
            self.breakers.forbids(&self.store, 9, is_refused, self.now).is_some()
        }

        /// A store that has failed for these three.
        fn open() -> Self {
            let mut scene = Self::new();
            assert_eq!([1, 2, 3].map(|who| scene.fails(who)), [false, false, true]);
            scene
        }
    }

    #[test]
    fn a_store_that_fails_now_and_then_is_asked() {
        let mut scene = Scene::new();
        for _ in 0..10 {
            assert!(!scene.fails(1) && !scene.fails(1) && !scene.forbids(false));
            assert!(!scene.breakers.on_answer("vault", scene.now));
        }
        assert_eq!(scene.breakers.forbids("another", 1, false, scene.now), None);
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_by_one_at_growing_intervals_up_to_five_seconds() {
        let mut scene = Scene::open();
        let mut intervals = Vec::new();
        for _ in 0..5 {
            assert!(scene.forbids(false));
            let last = scene.now;
            scene.now = scene.breakers.next_deadline().expect("it will be tried again");
            intervals.push((scene.now - last).as_secs());
            let due = scene.breakers.take_due(scene.now);
            assert_eq!(due.len(), 1);
            assert!(!scene.forbids(false), "it is the one that may");
            assert!(scene.forbids(false), "and it alone");
            assert!(!scene.fails(due[0]));
        }
        assert_eq!(intervals, [1, 2, 4, 5, 5]);
        assert_eq!(scene.breakers.since("vault").map(|since| &**since), Some("noon"));
        assert!(scene.now > scene.start);
    }

    #[test]
    fn a_refusal_by_a_target_passes_once() {
        let mut scene = Scene::open();
        assert!(!scene.forbids(true));
        assert!(scene.forbids(true));
        scene.now = scene.breakers.next_deadline().expect("it will be tried again");
        assert!(!scene.forbids(false));
        assert!(!scene.forbids(true));
        assert!(scene.forbids(true));
    }

    #[test]
    fn when_a_store_is_back_all_ask_it_again_a_few_at_a_time() {
        let mut scene = Scene::new();
        (0..100).for_each(|who| _ = scene.fails(who));
        assert!(scene.breakers.on_answer("vault", scene.now));
        assert!(!scene.forbids(false));
        let mut asked = Vec::new();
        let mut rounds = 0;
        while let Some(at) = scene.breakers.next_deadline() {
            scene.now = scene.now.max(at);
            asked.extend(scene.breakers.take_due(scene.now));
            rounds += 1;
        }
        assert!(asked.into_iter().eq(0..100));
        assert_eq!(rounds, 4);
        assert!(scene.now - scene.start < Duration::from_secs(1));
    }

    #[test]
    fn a_store_that_nobody_waits_for_is_forgotten() {
        let mut scene = Scene::open();
        for _ in 0..4 {
            let Some(at) = scene.breakers.next_deadline() else { return };
            scene.now = at;
            // Nobody of them is there any more.
            scene.breakers.take_due(scene.now);
            scene.breakers.forbids("vault", 1, false, scene.now);
        }
        assert_eq!(scene.breakers.next_deadline(), None);
    }
}
