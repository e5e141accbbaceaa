//! Rotation on virtual time: sessions are numbers, the clock is a variable.

use super::Action::{Fetch, Verdict, Withdraw};
use super::*;

/// A service, its clock and its store.
struct Scene {
    rotation: Rotation<u32>,
    start: Instant,
    now: Instant,
    /// The generation in force.
    generation: u64,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        Self { rotation: Rotation::new(false), start: now, now, generation: 0 }
    }

    /// A service that has fetched its first generation, which has been accepted.
    fn proven() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.changed(), [Fetch]);
        assert_eq!(scene.fetched_new(), []);
        assert_eq!(scene.accepted(), []);
        scene
    }

    fn act(
        &mut self,
        act: impl FnOnce(&mut Rotation<u32>, Instant, &mut Vec<Action<u32>>),
    ) -> Vec<Action<u32>> {
        let mut actions = Vec::new();
        act(&mut self.rotation, self.now, &mut actions);
        actions
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn changed(&mut self) -> Vec<Action<u32>> {
        self.act(Rotation::on_changed)
    }

    /// The current generation is refused.
    fn refused(&mut self, session: u32) -> Vec<Action<u32>> {
        self.refused_as(self.generation, session, true)
    }

    fn refused_as(&mut self, generation: u64, session: u32, certain: bool) -> Vec<Action<u32>> {
        self.wait(1);
        self.act(|rotation, now, actions| {
            rotation.on_refused(now, Generation(generation), session, certain, actions);
        })
    }

    /// The current generation is accepted in an attempt that began a millisecond ago.
    fn accepted(&mut self) -> Vec<Action<u32>> {
        self.wait(2);
        let generation = Generation(self.generation);
        self.act(|rotation, now, actions| {
            rotation.on_proven(generation, now - Duration::from_millis(1), actions);
        })
    }

    fn fetched(&mut self, outcome: Outcome) -> Vec<Action<u32>> {
        self.wait(1);
        self.act(|rotation, now, actions| rotation.on_fetched(now, outcome, Schedule::default(), actions))
    }

    fn fetched_new(&mut self) -> Vec<Action<u32>> {
        self.generation += 1;
        self.fetched(Outcome::Changed(Generation(self.generation)))
    }

    fn time(&mut self) -> Vec<Action<u32>> {
        self.act(Rotation::on_time)
    }

    /// Lets time pass until the rotation wants something, and gives how long that was since the start.
    fn until_due(&mut self) -> Option<Duration> {
        let at = self.rotation.next_deadline()?;
        self.now = self.now.max(at);
        Some(self.now - self.start)
    }
}

#[test]
fn one_fetch_serves_all_that_were_refused() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    // These refusals came while that fetch was under way, so they need one that begins later.
    assert_eq!(scene.refused(2), []);
    assert_eq!(scene.refused(3), []);
    assert_eq!(scene.fetched(Outcome::Unchanged), [Verdict(1, false), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [Verdict(2, false), Verdict(3, false)]);
}

#[test]
fn a_new_generation_is_tried_by_one_session_and_proven_for_all() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.refused(2), []);
    assert_eq!(scene.refused(3), []);
    // The second fetch is for refusals that the first cannot have known of.
    assert_eq!(scene.fetched_new(), [Verdict(1, true), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.refused_as(1, 4, true), []);
    assert_eq!(scene.accepted(), [Verdict(2, true), Verdict(3, true), Verdict(4, true)]);
    // From now on latecomers with the old one need no fetch.
    assert_eq!(scene.refused_as(1, 5, true), [Verdict(5, true)]);
}

#[test]
fn a_new_generation_that_is_refused_is_refused_for_all() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.refused(2), []);
    assert_eq!(scene.fetched_new(), [Verdict(1, true), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.refused(1), [Verdict(2, false), Verdict(1, false)]);
    // The account is left alone until the back-off is over.
    assert_eq!(scene.refused(3), [Verdict(3, false)]);
    assert_eq!(scene.refused_as(1, 4, true), [Verdict(4, false)]);
}

#[test]
fn a_trial_that_never_ends_is_followed_by_the_next() {
    let mut scene = Scene::proven();
    scene.refused(1);
    scene.refused(2);
    assert_eq!(scene.fetched_new(), [Verdict(1, true), Fetch]);
    scene.fetched(Outcome::Unchanged);
    assert!(scene.until_due().is_some());
    assert_eq!(scene.time(), [Verdict(2, true)]);
}

#[test]
fn the_back_off_doubles_to_a_minute_and_ends_with_a_success() {
    let mut scene = Scene::proven();
    let mut pauses = Vec::new();
    assert_eq!(scene.refused(1), [Fetch]);
    for _ in 0..8 {
        assert_eq!(scene.fetched(Outcome::Unchanged).len(), 1);
        let from = scene.now;
        while scene.refused(2) != [Fetch] {
            scene.wait(99);
        }
        pauses.push((scene.now - from).as_secs());
    }
    assert_eq!(scene.fetched(Outcome::Unchanged), [Verdict(2, false)]);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    scene.accepted();
    assert_eq!(scene.refused(3), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [Verdict(3, false)]);
    scene.wait(1_000);
    assert_eq!(scene.refused(4), [Fetch]);
}

#[test]
fn values_that_change_with_every_fetch_and_are_always_refused_do_not_make_a_loop() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched_new(), [Verdict(1, true)]);
    assert_eq!(scene.refused(1), [Verdict(1, false)]);
    let mut fetches = 0;
    let begin = scene.now;
    while scene.now < begin + Duration::from_secs(600) {
        scene.wait(10);
        if scene.refused(2) == [Fetch] {
            fetches += 1;
            assert_eq!(scene.fetched_new(), [Verdict(2, true)]);
            assert_eq!(scene.refused(2), [Verdict(2, false)]);
        }
    }
    assert!((10..=15).contains(&fetches), "{fetches}");
}

#[test]
fn a_success_counts_from_the_beginning_of_its_attempt() {
    let mut scene = Scene::proven();
    let before = scene.now;
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [Verdict(1, false)]);
    scene.act(|rotation, _, actions| rotation.on_proven(Generation(1), before, actions));
    assert_eq!(scene.refused(2), [Verdict(2, false)], "the back-off still holds");
}

#[test]
fn an_uncertain_refusal_never_marks_a_generation_that_has_succeeded() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused_as(1, 1, false), [Verdict(1, false)]);
    assert_eq!(scene.refused(2), [Fetch], "no back-off came of it");
    let mut unproven = Scene::new();
    unproven.changed();
    unproven.fetched_new();
    assert_eq!(unproven.refused_as(1, 1, false), [Fetch]);
}

#[test]
fn literals_are_never_fetched() {
    let mut scene = Scene::new();
    scene.rotation.is_fixed = true;
    assert_eq!(scene.changed(), []);
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.refused(1), [Verdict(1, false)]);
    assert_eq!(scene.rotation.next_deadline(), None);
}

#[test]
fn a_change_while_a_fetch_is_under_way_is_fetched_after_it() {
    let mut scene = Scene::proven();
    assert_eq!(scene.changed(), [Fetch]);
    assert_eq!(scene.changed(), []);
    assert_eq!(scene.changed(), []);
    assert_eq!(scene.fetched_new(), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
}

#[test]
fn an_outage_is_retried_with_a_back_off_and_answers_nobody_late() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.refused(2), []);
    let actions = scene.fetched(Outcome::Failed);
    assert_eq!(actions, [Verdict(1, false), Verdict(2, false), Fetch]);
    assert_eq!(scene.fetched(Outcome::Failed), []);
    let mut last = scene.now;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert!(scene.until_due().is_some());
        pauses.push((scene.now - last).as_secs());
        assert_eq!(scene.time(), [Fetch]);
        assert_eq!(scene.fetched(Outcome::Failed), []);
        last = scene.now;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60]);
}

#[test]
fn a_session_that_wants_a_first_value_hurries_a_retry_but_not_twice_a_second() {
    let mut scene = Scene::new();
    scene.changed();
    scene.fetched(Outcome::Failed);
    assert_eq!(scene.act(Rotation::on_wanted), []);
    scene.wait(1_000);
    assert_eq!(scene.act(Rotation::on_wanted), [Fetch]);
    assert_eq!(scene.act(Rotation::on_wanted), []);
    scene.fetched_new();
    scene.wait(5_000);
    assert_eq!(scene.act(Rotation::on_wanted), [], "the value is there");
}

#[test]
fn values_are_fetched_again_when_due_and_withdrawn_when_over() {
    let mut scene = Scene::new();
    scene.changed();
    let schedule = Schedule {
        refetch_at: Some(scene.now + Duration::from_secs(20)),
        usable_until: Some(scene.now + Duration::from_secs(30)),
    };
    scene.act(|rotation, now, actions| {
        rotation.on_fetched(now, Outcome::Changed(Generation(1)), schedule, actions);
    });
    assert_eq!(scene.until_due(), Some(Duration::from_secs(20)));
    assert_eq!(scene.time(), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Failed), []);
    while scene.now < scene.start + Duration::from_secs(29) {
        scene.until_due();
        for action in scene.time() {
            assert_eq!(
                action,
                if scene.now < scene.start + Duration::from_secs(30) { Fetch } else { Withdraw }
            );
            if action == Withdraw {
                return;
            }
            scene.fetched(Outcome::Failed);
        }
    }
    panic!("never withdrawn");
}

#[test]
fn a_withdrawn_generation_leaves_nobody_waiting() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(7), [Fetch]);
    scene.rotation.schedule.usable_until = Some(scene.now);
    assert_eq!(scene.time(), [Withdraw, Verdict(7, false)]);
}

#[test]
fn other_sources_answer_those_who_wait() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    scene.rotation.on_sources_replaced(false);
    assert_eq!(scene.fetched_new(), [Verdict(1, true)]);
}
