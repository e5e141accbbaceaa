//! `check --online`: whether every value can be had now.
//!
//! Owns the questions, one round to all stores, and the findings about what came of them, which never hold a value. What a store
//! gives for a while is given back, a login too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Doubt, Generation, Protocol};
use tokio::runtime::Builder;

use crate::config::{Config, Place, ServiceConfig, Source};
use crate::diagnostics::{Finding, Report, Severity};
use crate::fetch::{Failure, Round, Sources, describe};
use crate::providers::{FetchError, REVOKE};
use crate::stores::Stores;
use crate::watch::Watcher;

/// Asks every store that `config` names for everything that it is to give. `known` has been said of the file before; it comes back
/// with a finding for each value that is not to be had, or that is none its protocol can use.
pub(crate) fn ask(mut config: Config, known: &Report) -> std::io::Result<Told> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let services = config.services.iter().map(Asked::of).collect::<Vec<_>>();
    // Whoever serves may leave accounts behind; whoever looks does not.
    for store in &mut config.stores {
        store.settings.retain(|setting| setting.name != REVOKE);
    }
    let (answers, lost) = runtime.block_on(async {
        let stores = Stores::open(std::mem::take(&mut config.stores), &Stores::default());
        let watcher = Watcher::new();
        let mut asked = Vec::new();
        for service in &mut config.services {
            let credentials = std::mem::take(&mut service.credentials);
            let sources = Arc::new(Sources::new(credentials, service.protocol, None, &stores));
            asked.push(tokio::spawn(sources.fetch(watcher.watch(), Vec::new(), false)));
        }
        let all = async {
            let mut answers = Vec::new();
            for answer in asked {
                answers.push(answer.await.ok().map(|answer| answer.result));
            }
            answers
        };
        // Whoever grows impatient leaves no account behind.
        let answers = tokio::select! {
            answers = all => answers,
            _ = tokio::signal::ctrl_c() => Vec::new(),
        };
        let lost = stores.leases().give_all_back(RETURN_MAX).await;
        stores.close(&Stores::default(), RETURN_MAX).join_all().await;
        (answers, lost)
    });
    // Threads that wait for a dead file system are not waited for.
    runtime.shutdown_background();
    let mut found = Found::in_file(config.path);
    if answers.len() < services.len() {
        let words = "it was interrupted before all stores had answered".to_owned();
        found.add(Severity::Error, None, words, "");
    }
    if lost > 0 {
        let words = format!(
            "leases that stores gave for this could not be given back, and end by themselves: {lost}"
        );
        let help = "let the broker's login have `update` at `sys/leases/revoke`";
        found.add(Severity::Warning, None, words, help);
    }
    for (service, answer) in services.iter().zip(answers) {
        match answer {
            Some(Ok(round)) => found.add_values(service, round),
            Some(Err(failures)) => {
                failures.iter().for_each(|failure| found.add_failure(service, failure));
            }
            None => {
                let words = "asking its stores broke down: this is a bug".to_owned();
                found.add(Severity::Error, service.whole(), words, "");
            }
        }
    }
    Ok(found.beside(known))
}

/// What was found.
pub(crate) struct Told {
    /// What was known before is among it.
    pub report: Report,
    /// The services that have got values which are none, by name.
    pub doubtful: BTreeSet<String>,
}

/// One service, as far as findings need it.
struct Asked {
    name: String,
    protocol: &'static dyn Protocol,
    place: Place,
    /// Its values that come from elsewhere, and where the file says so.
    places: BTreeMap<String, Place>,
}

impl Asked {
    fn of(service: &ServiceConfig) -> Self {
        let is_elsewhere = |source: &Source| !matches!(source, Source::Literal(_));
        let values = service.credentials.iter().filter(|credential| is_elsewhere(&credential.source));
        Self {
            name: service.name.clone(),
            protocol: service.protocol,
            place: service.place,
            places: values.map(|credential| (credential.name.clone(), credential.place)).collect(),
        }
    }

    fn key(&self) -> String {
        format!("services.{}.credentials", self.name)
    }

    /// Where the file says what its values are, and the key.
    fn whole(&self) -> Option<(Place, String)> {
        Some((self.place, self.key()))
    }

    /// Where the file says that a value comes from elsewhere, and the key.
    fn value(&self, name: &str) -> Option<(Place, String)> {
        Some((*self.places.get(name)?, format!("{}.{name}", self.key())))
    }

    /// The value that a failure is about, as far as its words tell, or all of them.
    fn about(&self, failure: &Failure) -> Option<(Place, String)> {
        let words = failure.error.to_string();
        // A path, a name, or a part of what is there.
        let is_named = |id: &str| {
            words.contains(id)
                || id.split_once('#').is_some_and(|(_, part)| words.contains(&format!("'{part}'")))
        };
        let mut named = failure.asked.iter().filter(|(_, id)| failure.asked.len() == 1 || is_named(id));
        match (named.next(), named.next()) {
            (Some((name, _)), None) => self.value(name).or_else(|| self.whole()),
            _ => self.whole(),
        }
    }
}

/// The findings about a file.
struct Found {
    path: PathBuf,
    findings: Vec<Finding>,
    /// Who does not answer, and how: which finding says so, and the other services that wait for it.
    silent: BTreeMap<(Arc<str>, String), (usize, BTreeSet<String>)>,
    doubtful: BTreeSet<String>,
}

impl Found {
    fn in_file(path: PathBuf) -> Self {
        Self { path, findings: Vec::new(), silent: BTreeMap::new(), doubtful: BTreeSet::new() }
    }

    fn add(&mut self, severity: Severity, about: Option<(Place, String)>, message: String, help: &str) {
        let (file, (place, key)) = (Some(self.path.clone()), about.unzip());
        let (key, help) = (key.unwrap_or_default(), help.to_owned());
        self.findings.push(Finding { severity, file, place, key, message, help });
    }

    fn add_failure(&mut self, service: &Asked, failure: &Failure) {
        if matches!(failure.error, FetchError::Unavailable(_) | FetchError::Unasked(_)) {
            // What stands before the last colon is what was asked for. One sentence about a store is enough for all who use it.
            let words = failure.error.to_string();
            let cause = words.rsplit(": ").next().unwrap_or_default().to_owned();
            let key = (Arc::clone(&failure.peer), cause);
            if let Some((finding, others)) = self.silent.get_mut(&key) {
                if !self.findings[*finding].key.starts_with(&service.key()) {
                    others.insert(service.name.clone());
                }
                return;
            }
            self.silent.insert(key, (self.findings.len(), BTreeSet::new()));
        }
        let message = describe(std::slice::from_ref(failure));
        self.add(Severity::Error, service.about(failure), message, remedy(&failure.error));
    }

    fn add_values(&mut self, service: &Asked, round: Round) {
        for note in round.notes {
            self.add(Severity::Warning, service.whole(), note, "it is used as it is");
        }
        let credential = round.values.credential(Generation(1), None);
        let mut fails = false;
        for field in service.protocol.fields().iter().filter(|field| credential.field(field.name).is_none()) {
            if let Some(place) = service.value(field.name) {
                fails |= field.is_required;
                let message = "the value is empty, which counts as not set".to_owned();
                self.add(Severity::Warning, Some(place), message, "put a value into the store");
            }
        }
        for Doubt { words, is_fatal } in service.protocol.check(&credential) {
            fails |= is_fatal;
            let help = "the value that the store has now is this one";
            self.add(Severity::Warning, service.whole(), words, help);
        }
        if fails {
            self.doubtful.insert(service.name.clone());
        }
    }

    /// These findings and those of `known` that are not said anew.
    fn beside(mut self, known: &Report) -> Told {
        for (finding, others) in self.silent.values() {
            if !others.is_empty() {
                let others = others.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                self.findings[*finding].message.push_str(&format!("; it is the same for {others}"));
            }
        }
        let mut report = Report::default();
        for guess in known.findings() {
            let is_about = |error: &&mut Finding| {
                error.severity == Severity::Error
                    && error.message.contains(&guess.message)
                    && (guess.key.starts_with("providers.") || is_of_one_service(&guess.key, &error.key))
            };
            match self.findings.iter_mut().find(is_about) {
                // Whoever has looked at it knows the remedy better.
                Some(error) => error.help.clone_from(&guess.help),
                None => report.push(guess.clone()),
            }
        }
        for finding in self.findings {
            let is_same = |it: &Finding| {
                it.severity == finding.severity
                    && it.message == finding.message
                    && (it.key.starts_with("providers.") || is_one_thing(&it.key, &finding.key))
            };
            if !known.findings().iter().any(is_same) {
                report.push(finding);
            }
        }
        report.sort();
        Told { report, doubtful: self.doubtful }
    }
}

/// Whether both keys are of one service.
fn is_of_one_service(one: &str, other: &str) -> bool {
    fn service(key: &str) -> &str {
        key.split_once(".credentials").map_or(key, |(service, _)| service)
    }
    service(one) == service(other)
}

/// Whether both keys are of one value, or one of them of all values of the other's service.
fn is_one_thing(one: &str, other: &str) -> bool {
    let is_whole = |key: &str| key.split_once(".credentials").is_none_or(|(_, value)| value.is_empty());
    one == other || is_of_one_service(one, other) && (is_whole(one) || is_whole(other))
}

/// What helps.
fn remedy(error: &FetchError) -> &'static str {
    match error {
        FetchError::NotFound(_) | FetchError::Gone(_) => "put it there, or correct what `get` asks for",
        FetchError::Empty(_) => "put a value there, or correct what `get` asks for",
        FetchError::Unusable(_) => "correct what is asked for, or what is there",
        FetchError::Denied(_) => "let the broker have it there, or correct what it shows itself with",
        FetchError::Failing(_) => "set that right, or try again when it is well",
        FetchError::Unavailable(_) | FetchError::Unasked(_) => "is it up, and is this where it is?",
        FetchError::Unsupported(_) => "take the value from another store",
    }
}

/// How long stores have to take back what they gave.
const RETURN_MAX: Duration = Duration::from_secs(5);
