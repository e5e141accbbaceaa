//! Who may try a generation, and who waits.

use super::*;

#[test]
fn a_first_generation_is_tried_by_one_session_and_then_open_to_all() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.in_force(), (1, None));
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.asks(2), []);
    assert_eq!(scene.asks(3), []);
    assert_eq!(scene.accepted(), [proceed(2), proceed(3)]);
    assert_eq!(scene.in_force(), (1, Some(1)));
    assert_eq!(scene.asks(4), [proceed(4)], "it asked a moment too early to know");
}

#[test]
fn whoever_tries_and_goes_away_makes_room_for_the_next() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.asks(2), []);
    assert_eq!(scene.asks(3), []);
    assert_eq!(scene.abandoned(2), []);
    assert_eq!(scene.abandoned(1), [proceed(3)]);
    assert_eq!(scene.asks(4), []);
    assert!(scene.until_due().is_some());
    assert_eq!(scene.time(), [proceed(4)], "the third hangs");
}

#[test]
fn those_who_wait_for_a_generation_that_is_refused_never_prove_it() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.asks(2), []);
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.asks(3), [], "the fetch may bring a better one");
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2), give_up(1), give_up(3)]);
    assert_eq!(scene.asks(4), [give_up(4)], "the account is left alone");
    scene.wait(1_000);
    scene.time();
    assert_eq!(scene.asks(5), [proceed(5)]);
    assert_eq!(scene.asks(6), []);
    assert_eq!(scene.accepted(), [proceed(6)]);
}

#[test]
fn an_account_is_left_alone_though_nobody_waits_for_the_store_to_answer() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused(1), [Fetch]);
    // Its client does not wait for a slow store.
    assert_eq!(scene.abandoned(1), []);
    assert_eq!(scene.asks(2), [], "no second proof while the store may have a better one");
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2)]);
    assert_eq!(scene.asks(3), [give_up(3)]);
}

#[test]
fn whoever_asks_while_there_is_nothing_waits_for_what_comes() {
    let mut scene = Scene::proven();
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::All);
    assert_eq!(scene.asks(1), []);
    assert_eq!(scene.changed(), [Fetch]);
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
}

#[test]
fn a_better_generation_is_tried_by_one_of_those_who_wait() {
    let mut scene = Scene::unproven();
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.asks(2), []);
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched_new(), [retry(2, 2)]);
    assert_eq!(scene.asks(2), [proceed(2)]);
    assert_eq!(scene.asks(3), []);
    assert_eq!(scene.accepted(), [retry(1, 2), proceed(3)]);
}

#[test]
fn doubtful_refusals_hold_up_nobody() {
    let mut scene = Scene::unproven();
    // Refused for good once; then clients ask for what they may not, as often as they like.
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(1)]);
    scene.wait(1_000);
    scene.time();
    assert_eq!(scene.refused_as(1, 2, false), [Fetch]);
    assert_eq!(scene.asks(3), [proceed(3)], "it does not wait for what that fetch brings");
    assert_eq!(scene.refused_as(1, 4, false), []);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2), Fetch]);
    assert_eq!(scene.refused_as(1, 5, false), [give_up(5)], "one fetch a second is enough for these");
    assert_eq!(scene.accepted(), []);
    assert_eq!(scene.in_force(), (1, Some(1)));
}

#[test]
fn a_success_of_the_session_that_tries_ends_its_trial_even_if_another_was_refused_meanwhile() {
    let mut scene = Scene::unproven();
    let before = scene.now;
    assert_eq!(scene.asks(1), [proceed(1)]);
    assert_eq!(scene.refused(2), [Fetch]);
    assert_eq!(scene.asks(3), []);
    let actions = scene.act(|rotation, now, actions| {
        rotation.on_proven(now, Generation(1), 1, before, actions);
    });
    assert_eq!(actions, []);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(2), give_up(3)]);
}

#[test]
fn a_success_counts_from_the_beginning_of_its_attempt() {
    let mut scene = Scene::proven();
    let before = scene.now;
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), [give_up(1)]);
    scene.act(|rotation, _, actions| rotation.on_proven(before, Generation(1), 0, before, actions));
    assert_eq!(scene.refused(2), [give_up(2)], "the back-off still holds");
}

#[test]
fn an_uncertain_refusal_never_marks_a_generation_that_has_succeeded() {
    let mut scene = Scene::proven();
    assert_eq!(scene.refused_as(1, 1, false), [give_up(1)]);
    assert_eq!(scene.refused(2), [Fetch], "no back-off came of it");
    let mut unproven = Scene::new();
    unproven.changed();
    unproven.fetched_new();
    assert_eq!(unproven.refused_as(1, 1, false), [Fetch]);
}

#[test]
fn a_trial_that_never_ends_is_followed_by_the_next() {
    let mut scene = Scene::proven();
    scene.refused(1);
    scene.refused(2);
    assert_eq!(scene.fetched_new(), [retry(1, 2), Fetch]);
    scene.fetched(Outcome::Unchanged);
    assert_eq!(scene.until_something(), [retry(2, 2)]);
}

#[test]
fn a_target_that_cannot_be_reached_may_have_moved() {
    let mut scene = Scene::proven();
    assert_eq!(scene.act(Rotation::on_unreachable), [Fetch]);
    assert_eq!(scene.act(Rotation::on_unreachable), [], "one fetch serves all");
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.act(Rotation::on_unreachable), [Fetch], "a value that has changed is another matter");
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.act(Rotation::on_unreachable), []);
    scene.wait(2_000);
    assert_eq!(scene.act(Rotation::on_unreachable), [Fetch]);
}

#[test]
fn a_store_that_gives_another_wrong_value_each_time_locks_no_account() {
    for grace in [0, 2] {
        let mut scene = Scene::with_grace(Duration::from_secs(grace));
        scene.changed();
        scene.fetched_new();
        let (begin, mut tried, mut fetches, mut session) = (scene.now, Vec::new(), 0, 0);
        while scene.now < begin + Duration::from_secs(300) {
            scene.wait(20);
            session += 1;
            let mut actions = scene.asks(session);
            actions.extend(scene.time());
            while let Some(action) = actions.pop() {
                match action {
                    Fetch => {
                        fetches += 1;
                        actions.extend(scene.fetched_new());
                    }
                    Action::Answer(session, Answer::Proceed | Answer::Retry(_)) => {
                        tried.push((scene.now - begin).as_secs());
                        actions.extend(scene.refused(session));
                    }
                    Action::Answer(_, Answer::GiveUp) | Withdraw => {}
                }
            }
        }
        assert!(tried.len() <= 12, "with a grace of {grace} s: {tried:?}");
        // While somebody waits, the store is asked every 400 ms.
        assert!(fetches <= if grace == 0 { 15 } else { 15 + 300 * 5 / 2 }, "{fetches} fetches");
        // A right one is found all the same.
        scene.wait(61_000);
        scene.time();
        scene.asks(session + 1);
        scene.accepted();
        assert_eq!(scene.in_force().1, Some(scene.generation));
    }
}

#[test]
fn one_that_is_accepted_after_all_serves_while_the_next_one_rests() {
    let mut scene = Scene::with_grace(Duration::from_secs(2));
    scene.changed();
    scene.fetched_new();
    // Three are wrong, and the next one rests.
    assert_eq!(scene.asks(1), [proceed(1)]);
    for is_last in [false, false, true] {
        if scene.refused(1) != [Fetch] {
            assert_eq!(scene.until_something(), [Fetch]);
        }
        let next = scene.generation + 1;
        assert_eq!(scene.fetched_new(), if is_last { vec![] } else { vec![retry(1, next)] });
    }
    // The session waits for the end of the rest, and tries that one.
    loop {
        match scene.until_something()[..] {
            [Fetch] => _ = scene.fetched(Outcome::Unchanged),
            [Action::Answer(1, Answer::Retry(generation))] => {
                break assert_eq!(generation.0, scene.generation);
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(scene.asks(1), [proceed(1)]);
    let tried = scene.generation;
    // Another one comes meanwhile: so many were wrong that it has no turn beside that.
    scene.changed();
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.asks(10), []);
    let began = scene.now;
    scene.wait(1);
    let actions = scene.act(|rotation, now, actions| {
        rotation.on_proven(now, Generation(tried), 1, began, actions);
    });
    assert_eq!(actions, [retry(10, tried)], "the target has taken the one before");
}

#[test]
fn what_an_operator_has_changed_is_tried_at_once() {
    let mut scene = Scene::with_grace(Duration::from_secs(2));
    scene.changed();
    scene.fetched_new();
    for session in 1..=4 {
        scene.asks(session);
        scene.refused(session);
        scene.fetched_new();
    }
    assert_eq!(scene.asks(5), [], "the store is not believed any more");
    scene.rotation.on_sources_replaced(false, Rules::default(), Replaced::Values);
    let actions = scene.fetched_new();
    assert!(
        actions.iter().any(|action| matches!(action, Action::Answer(_, Answer::Retry(_)))),
        "{actions:?}"
    );
}
