//! The last generation that worked, beside one that does not.

use super::*;

#[test]
fn the_last_one_that_worked_stands_in_for_a_new_one_that_is_refused() {
    let mut scene = Scene::replaced();
    assert_eq!(scene.in_force(), (2, None));
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.asks(2), []);
    assert_eq!(scene.asks_as(1, 3), [], "whoever has the old one waits too: it may be out of date");
    assert_eq!(scene.refused(1), [Fetch, retry(2, 1), proceed(3), retry(1, 1)]);
    assert_eq!(scene.in_force(), (1, Some(1)));
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
}

#[test]
fn while_one_stands_in_the_new_one_is_tried_now_and_then_by_one_session() {
    let mut scene = Scene::stood_in();
    let mut pauses = Vec::new();
    let mut last = scene.now;
    for _ in 0..8 {
        scene.until_somebody_is_wanted();
        pauses.push((scene.now - last).as_secs_f64().round());
        assert_eq!(scene.asks_as(1, 2), [retry(2, 2)]);
        assert_eq!(scene.in_force(), (1, Some(1)), "the others go on with the one that works");
        assert_eq!(scene.asks(2), [proceed(2)]);
        assert_eq!(scene.refused(2), [Fetch, retry(2, 1)]);
        assert_eq!(scene.fetched(Outcome::Unchanged), []);
        last = scene.now;
    }
    assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    scene.until_somebody_is_wanted();
    assert_eq!(scene.asks_as(1, 3), [retry(3, 2)]);
    assert_eq!(scene.accepted(), []);
    assert_eq!((scene.in_force(), scene.rotation.stand_in()), ((2, Some(2)), None));
}

#[test]
fn once_the_target_refuses_the_stand_in_the_new_one_is_tried_at_once() {
    let mut scene = Scene::stood_in();
    assert_eq!(scene.refused_as(1, 2, true), [retry(2, 2)]);
    assert_eq!(scene.refused_as(1, 3, true), []);
    assert_eq!(scene.in_force(), (2, None));
    assert_eq!(scene.asks(2), [proceed(2)]);
    assert_eq!(scene.accepted(), [retry(3, 2)]);
    assert_eq!(scene.in_force(), (2, Some(2)));
}

#[test]
fn a_stand_in_is_not_lost_to_a_client_that_asks_for_what_it_may_not() {
    let mut scene = Scene::stood_in();
    assert_eq!(scene.refused_as(1, 2, false), [give_up(2)]);
    assert_eq!(scene.in_force(), (1, Some(1)));
}

#[test]
fn a_trial_that_is_not_decided_leaves_the_stand_in_to_the_others_for_a_while() {
    let mut scene = Scene::stood_in();
    scene.until_somebody_is_wanted();
    assert_eq!(scene.asks_as(1, 1), [retry(1, 2)]);
    assert_eq!(scene.asks(1), [proceed(1)]);
    // This client's database is closed to the new user: that is said before any proof.
    assert_eq!(scene.refused_as(2, 1, false), [Fetch, retry(1, 1)]);
    assert_eq!(scene.asks_as(1, 1), [proceed(1)], "it gets in with the one that works");
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.in_force(), (1, Some(1)));
    scene.until_somebody_is_wanted();
    assert_eq!(scene.asks_as(1, 2), [retry(2, 2)]);
    assert_eq!(scene.abandoned(2), []);
    assert_eq!(scene.asks_as(1, 3), [proceed(3)]);
}

#[test]
fn a_session_whose_trial_took_long_to_begin_is_not_sent_back() {
    let mut scene = Scene::stood_in();
    scene.until_somebody_is_wanted();
    assert_eq!(scene.asks_as(1, 1), [retry(1, 2)]);
    scene.wait(6_000);
    scene.time();
    assert_eq!(scene.asks(1), [proceed(1)]);
}

#[test]
fn a_stand_in_ends_with_its_own_lease() {
    let mut scene = Scene::new();
    scene.changed();
    let until = scene.now + Duration::from_secs(5);
    let schedule = Schedule { usable_until: Some(until), ..Schedule::default() };
    scene.generation = 1;
    let first = Outcome::Changed { generation: Generation(1), same_target: false };
    scene.act(|rotation, now, actions| rotation.on_fetched(now, first, schedule, actions));
    scene.accepted();
    scene.changed();
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused(1), [Fetch, retry(1, 1)]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    scene.now = until;
    scene.time();
    assert_eq!((scene.in_force().0, scene.rotation.stand_in()), (2, None));
}

#[test]
fn values_of_another_target_do_not_stand_in() {
    let mut scene = Scene::proven();
    scene.changed();
    scene.generation = 2;
    let other = Outcome::Changed { generation: Generation(2), same_target: false };
    assert_eq!(scene.fetched(other), []);
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(1)]);
}

#[test]
fn a_generation_that_was_refused_last_does_not_stand_in() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
    assert_eq!(scene.rotation.stand_in(), None);
}

#[test]
fn other_sources_have_nothing_to_stand_in_for_them() {
    let mut scene = Scene::replaced();
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::Nothing);
    assert_eq!(scene.rotation.stand_in(), Some(Generation(1)), "the same sources under another name");
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::Values);
    assert_eq!(scene.rotation.stand_in(), None);
}

#[test]
fn a_trial_that_began_before_the_target_has_followed_is_repeated_at_once() {
    let mut scene = Scene::replaced();
    assert_eq!(scene.asks(1), [proceed(1)]);
    // The server changes its mind in the middle: the old one is refused, and so is the trial, which was too early.
    assert_eq!(scene.refused_as(1, 2, true), []);
    assert_eq!(scene.refused(1), [retry(2, 2)]);
    assert_eq!(scene.accepted(), [retry(1, 2)]);
    assert_eq!(scene.in_force(), (2, Some(2)));

    // Once is enough: what is refused then rests.
    let mut scene = Scene::replaced();
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused_as(1, 2, true), []);
    assert_eq!(scene.refused(1), [retry(2, 2)]);
    assert_eq!(scene.refused(2), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(1), give_up(2)]);
    assert_eq!(scene.asks(3), [give_up(3)]);
}

#[test]
fn a_generation_that_is_overtaken_in_its_trial_stands_in_once_it_was_accepted() {
    for newer_is_refused_first in [true, false] {
        let mut scene = Scene::with_grace(Duration::from_secs(2));
        scene.changed();
        scene.fetched_new();
        scene.accepted();
        // The server has followed, and the store changes once more while the second value is tried.
        assert_eq!(scene.refused(1), [Fetch]);
        assert_eq!(scene.fetched_new(), [retry(1, 2)]);
        assert_eq!(scene.asks(1), [proceed(1)]);
        assert_eq!(scene.refused_as(1, 2, true), []);
        scene.changed();
        assert_eq!(scene.fetched_new(), [retry(2, 3)]);
        assert_eq!(scene.asks(2), [proceed(2)]);
        assert!(scene.rotation.keeps(Generation(2)));
        let proven = |scene: &mut Scene| {
            scene.act(|rotation, now, actions| rotation.on_proven(now, Generation(2), 1, now, actions))
        };
        if newer_is_refused_first {
            assert_eq!(scene.refused(2), []);
            assert_eq!(proven(&mut scene), [retry(2, 2)]);
        } else {
            assert_eq!(proven(&mut scene), []);
            assert_eq!(scene.refused(2), [retry(2, 2)]);
        }
        assert_eq!(scene.in_force().0, 2);
        // The server follows again.
        assert_eq!(scene.refused_as(2, 3, true), [retry(3, 3)]);
        assert_eq!(scene.accepted(), []);
        assert_eq!(scene.in_force(), (3, Some(3)));
    }
}

#[test]
fn one_that_is_overtaken_before_or_long_after_its_trial_is_not_kept() {
    let mut scene = Scene::replaced();
    scene.changed();
    scene.fetched_new();
    assert!(!scene.rotation.keeps(Generation(2)), "nobody has tried it");
    assert_eq!(scene.asks(1), [proceed(1)]);
    scene.changed();
    scene.fetched_new();
    assert!(scene.rotation.keeps(Generation(3)));
    scene.wait(10_000);
    scene.time();
    assert!(!scene.rotation.keeps(Generation(3)), "its session is gone");
}

#[test]
fn two_values_in_a_moment_are_one_change_and_the_second_rests_no_longer_for_it() {
    let mut scene = Scene::with_grace(Duration::from_secs(2));
    scene.changed();
    scene.fetched_new();
    scene.accepted();
    assert_eq!(scene.refused(1), [Fetch]);
    let began = scene.now;
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
    assert_eq!(scene.refused_as(1, 2, true), []);
    scene.changed();
    assert_eq!(scene.fetched_new(), [retry(2, 3)]);
    assert_eq!(scene.refused(2), []);
    loop {
        match scene.until_something()[..] {
            [Fetch] => assert_eq!(scene.fetched(Outcome::Unchanged), []),
            [Action::Answer(2, Answer::Retry(Generation(3)))] => break,
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!((scene.now - began).as_secs_f64().round(), 1.0);
}

#[test]
fn a_trial_of_other_sources_stands_in_for_nothing() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.asks(1), [proceed(1)]);
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::Values);
    assert_eq!(scene.fetched_new(), []);
    scene.act(|rotation, now, actions| rotation.on_proven(now, Generation(1), 1, now, actions));
    assert_eq!(scene.rotation.stand_in(), None);
}
