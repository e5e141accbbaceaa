//! Sessions that wait while a target and its store do not agree.

use super::*;

const GRACE: Duration = Duration::from_secs(2);

/// A service whose first generation has been accepted, and whose sessions wait.
fn proven() -> Scene {
    let mut scene = Scene::with_grace(GRACE);
    assert_eq!(scene.changed(), [Fetch]);
    assert_eq!(scene.fetched_new(), []);
    assert_eq!(scene.accepted(), []);
    scene
}

#[test]
fn a_store_that_follows_its_target_is_waited_for_and_asked_at_growing_intervals() {
    let mut scene = proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    assert_eq!(scene.asks(2), [], "who comes now waits, too, and proves nothing");
    let mut intervals = Vec::new();
    for _ in 0..4 {
        let last = scene.now;
        assert_eq!(scene.until_something(), [Fetch]);
        intervals.push((scene.now - last).as_millis());
        if intervals.len() < 4 {
            assert_eq!(scene.fetched(Outcome::Unchanged), []);
        }
    }
    assert_eq!(intervals, [50, 100, 200, 400]);
    assert_eq!(scene.fetched_new(), [retry(1, 2)]);
    assert_eq!(scene.accepted(), [retry(2, 2)]);
}

#[test]
fn nobody_waits_longer_than_the_grace() {
    let mut scene = proven();
    assert_eq!(scene.refused(1), [Fetch]);
    let refused_at = scene.now;
    assert_eq!(scene.fetched(Outcome::Unchanged), []);
    loop {
        match scene.until_something()[..] {
            [Fetch] => _ = scene.fetched(Outcome::Unchanged),
            // Its rest is over: one session tries it again.
            [Action::Answer(1, Answer::Retry(Generation(1)))] => {
                assert_eq!(scene.now.duration_since(refused_at).as_secs(), 1);
                assert_eq!(scene.asks(1), [proceed(1)]);
                assert_eq!(scene.refused(1), [Fetch]);
                assert_eq!(scene.fetched(Outcome::Unchanged), []);
                break;
            }
            ref other => panic!("{other:?}"),
        }
    }
    // What it has tried in between gives it no more time.
    while scene.until_something() != [give_up(1)] {
        scene.fetched(Outcome::Unchanged);
    }
    assert_eq!((scene.now - refused_at).as_secs_f64().round(), 2.0);
}

#[test]
fn the_store_is_asked_until_shortly_before_the_patience_ends() {
    let mut scene = proven();
    assert_eq!(scene.refused(1), [Fetch]);
    let refused_at = scene.now;
    scene.fetched(Outcome::Unchanged);
    let mut asked = Vec::new();
    loop {
        match scene.until_something()[..] {
            [Fetch] => asked.push((scene.now - refused_at).as_millis()),
            [Action::Answer(1, Answer::Retry(_))] => {
                // It is tried again in between, in a moment.
                scene.asks(1);
                scene.act(|rotation, now, actions| {
                    rotation.on_refused(now, Generation(1), 1, true, actions);
                });
            }
            [Action::Answer(1, Answer::GiveUp)] => break,
            ref other => panic!("{other:?}"),
        }
        scene.fetched(Outcome::Unchanged);
    }
    // The second trial, a second after the first, brings a question of its own, which is not listed.
    let seconds: Vec<u128> = asked.iter().map(|at| at / 50 * 50).collect();
    assert_eq!(seconds, [50, 150, 350, 750, 1_400, 1_800], "{asked:?}");
}

#[test]
fn the_account_is_left_alone_while_sessions_wait() {
    let mut scene = proven();
    let mut refusals = 0;
    for session in 1..=10 {
        assert_eq!(scene.refused(session), if session == 1 { vec![Fetch] } else { vec![] });
        refusals += 1;
    }
    let begin = scene.now;
    let mut session = 100;
    let mut fetches = 1;
    while scene.now < begin + Duration::from_secs(60) {
        scene.wait(10);
        session += 1;
        let mut actions = scene.asks(session);
        actions.extend(scene.time());
        while fetches > 0 {
            fetches -= 1;
            actions.extend(scene.fetched(Outcome::Unchanged));
            fetches += actions.iter().filter(|action| **action == Fetch).count();
            actions.retain(|action| *action != Fetch);
        }
        for action in actions {
            match action {
                Fetch => fetches += 1,
                Action::Answer(tries, Answer::Proceed | Answer::Retry(_)) => {
                    refusals += 1;
                    let more = scene.refused(tries);
                    fetches += more.iter().filter(|action| **action == Fetch).count();
                }
                _ => {}
            }
        }
    }
    // Ten were in flight; then 1, 2, 4, 8, 16 and 32 s lie between two tries.
    assert!((15..=16).contains(&refusals), "{refusals}");
}

#[test]
fn a_store_that_fails_is_asked_again_while_somebody_waits_and_no_faster_than_now_and_then_for_long() {
    let mut scene = proven();
    assert_eq!(scene.refused(1), [Fetch]);
    assert_eq!(scene.fetched(Outcome::Failed), []);
    let mut fetches = 0;
    while scene.until_something() == [Fetch] {
        fetches += 1;
        if fetches == 4 {
            assert_eq!(scene.fetched_new(), [retry(1, 2)]);
            return;
        }
        assert_eq!(scene.fetched(Outcome::Failed), []);
    }
    panic!("not asked again");
}

#[test]
fn values_of_the_file_are_waited_for_by_nobody() {
    let mut scene = proven();
    scene.rotation.is_fixed = true;
    assert_eq!(scene.refused(1), [give_up(1)]);
    assert_eq!(scene.asks(2), [give_up(2)]);
}
