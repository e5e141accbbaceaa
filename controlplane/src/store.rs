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
    /// How many answers the service in whose place it comes had had when that was asked for.
    pub after: u64,
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
        let Entry { options, sources, mut answer, after } = entry;
        let id = match id.and_then(|id| self.services.get_mut(&id)) {
            Some(service) => {
                if service.answers != after && sources.is_same(&service.sources) {
                    // Its store has said something newer since, and may have given another lease for it.
                    answer = None;
                }
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
mod tests;
