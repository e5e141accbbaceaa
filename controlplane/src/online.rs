//! `check --online`: whether every value can be had now.
//!
//! Owns the questions, one round to all stores, and the findings about what came of them, which never hold a value. What a store
//! gives for a while is given back, a login too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::{Doubt, Generation, Protocol};
use tokio::runtime::Builder;

use crate::config::{Config, Place, ServiceConfig, Source};
use crate::diagnostics::{Finding, Report, Severity};
use crate::fetch::{Failure, Round, Sources, describe};
use crate::providers::FetchError;
use crate::stores::Stores;
use crate::watch::Watcher;

/// Asks every store that `config` names for everything that it is to give. `known` has been said of the file before; it comes back
/// with a finding for each value that is not to be had, or that is none its protocol can use.
pub(crate) fn ask(mut config: Config, known: &Report) -> std::io::Result<Report> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let services = config.services.iter().map(Asked::of).collect::<Vec<_>>();
    let answers = runtime.block_on(async {
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
        stores.leases().give_all_back(RETURN_MAX).await;
        stores.close(&Stores::default(), RETURN_MAX).join_all().await;
        answers
    });
    // Threads that wait for a dead file system are not waited for.
    runtime.shutdown_background();
    if answers.len() < services.len() {
        let words = "it was interrupted before all stores had answered";
        return Ok(Report::of_error(Some(&config.path), words, ""));
    }
    let mut found = Found { path: config.path, findings: Vec::new(), silent: BTreeMap::new() };
    for (service, answer) in services.iter().zip(answers) {
        match answer {
            Some(Ok(round)) => found.add_values(service, round),
            Some(Err(failures)) => {
                failures.iter().for_each(|failure| found.add_failure(service, failure));
            }
            None => found.add(
                Severity::Error,
                (service.place, service.key()),
                "asking its stores broke down: this is a bug".to_owned(),
                "",
            ),
        }
    }
    Ok(found.beside(known))
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

    /// Where the file says that a value comes from elsewhere, and the key.
    fn place_of(&self, name: &str) -> Option<(Place, String)> {
        Some((*self.places.get(name)?, format!("{}.{name}", self.key())))
    }
}

/// What was found, in the order of the file.
struct Found {
    path: PathBuf,
    findings: Vec<Finding>,
    /// Who does not answer, and which finding says so.
    silent: BTreeMap<Arc<str>, (usize, Vec<String>)>,
}

impl Found {
    fn add(&mut self, severity: Severity, (place, key): (Place, String), message: String, help: &str) {
        let (file, place) = (Some(self.path.clone()), Some(place));
        self.findings.push(Finding { severity, file, place, key, message, help: help.to_owned() });
    }

    fn add_failure(&mut self, service: &Asked, failure: &Failure) {
        if matches!(failure.error, FetchError::Unavailable(_)) {
            // One sentence about a store is enough for all who use it.
            if let Some((_, others)) = self.silent.get_mut(&failure.peer) {
                return others.push(service.name.clone());
            }
            self.silent.insert(Arc::clone(&failure.peer), (self.findings.len(), Vec::new()));
        }
        let place = failure.names.iter().find_map(|name| service.place_of(name));
        let help = remedy(&failure.error);
        let message = describe(std::slice::from_ref(failure));
        self.add(Severity::Error, place.unwrap_or_else(|| (service.place, service.key())), message, help);
    }

    fn add_values(&mut self, service: &Asked, round: Round) {
        for note in round.notes {
            self.add(Severity::Warning, (service.place, service.key()), note, "it is used as it is");
        }
        let credential = round.values.credential(Generation(1), None);
        for Doubt { words, .. } in service.protocol.check(&credential) {
            let help = "the value that the store has now is this one";
            self.add(Severity::Warning, (service.place, service.key()), words, help);
        }
        for field in service.protocol.fields().iter().filter(|field| credential.field(field.name).is_none()) {
            if let Some(place) = service.place_of(field.name) {
                let message = "the value is empty, which counts as not set".to_owned();
                self.add(Severity::Warning, place, message, "put a value into the store");
            }
        }
    }

    /// These findings and those of `known` that are not said anew.
    fn beside(mut self, known: &Report) -> Report {
        for (finding, others) in self.silent.values() {
            if !others.is_empty() {
                let more = format!("; it is the same for {}", others.join(", "));
                self.findings[*finding].message.push_str(&more);
            }
        }
        let mut report = Report::default();
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        let errors: Vec<&Finding> = self.findings.iter().filter(is_error).collect();
        for finding in known.findings() {
            if !errors.iter().any(|error| error.message.contains(&finding.message)) {
                report.push(finding.clone());
            }
        }
        for finding in self.findings {
            let is_known = |it: &Finding| it.severity == finding.severity && it.message == finding.message;
            if !known.findings().iter().any(is_known) {
                report.push(finding);
            }
        }
        report.sort();
        report
    }
}

/// What helps.
fn remedy(error: &FetchError) -> &'static str {
    match error {
        FetchError::NotFound(_) | FetchError::Gone(_) => "put it there, or correct what `get` asks for",
        FetchError::Empty(_) => "put a value there, or correct what `get` asks for",
        FetchError::Unusable(_) => "correct what is asked for, or what is there",
        FetchError::Denied(_) => "let the broker have it there, or correct what it shows itself with",
        FetchError::Failing(_) => "see what it says; other values may come all the same",
        FetchError::Unavailable(_) | FetchError::Unasked(_) => "is it up, and is this where it is?",
        FetchError::Unsupported(_) => "take the value from another store",
    }
}

/// How long stores have to take back what they gave.
const RETURN_MAX: Duration = Duration::from_secs(5);
