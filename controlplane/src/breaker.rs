//! Stores that do not answer are left alone for a while.
//!
//! Owns a circuit breaker for each store: when nobody may ask, who is the first to ask again, and who is told when the store is
//! back. Has no clock: the time is an argument. A value that its store cannot give, while it gives others, is none of its business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
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
    /// Those whose last question failed.
    failing: BTreeSet<K>,
    open: Option<Open<K>>,
}

struct Open<K> {
    /// When the next question may pass.
    probe_at: Instant,
    pause: Duration,
    /// Whether it is time and nobody has asked yet.
    is_due: bool,
    /// Whether a refusal by a target has let one pass since the last probe.
    has_passed: bool,
    /// Who was the last to be told that it is time.
    last: Option<K>,
}

/// Whether a store may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It answers, as far as anybody knows.
    Given,
    /// It did not answer lately, and this question finds out whether it does.
    Probe,
    /// It does not answer.
    Denied,
}

impl<K: Ord + Copy> Breakers<K> {
    pub(crate) fn new() -> Self {
        Self { stores: BTreeMap::new(), waking: VecDeque::new(), wake_at: None }
    }

    /// Whether `who` may ask `store` now; if not, it is told when the store is back. `is_refused` says that a target refuses what the
    /// store gave last.
    pub(crate) fn leave(&mut self, store: &str, who: K, is_refused: bool, now: Instant) -> Leave {
        let Some(breaker) = self.stores.get_mut(store) else { return Leave::Given };
        let Some(open) = &mut breaker.open else { return Leave::Given };
        if open.probe_at <= now {
            open.wait(now);
        }
        if std::mem::take(&mut open.is_due) {
            open.has_passed = false;
            return Leave::Probe;
        }
        if is_refused && !std::mem::replace(&mut open.has_passed, true) {
            return Leave::Probe;
        }
        breaker.failing.insert(who);
        Leave::Denied
    }

    /// The store has answered `who`, whatever it said. Whether it had been left alone.
    pub(crate) fn on_answer(&mut self, store: &str, who: K, now: Instant) -> bool {
        let Some(breaker) = self.stores.remove(store) else { return false };
        // All at once would be too much for a store that has just come back.
        self.waking.extend(breaker.failing.into_iter().filter(|failing| *failing != who));
        self.wake_at.get_or_insert(now);
        breaker.open.is_some()
    }

    /// The store has not answered `who`. `time` is the time of day. Whether it is left alone from now on.
    pub(crate) fn on_silence(
        &mut self,
        store: &Arc<str>,
        who: K,
        now: Instant,
        time: impl FnOnce() -> Arc<str>,
    ) -> bool {
        let breaker = self.stores.entry(Arc::clone(store)).or_insert_with(|| Breaker {
            failures: 0,
            since: time(),
            failing: BTreeSet::new(),
            open: None,
        });
        breaker.failures += 1;
        breaker.failing.insert(who);
        if breaker.failures < FAILURES_MAX || breaker.open.is_some() {
            return false;
        }
        let (probe_at, pause) = (now + PAUSE_FIRST, PAUSE_FIRST);
        breaker.open = Some(Open { probe_at, pause, is_due: false, has_passed: false, last: None });
        true
    }

    /// `who` asks no more, or asks for something else.
    pub(crate) fn forget(&mut self, who: K) {
        self.waking.retain(|waking| *waking != who);
        self.stores.retain(|_, breaker| {
            breaker.failing.remove(&who);
            !breaker.failing.is_empty()
        });
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
        for breaker in self.stores.values_mut() {
            let Some(open) = breaker.open.as_mut().filter(|open| open.probe_at <= now) else { continue };
            open.wait(now);
            // Another one each time: what one of them asks for may be what does not come.
            let next = open.last.and_then(|last| breaker.failing.range((Excluded(last), Unbounded)).next());
            open.last = next.or(breaker.failing.first()).copied();
            due.extend(open.last);
        }
        if self.wake_at.is_some_and(|at| at <= now) {
            let count = self.waking.len().min(WAKE_AT_ONCE);
            due.extend(self.waking.drain(..count));
            self.wake_at = (!self.waking.is_empty()).then(|| now + WAKE_INTERVAL);
        }
        due
    }
}

impl<K> Open<K> {
    /// It is time for one question, and then for the next.
    fn wait(&mut self, now: Instant) {
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.probe_at = now + self.pause;
        self.is_due = true;
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
            self.breakers.on_silence(&self.store, who, self.now, || "noon".into())
        }

        fn leave(&mut self, is_refused: bool) -> Leave {
            self.breakers.leave(&self.store, 9, is_refused, self.now)
        }

        /// A store that has failed for these three.
        fn open() -> Self {
            let mut scene = Self::new();
            assert_eq!([1, 2, 3].map(|who| scene.fails(who)), [false, false, true]);
            scene
        }

        /// Lets time pass until somebody is to ask.
        fn due(&mut self) -> Vec<u32> {
            self.now = self.now.max(self.breakers.next_deadline().expect("it will be tried again"));
            self.breakers.take_due(self.now)
        }
    }

    #[test]
    fn a_store_that_fails_now_and_then_is_asked() {
        let mut scene = Scene::new();
        for _ in 0..10 {
            assert!(!scene.fails(1) && !scene.fails(1));
            assert_eq!(scene.leave(false), Leave::Given);
            assert!(!scene.breakers.on_answer("vault", 1, scene.now));
        }
        assert_eq!(scene.breakers.leave("another", 1, false, scene.now), Leave::Given);
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_by_one_at_growing_intervals_up_to_five_seconds() {
        let mut scene = Scene::open();
        let (mut intervals, mut askers) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            assert_eq!(scene.leave(false), Leave::Denied);
            let last = scene.now;
            askers.extend(scene.due());
            intervals.push((scene.now - last).as_secs());
            assert_eq!(scene.leave(false), Leave::Probe, "it is the one that may");
            assert_eq!(scene.leave(false), Leave::Denied, "and it alone");
            assert!(!scene.fails(1));
        }
        assert_eq!(intervals, [1, 2, 4, 5, 5]);
        assert_eq!(askers, [1, 2, 3, 9, 1], "each in its turn");
        assert_eq!(scene.breakers.since("vault").map(|since| &**since), Some("noon"));
        assert!(scene.now > scene.start);
    }

    #[test]
    fn a_probe_that_hangs_is_followed_by_the_next_and_the_outage_is_one() {
        let mut scene = Scene::open();
        for _ in 0..100 {
            assert_eq!(scene.due().len(), 1);
            assert_eq!(scene.leave(false), Leave::Probe);
        }
        assert_eq!(scene.breakers.states().collect::<Vec<_>>(), [(&"vault".into(), true)]);
        // Nobody asks for a while.
        scene.now += Duration::from_secs(3600);
        assert_eq!(scene.leave(false), Leave::Probe);
        assert_eq!(scene.leave(false), Leave::Denied);
    }

    #[test]
    fn a_refusal_by_a_target_passes_once() {
        let mut scene = Scene::open();
        assert_eq!([scene.leave(true), scene.leave(true)], [Leave::Probe, Leave::Denied]);
        scene.due();
        assert_eq!(scene.leave(false), Leave::Probe);
        assert_eq!([scene.leave(true), scene.leave(true)], [Leave::Probe, Leave::Denied]);
    }

    #[test]
    fn when_a_store_is_back_all_but_who_has_asked_ask_it_again_a_few_at_a_time() {
        let mut scene = Scene::new();
        (0..100).for_each(|who| _ = scene.fails(who));
        assert!(scene.breakers.on_answer("vault", 7, scene.now));
        assert_eq!(scene.leave(false), Leave::Given);
        let mut asked = Vec::new();
        let mut rounds = 0;
        while scene.breakers.next_deadline().is_some() {
            asked.extend(scene.due());
            rounds += 1;
        }
        assert!(asked.into_iter().eq((0..100).filter(|who| *who != 7)));
        assert_eq!(rounds, 4);
        assert!(scene.now - scene.start < Duration::from_secs(1));
    }

    #[test]
    fn a_store_that_nobody_waits_for_is_forgotten() {
        let mut scene = Scene::open();
        (1..=3).for_each(|who| scene.breakers.forget(who));
        assert_eq!(scene.breakers.next_deadline(), None);
        assert_eq!(scene.leave(false), Leave::Given);
    }
}
