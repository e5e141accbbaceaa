//! From a file to what is in force.
//!
//! Owns the steps: the file is loaded, its values are fetched, its addresses are taken, and only when nothing can fail
//! any more is it put in force. The start goes the same way, but waits for no values.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{ListenerMail, ServiceId};
use tokio::time::timeout_at;

use crate::config::{self, Config, ListenOn, LoadRequest};
use crate::diagnostics::Report;
use crate::fetch::{Answer, Sources};
use crate::listeners::Bound;
use crate::listening::{Listening, unix_path};
use crate::service::Options;
use crate::store::{Entry, Store};
use crate::watch::Watcher;

/// A file that can be put in force.
pub(crate) struct Prepared {
    pub broker: config::BrokerConfig,
    pub watcher: Watcher,
    services: Vec<PreparedService>,
}

struct PreparedService {
    listen_on: ListenOn,
    entry: Entry,
}

impl Prepared {
    /// A file whose values have not been asked for.
    pub(crate) fn new(config: Config) -> Self {
        let service = |mut config: config::ServiceConfig| {
            let sources = Arc::new(Sources::new(std::mem::take(&mut config.credentials)));
            let entry = Entry { options: Options::of(&config), sources, answer: None };
            PreparedService { listen_on: config.listen_on, entry }
        };
        let services = config.services.into_iter().map(service).collect();
        Self { broker: config.broker, watcher: Watcher::new(), services }
    }

    /// Loads a file again and fetches its values, so that no service is without one when it is put in force.
    pub(crate) async fn load(request: LoadRequest) -> Result<(Self, Report), Report> {
        let loading = tokio::task::spawn_blocking(move || config::load(&request));
        let loaded = match loading.await {
            Ok(loaded) => loaded?,
            Err(_) => return Err(Report::of_error(None, "loading the configuration broke down", "")),
        };
        let mut prepared = Self::new(loaded.config);
        let until = tokio::time::Instant::now() + PATIENCE;
        let fetch = |service: &PreparedService| {
            let sources = Arc::clone(&service.entry.sources);
            let watch = prepared.watcher.watch();
            tokio::spawn(async move { timeout_at(until, sources.fetch(watch)).await })
        };
        let answers: Vec<_> = prepared.services.iter().map(fetch).collect();
        for (service, answer) in prepared.services.iter_mut().zip(answers) {
            // Whoever is slower is asked again once the file is in force.
            service.entry.answer = answer.await.ok().and_then(Result::ok);
        }
        Ok((prepared, loaded.warnings))
    }

    /// Puts the file in force: the listeners that are to be served from now on. If any address cannot be had,
    /// nothing has changed: one sentence for each.
    pub(crate) fn commit(
        self,
        store: &mut Store,
        listening: &mut Listening,
        now: Instant,
    ) -> Result<(Vec<ListenerMail>, Watcher), Vec<String>> {
        let mut errors = Vec::new();
        let mut bound = Vec::new();
        let (open, ours) = (listening.open(), listening.unix_paths());
        for service in &self.services {
            let is_ours = unix_path(&service.listen_on).is_some_and(|path| ours.contains(path));
            let is_open = open.contains_key(&service.listen_on);
            bound.push(match (!is_open).then(|| Bound::new(&service.listen_on, is_ours)).transpose() {
                Ok(socket) => socket,
                Err(reason) => {
                    errors.push(refusal(&service.entry.options.name, &reason));
                    None
                }
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // All are bound; what fails from here on is the rest of a race with another process.
        let mut opened = Vec::new();
        for (service, bound) in self.services.iter().zip(bound) {
            opened.push(match bound.map(|bound| bound.open(&service.listen_on)).transpose() {
                Ok(listener) => listener,
                Err(reason) => {
                    errors.push(refusal(&service.entry.options.name, &reason));
                    None
                }
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
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
