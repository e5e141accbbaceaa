//! From a file to what is in force.
//!
//! Owns the steps: the file is loaded, its values are fetched, its addresses are taken, and only when nothing can fail
//! any more is it put in force. The start goes the same way, but waits for no values.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{ListenerMail, ServiceId};
use tokio::time::timeout_at;

use crate::config::{self, Config, ListenOn, LoadRequest};
use crate::diagnostics::Report;
use crate::fetch::{Answer, Sources};
use crate::leases::Holds;
use crate::listeners::Bound;
use crate::listening::{Listening, unix_path};
use crate::options::Options;
use crate::store::{Entry, Store};
use crate::stores::Stores;
use crate::watch::Watcher;

/// A file that can be put in force.
pub(crate) struct Prepared {
    pub broker: config::BrokerConfig,
    pub watcher: Watcher,
    pub stores: Stores,
    services: Vec<PreparedService>,
}

/// What is in force while a file is prepared.
pub(crate) struct Present {
    pub stores: Stores,
    /// What each service is asked for, the leases that it has, and how many answers it has had.
    pub services: HashMap<ListenOn, (Arc<Sources>, Holds, u64)>,
}

impl Present {
    /// The leases of the service at `place`, if it asks for the same, and how many answers it has had.
    fn holds(&self, place: &ListenOn, sources: &Sources) -> (Holds, u64) {
        let known = self.services.get(place).filter(|(known, ..)| known.is_same(sources));
        known.map(|(_, holds, answers)| (holds.clone(), *answers)).unwrap_or_default()
    }
}

struct PreparedService {
    listen_on: ListenOn,
    entry: Entry,
}

impl Prepared {
    /// A file whose values have not been asked for. `before` are the stores of the file that is in force.
    pub(crate) fn new(config: Config, before: &Stores) -> Self {
        let stores = Stores::open(config.stores, before);
        let service = |mut config: config::ServiceConfig| {
            let credentials = std::mem::take(&mut config.credentials);
            let sources = Arc::new(Sources::new(credentials, config.protocol, config.refresh, &stores));
            let entry = Entry { options: Options::of(&config), sources, answer: None, after: 0 };
            PreparedService { listen_on: config.listen_on, entry }
        };
        let services = config.services.into_iter().map(service).collect();
        Self { broker: config.broker, watcher: Watcher::new(), stores, services }
    }

    /// Loads a file again and fetches its values, so that no service that has them is without when it is put in force. Whoever asks
    /// for the same as before keeps its leases.
    pub(crate) async fn load(request: LoadRequest, present: Present) -> Result<(Self, Report), Report> {
        let loading = tokio::task::spawn_blocking(move || config::load(&request));
        let loaded = match loading.await {
            Ok(loaded) => loaded?,
            Err(_) => return Err(Report::of_error(None, "loading the configuration broke down", "")),
        };
        let mut prepared = Self::new(loaded.config, &present.stores);
        prepared.stores.hurry();
        let until = tokio::time::Instant::now() + PATIENCE;
        let watch = prepared.watcher.watch();
        let fetch = |service: &mut PreparedService| {
            let sources = Arc::clone(&service.entry.sources);
            let watch = watch.clone();
            let (holds, answers) = present.holds(&service.listen_on, &sources);
            service.entry.after = answers;
            tokio::spawn(async move { timeout_at(until, sources.fetch(watch, holds, false)).await })
        };
        let answers: Vec<_> = prepared.services.iter_mut().map(fetch).collect();
        for (service, answer) in prepared.services.iter_mut().zip(answers) {
            // Whoever is slower is asked again once the file is in force.
            service.entry.answer = answer.await.ok().and_then(Result::ok);
        }
        Ok((prepared, loaded.warnings))
    }

    /// Puts the file in force: the listeners that are to be served from now on. If any address cannot be had, or a
    /// service that works would lose its credential, nothing has changed: one sentence for each.
    pub(crate) fn commit(
        self,
        store: &mut Store,
        listening: &mut Listening,
        now: Instant,
    ) -> Result<(Vec<ListenerMail>, Watcher), Vec<String>> {
        let (open, ours) = (listening.open(), listening.unix_paths());
        let present = |service: &PreparedService| store.get(*open.get(&service.listen_on)?);
        let lost: Vec<String> = self
            .services
            .iter()
            .filter_map(|service| {
                let reason = present(service)?.loses_credential(&service.entry)?;
                Some(format!(
                    "service '{}' would be without a credential: {reason}",
                    service.entry.options.name
                ))
            })
            .collect();
        if !lost.is_empty() {
            return Err(lost);
        }
        // All are bound and listen before the first one can be found: what fails then has changed nothing.
        let bound = self.at_each(self.services.iter(), |listen_on, _| {
            let is_ours = unix_path(listen_on).is_some_and(|path| ours.contains(path));
            let is_open = open.contains_key(listen_on);
            (!is_open).then(|| Bound::new(listen_on, is_ours)).transpose()
        })?;
        let bound = self.at_each(bound, |listen_on, bound: Option<Bound>| {
            bound.map(|bound| bound.listen(listen_on).map(|()| bound)).transpose()
        })?;
        // Those that take the path of a listener in force come last: only they cannot be taken back.
        let (replacing, others): (Vec<_>, Vec<_>) = bound
            .into_iter()
            .map(
                |bound| {
                    if bound.as_ref().is_some_and(Bound::replaces) { (bound, None) } else { (None, bound) }
                },
            )
            .unzip();
        let reveal = |listen_on: &ListenOn, bound: Option<Bound>| {
            bound.map(|bound| bound.reveal(listen_on)).transpose()
        };
        let others = self.at_each(others, reveal)?;
        let replacing = self.at_each(replacing, reveal)?;
        let opened = others.into_iter().zip(replacing).map(|(other, replacing)| other.or(replacing));
        let mut entries = Vec::new();
        let mut places = Vec::new();
        for service in self.services {
            if let Some(answer) = &service.entry.answer {
                store.count(asked(answer));
            }
            entries.push((open.get(&service.listen_on).copied(), service.entry));
            places.push(service.listen_on);
        }
        let ids = store.configure(entries, now);
        let kept: BTreeSet<ServiceId> = ids.iter().copied().collect();
        listening.retain(&kept, now);
        let mut mails = Vec::new();
        for ((id, listen_on), listener) in ids.into_iter().zip(places).zip(opened) {
            if let Some(listener) = listener {
                mails.push(listening.add(id, listen_on, listener));
            }
        }
        Ok((mails, self.watcher))
    }

    /// Does something for each service's address: what came of it, or one sentence for each that failed.
    fn at_each<T, U>(
        &self,
        given: impl IntoIterator<Item = T>,
        mut act: impl FnMut(&ListenOn, T) -> Result<Option<U>, String>,
    ) -> Result<Vec<Option<U>>, Vec<String>> {
        let mut errors = Vec::new();
        let mut done = Vec::new();
        for (service, given) in self.services.iter().zip(given) {
            match act(&service.listen_on, given) {
                Ok(result) => done.push(result),
                Err(reason) => errors.push(refusal(&service.entry.options.name, &reason)),
            }
        }
        if errors.is_empty() { Ok(done) } else { Err(errors) }
    }

    /// Where the services listen, in the order of the file.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = &ListenOn> {
        self.services.iter().map(|service| &service.listen_on)
    }
}

fn asked(answer: &Answer) -> &[crate::fetch::Asked] {
    &answer.asked
}

/// The Go broker's words.
fn refusal(service: &str, reason: &str) -> String {
    format!("Fatal error in '{service}': unable to create TCP service: {reason}")
}

/// How long a reload waits for values. Until then everything goes on as before.
const PATIENCE: Duration = Duration::from_secs(5);
