//! Rotation on virtual time: sessions are numbers, the clock is a variable.

mod grace;
mod lifetime;
mod months;
mod random;
mod stand_in;
mod trials;

use std::time::Duration;

use super::Action::{Fetch, Withdraw};
use super::*;

/// A service, its clock and its store.
struct Scene {
    rotation: Rotation<u32>,
    start: Instant,
    now: Instant,
    /// The newest generation.
    generation: u64,
}

fn proceed(session: u32) -> Action<u32> {
    Action::Answer(session, Answer::Proceed)
}

fn retry(session: u32, generation: u64) -> Action<u32> {
    Action::Answer(session, Answer::Retry(Generation(generation)))
}

fn give_up(session: u32) -> Action<u32> {
    Action::Answer(session, Answer::GiveUp)
}

impl Scene {
    fn new() -> Self {
        Self::with_grace(Duration::ZERO)
    }

    /// A service whose sessions wait so long for something better than a refusal.
    fn with_grace(grace: Duration) -> Self {
        let now = Instant::now();
        let rules = Rules { grace, ..Rules::default() };
        Self { rotation: Rotation::new(false, rules), start: now, now, generation: 0 }
    }

    /// A service that has fetched its first generation, which nobody has tried.
    fn unproven() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.changed(), [Fetch]);
        assert_eq!(scene.fetched_new(), []);
        scene
    }

    /// A service whose first generation has been accepted.
    fn proven() -> Self {
        let mut scene = Self::unproven();
        assert_eq!(scene.accepted(), []);
        scene
    }

    /// A service whose store has a second generation, which nobody has tried.
    fn replaced() -> Self {
        let mut scene = Self::proven();
        assert_eq!(scene.changed(), [Fetch]);
        assert_eq!(scene.fetched_new(), []);
        scene
    }

    /// A service whose second generation was refused, so that the first one stands in.
    fn stood_in() -> Self {
        let mut scene = Self::replaced();
        assert_eq!(scene.asks(1), [proceed(1)]);
        assert_eq!(scene.refused(1), [Fetch, retry(1, 1)]);
        assert_eq!(scene.fetched(Outcome::Unchanged), []);
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

    /// A session is about to prove the newest generation.
    fn asks(&mut self, session: u32) -> Vec<Action<u32>> {
        self.asks_as(self.generation, session)
    }

    fn asks_as(&mut self, generation: u64, session: u32) -> Vec<Action<u32>> {
        self.act(|rotation, now, actions| {
            rotation.on_permission_wanted(now, Generation(generation), session, actions);
        })
    }

    /// The newest generation is refused.
    fn refused(&mut self, session: u32) -> Vec<Action<u32>> {
        self.refused_as(self.generation, session, true)
    }

    fn refused_as(&mut self, generation: u64, session: u32, certain: bool) -> Vec<Action<u32>> {
        self.wait(1);
        self.act(|rotation, now, actions| {
            rotation.on_refused(now, Generation(generation), session, certain, actions);
        })
    }

    /// The newest generation is accepted in an attempt that began a millisecond ago.
    fn accepted(&mut self) -> Vec<Action<u32>> {
        self.wait(2);
        let generation = Generation(self.generation);
        self.act(|rotation, now, actions| {
            rotation.on_proven(now, generation, 0, now - Duration::from_millis(1), actions);
        })
    }

    fn abandoned(&mut self, session: u32) -> Vec<Action<u32>> {
        self.act(|rotation, now, actions| rotation.on_abandoned(now, session, actions))
    }

    fn fetched(&mut self, outcome: Outcome) -> Vec<Action<u32>> {
        self.wait(1);
        self.act(|rotation, now, actions| rotation.on_fetched(now, outcome, Schedule::default(), actions))
    }

    fn fetched_new(&mut self) -> Vec<Action<u32>> {
        self.generation += 1;
        let generation = Generation(self.generation);
        self.fetched(Outcome::Changed { generation, same_target: true })
    }

    fn time(&mut self) -> Vec<Action<u32>> {
        self.act(Rotation::on_time)
    }

    /// What sessions that begin now are given, and what they may prove without asking.
    fn in_force(&self) -> (u64, Option<u64>) {
        let open = self.rotation.open(self.now).map(|generation| generation.0);
        (self.rotation.in_force().map_or(0, |generation| generation.0), open)
    }

    /// Lets time pass until the current generation may be tried again, while another one stands in.
    fn until_somebody_is_wanted(&mut self) {
        while self.rotation.open(self.now).is_some() {
            assert!(self.until_due().is_some(), "it will be tried again");
            assert_eq!(self.time(), []);
        }
    }

    /// Lets time pass until the rotation does something, or has nothing more to do.
    fn until_something(&mut self) -> Vec<Action<u32>> {
        while self.until_due().is_some() {
            let actions = self.time();
            if !actions.is_empty() {
                return actions;
            }
        }
        Vec::new()
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
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(1), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2), give_up(3)]);
}

#[test]
fn a_new_generation_is_tried_by_one_session_and_proven_for_all() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.refused(2), []);
    assert_eq!(scene.refused(3), []);
    // The second fetch is for refusals that the first cannot have known of.
    assert_eq!(scene.fetched_new(), [retry(1, 2), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.refused_as(1, 4, true), []);
    assert_eq!(scene.accepted(), [retry(2, 2), retry(3, 2), retry(4, 2)]);
    // From now on latecomers with the old one need no fetch.
    assert_eq!(scene.refused_as(1, 5, true), [retry(5, 2)]);
}

#[test]
fn a_new_generation_that_is_refused_is_refused_for_all() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.refused(2), []);
    assert_eq!(scene.fetched_new(), [retry(1, 2), Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.refused(1), [give_up(1), give_up(2)]);
    // The account is left alone until the back-off is over.
    assert_eq!(scene.refused(3), [give_up(3)]);
    assert_eq!(scene.refused_as(1, 4, true), [give_up(4)]);
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
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2)]);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    scene.accepted();
    assert_eq!(scene.refused(3), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(3)]);
    scene.wait(1_000);
    assert_eq!(scene.refused(4), [Fetch]);
}

#[test]
fn values_that_change_with_every_fetch_and_are_always_refused_do_not_make_a_loop() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
    assert_eq!(scene.refused(1), [give_up(1)]);
    let mut fetches = 0;
    let begin = scene.now;
    while scene.now < begin + Duration::from_secs(600) {
        scene.wait(10);
        if scene.refused(2) == [Fetch] {
            fetches += 1;
            // Only the first of them are tried before they have rested.
            match scene.fetched_new()[..] {
                [Action::Answer(2, Answer::Retry(_))] => assert_eq!(scene.refused(2), [give_up(2)]),
                ref other => assert_eq!(other, [give_up(2)]),
            }
        }
    }
    assert!((10..=15).contains(&fetches), "{fetches}");
}

#[test]
fn literals_are_never_fetched() {
    let mut scene = Scene::new();
    scene.rotation.is_fixed = true;
    assert_eq!(scene.changed(), []);
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.refused(1), [give_up(1)]);
    assert_eq!(scene.until_something(), [], "the end of the back-off");
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
    assert_eq!(actions, [give_up(1), give_up(2), Fetch]);
    assert_eq!(scene.fetched(Outcome::Failed), []);
    let mut last = scene.now;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert_eq!(scene.until_something(), [Fetch]);
        pauses.push((scene.now - last).as_secs());
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
        due_at: Some(scene.now + Duration::from_secs(20)),
        usable_until: Some(scene.now + Duration::from_secs(30)),
    };
    scene.act(|rotation, now, actions| {
        let outcome = Outcome::Changed { generation: Generation(1), same_target: false };
        rotation.on_fetched(now, outcome, schedule, actions);
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
fn values_that_the_store_has_withdrawn_are_out_of_use_at_once_and_asked_for_again() {
    let mut scene = Scene::replaced();
    assert_eq!(scene.changed(), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Gone), []);
    let now = scene.now;
    assert!(scene.until_due().is_some() && scene.now == now, "it is due at once");
    assert_eq!(scene.time(), [Withdraw, Fetch]);
    assert_eq!(scene.rotation.in_force(), None, "the one before it stands in for nothing");
    assert_eq!(scene.fetched(Outcome::Gone), []);
    // There is nothing left to withdraw.
    let now = scene.now;
    assert!(scene.until_due().is_some() && scene.now >= now + Duration::from_secs(1));
    assert_eq!(scene.time(), [Fetch]);
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.asks(1), [proceed(1)]);
}

#[test]
fn a_withdrawn_generation_leaves_nobody_waiting() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(7), [Fetch]);
    scene.rotation.lifetime.begin(Schedule { usable_until: Some(scene.now), ..Schedule::default() });
    assert_eq!(scene.time(), [Withdraw, give_up(7)]);
}

#[test]
fn other_sources_answer_those_who_wait() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::All);
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
}
