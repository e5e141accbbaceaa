//! Every service, and what is to be done for them.
//!
//! Owns the services' states, the moments at which they want something, and what the data plane has not been told
//! yet. Does nothing itself: it is told what happened and the time, and says what to fetch, to look up and to publish.

mod act;
mod outages;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dataplane::{Refusal, ServiceId, ServiceRuntime, SessionRef, Verdict};
use protocol::Generation;

use outages::Forbidden;

use crate::breaker::Breakers;
use crate::fetch::{self, Asked, Question, Sources};
use crate::fetch_counts::FetchCounts;
use crate::options::Options;
use crate::publish::{News, Publication};
use crate::resolve::{Names, Resolution};
use crate::rotation::{Outcome, Rotation};
use crate::service::ServiceState;
use crate::timers::Timers;

/// Every service.
pub(crate) struct Store {
    workers: usize,
    services: BTreeMap<ServiceId, ServiceState>,
    /// Services without a listener, and since when: their sessions go on.
    leaving: BTreeMap<ServiceId, Instant>,
    by_path: HashMap<PathBuf, BTreeSet<ServiceId>>,
    by_host: HashMap<String, BTreeSet<ServiceId>>,
    names: Names,
    timers: Timers<ServiceId>,
    /// Over all services: keys that are derived from a credential are told apart by it.
    generations: u64,
    next_id: u32,
    counts: FetchCounts,
    fetches: Vec<Question>,
    breakers: Breakers<ServiceId>,
    /// Fetches that a breaker forbids: they have failed.
    forbidden: Vec<Forbidden>,
    publication: Publication,
}

/// A service as a file describes it.
pub(crate) struct Entry {
    pub options: Options,
    pub sources: Arc<Sources>,
    /// What was fetched before the file was put in force, if that was in time.
    pub answer: Option<fetch::Answer>,
}

impl Store {
    /// A store without services, for a data plane of so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            services: BTreeMap::new(),
            leaving: BTreeMap::new(),
            by_path: HashMap::new(),
            by_host: HashMap::new(),
            names: Names::new(),
            timers: Timers::new(),
            generations: 0,
            next_id: 0,
            counts: FetchCounts::default(),
            fetches: Vec::new(),
            breakers: Breakers::new(),
            forbidden: Vec::new(),
            publication: Publication::default(),
        }
    }

    /// Puts services in force: those with an id in the place of an earlier one, the others beside them. Gives each
    /// entry's id. Services that are not named leave.
    pub(crate) fn configure(
        &mut self,
        entries: Vec<(Option<ServiceId>, Entry)>,
        now: Instant,
    ) -> Vec<ServiceId> {
        let mut runtimes: HashMap<(String, &'static str), Arc<ServiceRuntime>> = HashMap::new();
        for service in self.services.values() {
            let key = (service.options.name.clone(), service.options.protocol.name());
            runtimes.insert(key, Arc::clone(&service.runtime));
        }
        let mut ids = Vec::with_capacity(entries.len());
        for (id, entry) in entries {
            let key = (entry.options.name.clone(), entry.options.protocol.name());
            let workers = self.workers;
            let runtime = runtimes.entry(key).or_insert_with(|| Arc::new(ServiceRuntime::new(workers)));
            ids.push(self.put(id, entry, Arc::clone(runtime), now));
        }
        let named: BTreeSet<ServiceId> = ids.iter().copied().collect();
        for id in self.services.keys().filter(|id| !named.contains(id)) {
            self.leaving.entry(*id).or_insert(now);
        }
        self.index();
        ids
    }

    fn put(
        &mut self,
        id: Option<ServiceId>,
        entry: Entry,
        runtime: Arc<ServiceRuntime>,
        now: Instant,
    ) -> ServiceId {
        let Entry { options, sources, answer } = entry;
        let id = match id.and_then(|id| self.services.get_mut(&id)) {
            Some(service) => {
                let is_answered = answer.as_ref().is_some_and(|answer| answer.result.is_ok());
                service.reconfigure(options, sources, runtime, is_answered);
                let id = service.id;
                // It may ask other stores now.
                self.breakers.forget(id);
                id
            }
            None => {
                let id = ServiceId(self.next_id);
                self.next_id += 1;
                self.services.insert(id, ServiceState::new(id, options, sources, runtime));
                id
            }
        };
        self.publication.touch(id);
        let is_fixed = self.services.get(&id).is_some_and(|service| service.sources.is_fixed());
        // Values that are all in the file are there without a question.
        let answer =
            answer.or_else(|| is_fixed.then(|| self.services.get(&id)?.sources.literals()).flatten());
        match answer {
            Some(answer) => {
                self.judge_stores(id, &answer, now);
                self.take_answer(id, answer, now);
            }
            None => self.act(id, now, Rotation::on_changed),
        }
        id
    }

    /// A session is about to prove a credential that is not known to work.
    pub(crate) fn on_permission_wanted(
        &mut self,
        id: ServiceId,
        generation: Generation,
        session: SessionRef,
        now: Instant,
    ) {
        if !self.services.contains_key(&id) {
            return self.publication.tell(session, Verdict::Proceed);
        }
        self.act(id, now, |rotation, now, actions| {
            rotation.on_permission_wanted(now, generation, session, actions);
        });
    }

    /// The target refused a credential, in these words.
    pub(crate) fn on_refused(&mut self, refusal: Refusal, now: Instant) {
        let Refusal { service: id, generation, session, certain, words } = refusal;
        let Some(service) = self.services.get_mut(&id) else {
            return self.publication.tell(session, Verdict::GiveUp(words));
        };
        if certain {
            service.on_refused(generation, words);
        }
        self.act(id, now, |rotation, now, actions| {
            rotation.on_refused(now, generation, session, certain, actions);
        });
    }

    /// The target accepted a credential.
    pub(crate) fn on_proven(
        &mut self,
        id: ServiceId,
        generation: Generation,
        session: SessionRef,
        attempt_began: Instant,
        now: Instant,
    ) {
        self.act(id, now, |rotation, now, actions| {
            rotation.on_proven(now, generation, session, attempt_began, actions);
        });
    }

    /// A session has ended without an answer from the target.
    pub(crate) fn on_abandoned(&mut self, id: ServiceId, session: SessionRef, now: Instant) {
        self.act(id, now, |rotation, now, actions| rotation.on_abandoned(now, session, actions));
    }

    /// A session waits for a first credential.
    pub(crate) fn on_wanted(&mut self, id: ServiceId, now: Instant) {
        self.act(id, now, Rotation::on_wanted);
    }

    /// No address of the target took a connection.
    pub(crate) fn on_dial_failed(&mut self, id: ServiceId, now: Instant) {
        if let Some(host) = self.services.get(&id).and_then(ServiceState::host) {
            self.names.on_dial_failed(host, now);
        }
        self.on_unreachable(id, now);
    }

    /// The target cannot be spoken to as the values say.
    pub(crate) fn on_unreachable(&mut self, id: ServiceId, now: Instant) {
        self.act(id, now, Rotation::on_unreachable);
    }

    /// Files may have changed.
    pub(crate) fn on_files_changed(&mut self, paths: &BTreeSet<PathBuf>, now: Instant) {
        let affected: BTreeSet<ServiceId> =
            paths.iter().filter_map(|path| self.by_path.get(path)).flatten().copied().collect();
        for id in affected {
            self.act(id, now, Rotation::on_changed);
        }
    }

    /// The answer to a [`Question`].
    pub(crate) fn on_fetched(&mut self, id: ServiceId, epoch: u64, answer: fetch::Answer, now: Instant) {
        self.count(&answer.asked);
        self.judge_stores(id, &answer, now);
        if self.services.get(&id).is_some_and(|service| service.epoch == epoch) {
            self.take_answer(id, answer, now);
        }
    }

    /// Questions that were asked elsewhere, for the metrics.
    pub(crate) fn count(&mut self, asked: &[Asked]) {
        asked.iter().for_each(|asked| self.counts.add(asked.clone()));
    }

    fn take_answer(&mut self, id: ServiceId, answer: fetch::Answer, now: Instant) {
        let known = self.services.get(&id).and_then(ServiceState::outage);
        let outage = self.outage(&answer, known);
        let Some(service) = self.services.get_mut(&id) else { return };
        if service.set_outage(outage) {
            self.publication.touch(id);
        }
        let (outcome, mut schedule) = service.on_answer(answer, Generation(self.generations + 1));
        if let Outcome::Changed { .. } = outcome {
            self.generations += 1;
            if service.find_target(&mut self.names, now) {
                self.publication.touch(id);
            }
            self.publication.touch(id);
            if let Some(host) = service.host() {
                self.by_host.entry(host.to_owned()).or_default().insert(id);
            }
        }
        if service.is_hopeless() {
            self.publication.touch(id);
        }
        schedule.spread(id.0, now);
        self.act(id, now, |rotation, now, actions| rotation.on_fetched(now, outcome, schedule, actions));
    }

    /// A name was looked up.
    pub(crate) fn on_resolved(&mut self, host: &str, resolution: Resolution, now: Instant) {
        if let Err(reason) = &resolution {
            tracing::debug!("lookup {host}: {reason}");
        }
        if !self.names.on_answer(host, resolution, now) {
            return;
        }
        for id in self.by_host.get(host).into_iter().flatten() {
            if let Some(service) = self.services.get_mut(id)
                && service.host() == Some(host)
                && service.on_name(&mut self.names, now)
            {
                self.publication.touch(*id);
            }
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop(now) {
            self.act(id, now, Rotation::on_time);
        }
        for id in self.breakers.take_due(now) {
            self.act(id, now, Rotation::on_changed);
        }
        for Forbidden { service: id, epoch, answer, .. } in std::mem::take(&mut self.forbidden) {
            if self.services.get(&id).is_some_and(|service| service.epoch == epoch) {
                self.take_answer(id, answer, now);
            }
        }
    }

    /// Looks after what nobody needs any more; every few seconds.
    pub(crate) fn tidy(&mut self, now: Instant) {
        for (id, service) in &mut self.services {
            if service.prune(now) {
                self.publication.touch(*id);
            }
        }
        let is_shared = |gone: &ServiceState| {
            self.services
                .values()
                .any(|other| other.id != gone.id && Arc::ptr_eq(&other.runtime, &gone.runtime))
        };
        let gone: Vec<ServiceId> = self
            .leaving
            .iter()
            .filter(|(id, since)| {
                self.services.get(*id).is_none_or(|service| {
                    // Handshakes that are under way still look for their credential.
                    let is_over = now > **since + service.options.timeouts.handshake;
                    // Sessions that have moved to another listener may have begun with a lease of this one.
                    is_over && (service.is_idle() || is_shared(service) && service.leased.is_empty())
                })
            })
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.leaving.remove(id);
            self.services.remove(id);
            self.breakers.forget(*id);
            self.timers.set(*id, None);
            self.publication.touch(*id);
        }
        if !gone.is_empty() {
            self.index();
        }
    }

    /// When [`Store::on_time`], [`Store::take_lookups`] or [`Store::take_news`] has something next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let forbidden = self.forbidden.first().map(|forbidden| forbidden.at);
        let others = [self.publication.next_deadline(), self.breakers.next_deadline(), forbidden];
        let own = [self.timers.next(), self.names.next_deadline()];
        own.into_iter().chain(others).flatten().min()
    }

    /// Takes what is to be fetched.
    pub(crate) fn take_fetches(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.fetches)
    }

    /// Takes the names that are to be looked up; each answer is [`Store::on_resolved`].
    pub(crate) fn take_lookups(&mut self, now: Instant) -> Vec<String> {
        self.names.take_due(now)
    }

    /// Lets the next [`Store::take_news`] tell everything, however short ago the last was.
    pub(crate) fn publish_now(&mut self) {
        self.publication.hurry();
    }

    /// Takes what the data plane does not know yet. Changes that come within milliseconds are told together.
    pub(crate) fn take_news(&mut self, now: Instant) -> Option<News> {
        let Self { publication, services, names, .. } = self;
        publication.take(now, |id| services.get(&id).map(|service| service.snapshot(names, now)))
    }

    /// A service.
    pub(crate) fn get(&self, id: ServiceId) -> Option<&ServiceState> {
        self.services.get(&id)
    }

    /// Services that have a listener.
    pub(crate) fn present(&self) -> impl Iterator<Item = &ServiceState> {
        self.services.values().filter(|service| !self.leaving.contains_key(&service.id))
    }

    /// Services without a listener whose sessions go on.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = &ServiceState> {
        self.leaving.keys().filter_map(|id| self.services.get(id))
    }

    /// What became of all questions.
    pub(crate) fn counts(&self) -> &FetchCounts {
        &self.counts
    }

    /// Finds services by their files and hosts, and forgets names that nobody has.
    fn index(&mut self) {
        self.by_path.clear();
        self.by_host.clear();
        for service in self.services.values() {
            for path in service.sources.watch_paths() {
                self.by_path.entry(path).or_default().insert(service.id);
            }
            if let Some(host) = service.host() {
                self.by_host.entry(host.to_owned()).or_default().insert(service.id);
            }
        }
        self.names.retain(&self.by_host.keys().cloned().collect());
    }
}

#[cfg(test)]
mod tests {
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
        let id = store.configure(
            vec![(None, entry("db", vec![("host", literal("::1")), ("password", file(&path))]))],
            now,
        )[0];
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
        let failure = fetch::Failure { provider: "vault".into(), error: FetchError::Gone(words.clone()) };
        let answer = fetch::Answer { result: Err(vec![failure]), asked: Vec::new(), holds: Vec::new() };
        let epoch = store.get(id).map_or(0, |service| service.epoch);
        store.on_fetched(id, epoch, answer, later);
        store.on_time(later);
        let news = store.take_news(later + Duration::from_secs(1));
        let snapshot = news.and_then(|news| news.snapshot).expect("it is published");
        assert!(matches!(snapshot.services[&id].credential, CredentialState::Denied(_)));
        assert!(
            store.get(id).is_some_and(|service| service.missing().is_some_and(|why| why.contains(&words)))
        );
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
}
