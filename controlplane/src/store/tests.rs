//! What services are made of, without a clock or a data plane.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use dataplane::{CredentialState, OnRotation, Service, Snapshot, Target, Timeouts};
use protocol::Secret;

use super::*;
use crate::config::{ConnectorConfig, CredentialConfig, ListenOn, Place, ServiceConfig, Source};
use crate::providers::FetchError;
use crate::stores::Stores;
use crate::testing::{TempDir, block_on};
use crate::watch::Watcher;

static STORES: LazyLock<Stores> = LazyLock::new(|| Stores::open(Vec::new(), &Stores::default()));

fn literal(text: &str) -> Source {
    Source::Literal(Secret::from_heap(text.as_bytes().to_vec()))
}

fn file(path: &std::path::Path) -> Source {
    let kind = crate::providers::by_name("file").expect("it is listed");
    Source::Provider { store: "file".into(), kind, id: path.display().to_string(), raw: false }
}

fn entry(name: &str, credentials: Vec<(&str, Source)>) -> Entry {
    let seconds = Duration::from_secs;
    let credentials = credentials
        .into_iter()
        .map(|(name, source)| CredentialConfig {
            name: name.into(),
            place: Place::default(),
            is_rewritten: false,
            variables: Vec::new(),
            source,
        })
        .collect();
    let config = ServiceConfig {
        name: name.into(),
        place: Place::default(),
        protocol: protocol::protocols::by_name("pg").expect("it is listed"),
        listen_on: ListenOn::Tcp(([127, 0, 0, 1], 1).into()),
        credentials: Vec::new(),
        sessions_max: 10,
        timeouts: Timeouts { dial: seconds(5), handshake: seconds(30), idle: None },
        required: true,
        on_rotation: OnRotation::Keep,
        refresh: Some(seconds(300)),
        stale_max: seconds(3600),
        failure_pause_max: seconds(60),
        rotation_grace: seconds(2),
        connector: ConnectorConfig::default(),
        client_tls: crate::config::ClientTlsConfig::default(),
    };
    Entry {
        options: Options::of(&config),
        sources: Arc::new(Sources::new(credentials, config.protocol, config.refresh, &STORES)),
        answer: None,
        after: 0,
    }
}

fn fetch(store: &mut Store, now: Instant) -> usize {
    let questions = store.take_fetches();
    let count = questions.len();
    for question in questions {
        let answer = block_on(async {
            question.sources.fetch(Watcher::new().watch(), question.holds, question.is_refused).await
        });
        store.on_fetched(question.service, question.epoch, answer, now);
    }
    count
}

fn snapshot(store: &mut Store, now: Instant) -> Arc<Snapshot> {
    store.take_news(now).and_then(|news| news.snapshot).expect("there is news")
}

fn field(service: &Service, name: &str) -> Option<Vec<u8>> {
    let CredentialState::Here(credential) = &service.credential else { return None };
    Some(credential.field(name)?.expose(<[u8]>::to_vec))
}

#[test]
fn a_service_of_literals_is_whole_in_the_first_snapshot() {
    let (mut store, now) = (Store::new(1), Instant::now());
    let credentials = vec![("host", literal("127.0.0.1")), ("password", literal("s3"))];
    let ids = store.configure(vec![(None, entry("db", credentials))], now);
    assert_eq!(fetch(&mut store, now), 0);
    let snapshot = snapshot(&mut store, now);
    let service = &snapshot.services[&ids[0]];
    assert_eq!(field(service, "password").as_deref(), Some(&b"s3"[..]));
    let Target::Resolved(endpoints) = &service.target else { panic!("not resolved") };
    assert_eq!(endpoints[0].address.to_string(), "tcp 127.0.0.1:5432");
    assert!(store.take_news(now + Duration::from_secs(1)).is_none(), "nothing is told twice");
}

#[test]
fn a_changed_file_is_a_new_generation_and_an_unchanged_one_is_not() {
    let (dir, mut store, now) = (TempDir::new(), Store::new(1), Instant::now());
    let path = dir.file("password", "s3");
    let id = store
        .configure(vec![(None, entry("db", vec![("host", literal("::1")), ("password", file(&path))]))], now)
        [0];
    assert!(store.get(id).is_some_and(|service| service.missing().is_some()));
    assert_eq!(fetch(&mut store, now), 1);
    let first = snapshot(&mut store, now).services[&id].credential.generation();
    let later = now + Duration::from_secs(1);
    store.on_files_changed(&BTreeSet::from([path.clone()]), later);
    assert_eq!(fetch(&mut store, later), 1);
    assert!(store.take_news(later).is_none());

    dir.file("password", "s4");
    store.on_files_changed(&BTreeSet::from([path.clone()]), later);
    assert_eq!(fetch(&mut store, later), 1);
    let snapshot = snapshot(&mut store, later);
    let service = &snapshot.services[&id];
    assert_eq!(field(service, "password").as_deref(), Some(&b"s4"[..]));
    assert!(service.credential.generation() > first);

    // An empty and a vanished file keep the last value.
    dir.file("password", "");
    store.on_files_changed(&BTreeSet::from([path.clone()]), later);
    assert_eq!(fetch(&mut store, later), 1);
    std::fs::remove_file(&path).expect("removes");
    store.on_files_changed(&BTreeSet::from([path]), later);
    assert_eq!(fetch(&mut store, later), 1);
    assert!(store.take_news(later + Duration::from_secs(1)).is_none());
    assert!(store.get(id).is_some_and(|service| service.missing().is_none()));

    // One that its store takes back does not.
    let words = "it is gone".to_owned();
    let failure = fetch::Failure {
        provider: "vault".into(),
        peer: "vault".into(),
        asked: Vec::new(),
        error: FetchError::Gone(words.clone()),
    };
    let answer = fetch::Answer { result: Err(vec![failure]), asked: Vec::new(), holds: Vec::new() };
    let epoch = store.get(id).map_or(0, |service| service.epoch);
    store.on_fetched(id, epoch, answer, later);
    store.on_time(later);
    let news = store.take_news(later + Duration::from_secs(1));
    let snapshot = news.and_then(|news| news.snapshot).expect("it is published");
    assert!(matches!(snapshot.services[&id].credential, CredentialState::Denied(_)));
    assert!(store.get(id).is_some_and(|service| service.missing().is_some_and(|why| why.contains(&words))));
}

#[test]
fn a_name_is_looked_up_once_for_all_its_services() {
    let (mut store, now) = (Store::new(1), Instant::now());
    let entries = (0..3).map(|i| {
        (None, entry(&format!("db{i}"), vec![("host", literal("db.test")), ("port", literal("7000"))]))
    });
    let ids = store.configure(entries.collect(), now);
    assert!(matches!(snapshot(&mut store, now).services[&ids[0]].target, Target::Unresolved));
    assert_eq!(store.take_lookups(now), ["db.test"]);
    let later = now + Duration::from_secs(1);
    store.on_resolved("db.test", Ok(vec![([10, 0, 0, 1], 0).into()]), later);
    let snapshot = snapshot(&mut store, later);
    for id in ids {
        let Target::Resolved(endpoints) = &snapshot.services[&id].target else { panic!("not resolved") };
        assert_eq!(endpoints[0].address.to_string(), "tcp 10.0.0.1:7000");
    }
}

#[test]
fn values_of_other_sources_are_not_kept_and_those_of_the_same_are() {
    let (dir, mut store, now) = (TempDir::new(), Store::new(1), Instant::now());
    let path = dir.file("password", "s3");
    let id = store.configure(vec![(None, entry("db", vec![("password", file(&path))]))], now)[0];
    fetch(&mut store, now);
    store.configure(vec![(Some(id), entry("renamed", vec![("password", file(&path))]))], now);
    assert!(store.get(id).is_some_and(|service| service.missing().is_none()));
    let elsewhere = dir.path().join("elsewhere");
    store.configure(vec![(Some(id), entry("renamed", vec![("password", file(&elsewhere))]))], now);
    assert!(store.get(id).is_some_and(|service| service.missing().is_some()));
    fetch(&mut store, now);
    let snapshot = snapshot(&mut store, now);
    assert!(snapshot.services[&id].credential.generation().is_none());
    assert_eq!(snapshot.services[&id].options.route.service, "renamed");
}

#[test]
fn a_service_that_leaves_stays_known_until_its_handshakes_are_over() {
    let (mut store, now) = (Store::new(1), Instant::now());
    let ids = store.configure(vec![(None, entry("old", vec![("host", literal("::1"))]))], now);
    store.configure(vec![(None, entry("new", vec![("host", literal("::1"))]))], now);
    store.tidy(now + Duration::from_secs(29));
    assert_eq!(snapshot(&mut store, now).services.len(), 2);
    assert_eq!(store.present().count(), 1);
    let later = now + Duration::from_secs(31);
    store.tidy(later);
    assert!(!snapshot(&mut store, later).services.contains_key(&ids[0]));
}

#[test]
fn what_was_fetched_for_a_file_does_not_replace_what_has_come_since() {
    let (dir, mut store, now) = (TempDir::new(), Store::new(1), Instant::now());
    let path = dir.file("password", "older");
    let described = || entry("db", vec![("password", file(&path))]);
    let id = store.configure(vec![(None, described())], now)[0];
    fetch(&mut store, now);
    let mut reloaded = described();
    reloaded.after = store.get(id).map_or(0, |service| service.answers);
    reloaded.answer = Some(block_on(async {
        Arc::clone(&reloaded.sources).fetch(Watcher::new().watch(), Vec::new(), false).await
    }));
    // The file is put in force late.
    dir.file("password", "newer");
    store.on_files_changed(&BTreeSet::from([path]), now);
    fetch(&mut store, now);
    store.configure(vec![(Some(id), reloaded)], now);
    let is_newer = |store: &mut Store| {
        let snapshot = snapshot(store, now + Duration::from_secs(1));
        field(&snapshot.services[&id], "password").as_deref() == Some(b"newer")
    };
    assert!(is_newer(&mut store));
    assert_eq!(fetch(&mut store, now), 1, "it is asked once more");
}

#[test]
fn values_that_another_file_leaves_as_they_are_are_its_own() {
    let (dir, mut store, now) = (TempDir::new(), Store::new(1), Instant::now());
    let (path, same) = (dir.file("password", "good"), dir.file("same", "good"));
    let with = |path| entry("db", vec![("host", literal("::1")), ("password", file(path))]);
    let id = store.configure(vec![(None, with(&path))], now)[0];
    fetch(&mut store, now);
    snapshot(&mut store, now);
    let mut reloaded = with(&same);
    reloaded.answer = Some(block_on(async {
        Arc::clone(&reloaded.sources).fetch(Watcher::new().watch(), Vec::new(), false).await
    }));
    store.configure(vec![(Some(id), reloaded)], now);
    dir.file("same", "has\0NUL");
    store.on_files_changed(&BTreeSet::from([same]), now);
    fetch(&mut store, now);
    let snapshot = snapshot(&mut store, now + Duration::from_secs(1));
    assert_eq!(field(&snapshot.services[&id], "password").as_deref(), Some(&b"good"[..]));
}

#[test]
fn a_value_that_cannot_be_sent_replaces_none_that_can_unless_the_file_has_changed() {
    let (dir, mut store, now) = (TempDir::new(), Store::new(1), Instant::now());
    let path = dir.file("password", "good");
    let with = |host: &str| entry("db", vec![("host", literal(host)), ("password", file(&path))]);
    let id = store.configure(vec![(None, with("::1"))], now)[0];
    fetch(&mut store, now);
    snapshot(&mut store, now);
    dir.file("password", "has\0NUL");
    store.on_files_changed(&BTreeSet::from([path.clone()]), now);
    fetch(&mut store, now);
    let later = now + Duration::from_secs(1);
    assert!(store.take_news(later).is_none(), "the good one stays");

    // Another file means another target, whatever its values are.
    let mut reloaded = with("::2");
    reloaded.answer = Some(block_on(async {
        Arc::clone(&reloaded.sources).fetch(Watcher::new().watch(), Vec::new(), false).await
    }));
    store.configure(vec![(Some(id), reloaded)], later);
    let snapshot = snapshot(&mut store, later + Duration::from_secs(1));
    assert_eq!(field(&snapshot.services[&id], "host").as_deref(), Some(&b"::2"[..]));
}
