//! Values that should be fetched again while their store fails.

use super::*;

/// A service with these rules, whose values are due in 300 s.
fn polled(rules: Rules) -> Scene {
    let mut scene = Scene::new();
    scene.rotation.rules = rules;
    scene.changed();
    let due = Some(scene.now + Duration::from_secs(300));
    let schedule = Schedule { refetch_at: due, due_at: due, usable_until: None };
    scene.act(|rotation, now, actions| {
        let outcome = Outcome::Changed { generation: Generation(1), same_target: false };
        rotation.on_fetched(now, outcome, schedule, actions);
    });
    scene.start = scene.now;
    scene.generation = 1;
    scene
}

/// Lets the store fail until the values are withdrawn: when that is, and how many fetches there were.
fn withdrawn_after(scene: &mut Scene) -> (Duration, u32) {
    let mut fetches = 0;
    loop {
        scene.until_due();
        for action in scene.time() {
            match action {
                Fetch => {
                    fetches += 1;
                    scene.fetched(Outcome::Failed);
                }
                Withdraw => return (scene.now.duration_since(scene.start), fetches),
                Action::Answer(..) => {}
            }
        }
    }
}

#[test]
fn a_store_that_fails_is_forgiven_for_as_long_as_values_may_be_stale() {
    let mut scene = polled(Rules::default());
    let (lasted, fetches) = withdrawn_after(&mut scene);
    assert_eq!(lasted.as_secs(), 300 + 3600, "an hour from when they were due");
    // Pauses of 1, 2, 4 … 32 s and then of 60 s.
    assert_eq!(fetches, 1 + 6 + (3600 - 63) / 60);

    let rules = Rules {
        stale_max: Duration::from_secs(100),
        failure_pause_max: Duration::from_secs(5),
        grace: Duration::ZERO,
    };
    let (lasted, fetches) = withdrawn_after(&mut polled(rules));
    assert_eq!(lasted.as_secs(), 300 + 100);
    // Of 1, 2, 4 s and then of 5 s.
    assert_eq!(fetches, 1 + 3 + (100 - 7) / 5);

    let none = Rules { stale_max: Duration::ZERO, ..Rules::default() };
    let (lasted, fetches) = withdrawn_after(&mut polled(none));
    assert_eq!((lasted.as_secs(), fetches), (300, 1), "they serve no longer than they are fresh");
}

#[test]
fn a_failure_before_values_are_due_says_nothing_about_them_and_one_answer_makes_up_for_all() {
    let mut scene = polled(Rules { stale_max: Duration::ZERO, grace: Duration::ZERO, ..Rules::default() });
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Failed), [give_up(1)]);
    assert!(!scene.rotation.is_stale());

    let mut scene = polled(Rules::default());
    scene.wait(300_000);
    assert_eq!(scene.time(), [Fetch]);
    scene.fetched(Outcome::Failed);
    assert!(scene.rotation.is_stale());
    scene.wait(1_000);
    assert_eq!(scene.time(), [Fetch]);
    scene.fetched(Outcome::Unchanged);
    assert!(!scene.rotation.is_stale());
}

#[test]
fn values_that_are_never_due_are_stale_while_their_store_does_not_have_them_and_serve_on() {
    let mut scene = Scene::proven();
    assert!(!scene.rotation.is_stale());
    scene.changed();
    scene.fetched(Outcome::Failed);
    assert!(scene.rotation.is_stale());
    for _ in 0..100 {
        scene.until_due();
        for action in scene.time() {
            assert_eq!(action, Fetch, "nothing ends them");
            scene.fetched(Outcome::Failed);
        }
    }
    scene.changed();
    scene.fetched(Outcome::Unchanged);
    assert!(!scene.rotation.is_stale());
}

#[test]
fn a_new_file_may_shorten_an_outage_that_is_under_way() {
    let mut scene = polled(Rules::default());
    scene.wait(300_000);
    assert_eq!(scene.time(), [Fetch]);
    scene.fetched(Outcome::Failed);
    let rules = Rules { stale_max: Duration::ZERO, ..Rules::default() };
    scene.rotation.on_sources_replaced(false, rules, Replaced::Nothing);
    assert_eq!(scene.until_something(), [Withdraw, Fetch]);
    assert_eq!(scene.now - scene.start, Duration::from_millis(300_001));
}

#[test]
fn a_store_that_hangs_is_forgiven_no_longer_than_one_that_fails() {
    for (stale, expected) in [(100, 300 + 100), (3, 300 + 15), (0, 300 + 15)] {
        let rules = Rules { stale_max: Duration::from_secs(stale), ..Rules::default() };
        let mut scene = polled(rules);
        assert_eq!(scene.until_something(), [Fetch]);
        // It says nothing.
        assert_eq!(scene.until_something(), [Withdraw]);
        assert_eq!((scene.now - scene.start).as_secs(), expected, "stale: {stale} s");
        assert_eq!(scene.until_due(), None, "nothing is left to be done but to wait");
    }
}
