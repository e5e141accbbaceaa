//! `check --online`: whether every value can be had now.
//!
//! Owns the questions, one round to all stores, and the findings about what came of them, which never hold a value. What a store
//! gives for a while is given back, a login too.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Credential, Generation};
use tokio::runtime::Builder;

use crate::config::{Config, ServiceConfig};
use crate::diagnostics::{Finding, Report, Severity};
use crate::fetch::{Answer, Sources, describe};
use crate::stores::Stores;
use crate::watch::Watcher;

/// Asks every store that `config` names for everything that it is to give. A finding for each service that does not get its
/// values, or gets some that its protocol cannot use; `known` has been said of the file before.
pub(crate) fn ask(mut config: Config, known: &Report) -> std::io::Result<Report> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
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
                answers.push(answer.await.map(Told::of).ok());
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
    let mut report = Report::default();
    if answers.len() < config.services.len() {
        report =
            Report::of_error(Some(&config.path), "it was interrupted before all stores had answered", "");
    }
    for (service, told) in config.services.iter().zip(answers) {
        let told =
            told.unwrap_or_else(|| Told::Failed("asking its stores broke down: this is a bug".to_owned()));
        told.add_to(&mut report, known, &config, service);
    }
    // Threads that wait for a dead file system are not waited for.
    runtime.shutdown_background();
    Ok(report)
}

/// What came of one service's questions.
enum Told {
    Values(Arc<Credential>),
    Failed(String),
}

impl Told {
    fn of(answer: Answer) -> Self {
        match answer.result {
            Ok(round) => Self::Values(round.values.credential(Generation(1), None)),
            Err(failures) => Self::Failed(describe(&failures)),
        }
    }

    fn add_to(self, report: &mut Report, known: &Report, config: &Config, service: &ServiceConfig) {
        let mut add = |severity, key: String, message: String, help: &str| {
            report.push(Finding {
                severity,
                file: Some(config.path.clone()),
                place: Some(service.place),
                key,
                message,
                help: help.to_owned(),
            });
        };
        match self {
            Self::Failed(words) => {
                let help = "no client would be let in: see what the store says, and what `get` asks it for";
                add(Severity::Error, format!("services.{}.credentials", service.name), words, help);
            }
            Self::Values(credential) => {
                let doubts = service.protocol.check(&credential).into_iter();
                for finding in
                    doubts.filter(|doubt| known.findings().iter().all(|it| it.message != doubt.words))
                {
                    let key = format!("services.{}.credentials", service.name);
                    add(
                        Severity::Warning,
                        key,
                        finding.words,
                        "the value that the store has now is this one",
                    );
                }
            }
        }
    }
}

/// How long stores have to take back what they gave.
const RETURN_MAX: Duration = Duration::from_secs(5);
