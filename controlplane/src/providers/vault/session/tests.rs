//! Logins on virtual time.

use protocol::Secret;

use super::*;
use crate::providers::vault::said::Said;
use crate::providers::vault::testing::settings;

/// A session, and a clock.
struct Scene {
    session: Session,
    site: Arc<Site>,
    start: Instant,
    now: Instant,
}

fn grant(lasts: u64, renewable: bool) -> Grant {
    let token = Secret::from_heap(b"s.abc".to_vec());
    let lasts = (lasts > 0).then(|| Duration::from_secs(lasts));
    Grant { token, lasts, renewable, is_revocable: true }
}

fn site(address: &str) -> Arc<Site> {
    let (settings, values) = settings(&[("address", address)]);
    let said = Said { settings: &settings, values: &values, variable: &|_| None };
    Arc::new(Site::of(&said).unwrap_or_else(|wrong| panic!("{wrong:?}")))
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        Self { session: Session::default(), site: site("https://store"), start, now: start }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn log_in(&mut self, lasts: u64, renewable: bool) {
        let token = self.session.on_login(grant(lasts, renewable), Arc::clone(&self.site), self.now);
        assert_eq!(token.login(), Some(self.session.logins));
    }

    /// What a fetch does, in words: a number is the login whose token serves.
    fn next(&mut self) -> String {
        let number = |token: &Token| token.login().unwrap_or_default();
        match self.session.next(&self.site, self.now) {
            Step::Use(token) => format!("use {}", number(&token)),
            Step::LogIn(None) => "log in".to_owned(),
            Step::LogIn(Some(token)) => format!("log in, or use {}", number(&token)),
            Step::Rest(time) => format!("rest {}", time.as_secs()),
            Step::Over => "over".to_owned(),
        }
    }

    fn due(&self, number: u64) -> String {
        match self.session.due(number, self.now) {
            Due::At(at) => format!("at {}", (at - self.start).as_secs()),
            Due::Renew(_) => "renew".to_owned(),
            Due::Never => "never".to_owned(),
        }
    }
}

#[test]
fn a_token_is_renewed_at_two_thirds_of_its_time_and_serves_meanwhile() {
    let mut scene = Scene::new();
    assert_eq!(scene.next(), "log in");
    scene.log_in(90, true);
    assert_eq!((scene.next(), scene.due(1)), ("use 1".into(), "at 60".into()));
    assert_eq!(scene.at(60).due(1), "renew");
    assert_eq!(scene.next(), "use 1");
    scene.session.on_renewed(1, &grant(90, true), scene.now);
    assert_eq!(scene.due(1), "at 120");
    assert_eq!(scene.at(149).next(), "use 1");
}

#[test]
fn a_renewal_that_falls_short_is_the_last_and_a_login_follows_in_time() {
    let mut scene = Scene::new();
    scene.log_in(90, true);
    let now = scene.at(60).now;
    scene.session.on_renewed(1, &grant(30, true), now);
    assert_eq!((scene.due(1), scene.next()), ("never".into(), "use 1".into()));
    assert_eq!(scene.at(80).next(), "log in, or use 1");
    scene.log_in(90, true);
    assert_eq!((scene.due(1), scene.due(2), scene.next()), ("never".into(), "at 140".into(), "use 2".into()));
    let at = |seconds| scene.start + Duration::from_secs(seconds);
    assert_eq!(
        (scene.session.end_of(1), scene.session.end_of(2)),
        (Some((at(90), false)), Some((at(170), true)))
    );
}

#[test]
fn a_token_that_cannot_be_renewed_is_replaced_before_its_end() {
    let mut scene = Scene::new();
    scene.log_in(90, false);
    assert_eq!((scene.due(1), scene.at(59).next()), ("never".into(), "use 1".into()));
    assert_eq!(scene.at(60).next(), "log in, or use 1");
    assert_eq!(scene.at(90).next(), "log in", "it is over");
}

#[test]
fn a_token_without_an_end_serves_for_ever() {
    let mut scene = Scene::new();
    scene.log_in(0, true);
    assert_eq!((scene.due(1), scene.at(1_000_000).next()), ("never".into(), "use 1".into()));
    assert_eq!(scene.session.end_of(1), None);
}

#[test]
fn a_renewal_is_tried_again_while_the_store_is_away_until_the_tokens_end() {
    let mut scene = Scene::new();
    scene.log_in(90, true);
    let mut tries = 0;
    for second in 60..90 {
        scene.at(second);
        if scene.due(1) == "renew" {
            scene.session.on_renewal_failed(1, false, scene.now);
            tries += 1;
        }
    }
    assert!((8..=16).contains(&tries), "{tries} tries");
    assert_eq!((scene.at(90).due(1), scene.next()), ("never".into(), "log in".into()));
}

#[test]
fn a_store_that_does_not_prolong_a_token_is_not_asked_again() {
    let mut scene = Scene::new();
    scene.log_in(90, true);
    let now = scene.at(60).now;
    scene.session.on_renewal_failed(1, true, now);
    assert_eq!((scene.due(1), scene.next()), ("never".into(), "log in, or use 1".into()));
}

#[test]
fn a_token_that_is_refused_is_forgotten_at_once_unless_there_is_a_newer_one() {
    let mut scene = Scene::new();
    scene.log_in(90, true);
    scene.session.on_token_refused(1);
    assert_eq!(scene.next(), "log in");
    scene.log_in(90, true);
    scene.session.on_token_refused(1);
    assert_eq!(scene.next(), "use 2", "somebody was late to say so");
    scene.session.on_renewed(1, &grant(9_000, true), scene.now);
    assert_eq!(scene.due(2), "at 60");
}

#[test]
fn three_refused_logins_in_a_row_are_a_pause_that_doubles() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        assert_eq!(scene.next(), "log in");
        scene.session.on_login_refused(1, "no", scene.now);
    }
    assert_eq!((scene.next(), scene.at(59).next()), ("rest 60".into(), "rest 1".into()));
    // One more, and the next pause.
    assert_eq!(scene.at(60).next(), "log in");
    scene.session.on_login_refused(1, "no", scene.now);
    assert_eq!(scene.next(), "rest 120");
    // Whoever has set things right need not wait for the end, and is no way around the first pause.
    let now = scene.at(70).now;
    scene.session.hurry(now);
    assert_eq!((scene.next(), scene.at(120).next()), ("rest 50".into(), "log in".into()));
    assert_eq!(scene.at(180).next(), "log in");
    for _ in 0..9 {
        scene.session.on_login_refused(2, "no", scene.now);
    }
    assert_eq!(scene.next(), "rest 960", "stores count failures within a quarter of an hour");
    assert!(!scene.session.is_news(2));
    let early = (0..100).filter(|_| scene.session.is_news(1)).count();
    assert_eq!(early, 8, "whoever shows something else each time rests, too");
    scene.log_in(90, true);
    scene.session.on_token_refused(1);
    scene.session.on_login_refused(1, "no", scene.now);
    assert_eq!(scene.next(), "log in", "a login that works begins a new row");
}

#[test]
fn whoever_is_in_a_hurry_all_the_time_is_no_way_around_the_pauses() {
    let mut scene = Scene::new();
    let mut logins = Vec::new();
    for second in 0..4 * 3600 {
        let now = scene.at(second).now;
        scene.session.hurry(now);
        if scene.next() == "log in" {
            logins.push(second);
            scene.session.on_login_refused(1, "no", now);
        }
    }
    // Three at once, one a minute for as long as the hurry is believed, and then at most one in a quarter of an hour.
    assert_eq!(logins[..7], [0, 1, 2, 62, 122, 182, 242], "{logins:?}");
    assert!(logins[6..].windows(2).all(|pair| pair[1] - pair[0] > 15 * 60), "{logins:?}");
}

#[test]
fn a_token_that_lives_serves_through_a_pause() {
    let mut scene = Scene::new();
    scene.log_in(90, false);
    scene.at(60);
    (0..3).for_each(|_| scene.session.on_login_refused(1, "no", scene.now));
    assert_eq!((scene.next(), scene.at(90).next()), ("use 1".into(), "rest 30".into()));
}

#[test]
fn a_session_that_is_closed_gives_back_what_lives_and_begins_no_more() {
    let mut scene = Scene::new();
    scene.log_in(90, false);
    scene.at(60).log_in(90, false);
    scene.at(120).log_in(0, false);
    let numbers: Vec<_> = scene.session.close(scene.now).iter().filter_map(|token| token.login()).collect();
    assert_eq!(numbers, [2, 3], "the first is over");
    assert_eq!((scene.next(), scene.due(3)), ("over".into(), "never".into()));
    assert!(scene.session.close(scene.now).is_empty());
}

#[test]
fn a_token_is_shown_nowhere_but_where_it_was_given() {
    let mut scene = Scene::new();
    scene.log_in(90, true);
    scene.site = site("https://other");
    assert_eq!((scene.next(), scene.due(1)), ("log in".into(), "never".into()));
    scene.log_in(90, true);
    assert_eq!(scene.next(), "use 2");
    assert_eq!(scene.session.close(scene.now).len(), 2, "both are let go");
}

#[test]
fn earlier_logins_are_kept_within_bounds() {
    let mut scene = Scene::new();
    (0..100).for_each(|_| scene.log_in(0, false));
    assert_eq!(scene.session.close(scene.now).len(), PAST_MAX + 1);
}
