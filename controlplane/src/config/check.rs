//! What `check` says beyond what loading says: findings that must not keep a broker from starting.
//!
//! A credential's value may come from a store and change, so a wrong one is no error of the file. Whoever asks
//! for a check wants to know anyway.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Credential, Doubt, Excluded, Generation, Secret};

use super::model::{Config, CredentialConfig, ListenOn, ServiceConfig, Source};
use super::nearest::{elsewhere, nearest};
use super::needs::{self, Need};
use super::{Place, transport};
use crate::diagnostics::{Finding, Report, Severity, printable};
use crate::providers::{Flaw, Item};
use crate::stores::Stores;

/// Adds findings about the values and files that `config` names, and its stores need; the services that cannot work as they are.
pub(super) fn add_findings(
    config: &Config,
    needs: &[Need],
    stores: &Stores,
    report: &mut Report,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut doubtful = BTreeSet::new();
    let unusable = needs::unmet(needs, stores, |need, Flaw { words, help, .. }| {
        if seen.insert(words.clone()) {
            add(report, config, (Severity::Warning, need.place, need.key.clone()), words, &help);
        }
    });
    for service in &config.services {
        let mut about = About { config, service, report, doubted: BTreeSet::new(), fails: false };
        about.add_missing();
        about.add_literals();
        about.add_excluded();
        about.add_folder();
        for credential in &service.credentials {
            about.add_name(credential);
            about.add_rewriting(credential);
            about.add_empty(credential);
            about.add_source(credential, stores, &mut seen);
            let is_unusable = |source: &Source| match source {
                Source::Provider { store, .. } => unusable.contains(&**store),
                Source::Literal(_) | Source::Unknown(_) => false,
            };
            about.fails |= is_unusable(&credential.source);
        }
        if about.fails {
            doubtful.insert(service.name.clone());
        }
    }
    doubtful
}

/// Adds findings about settings of stores that YAML takes for something else than their letters.
pub(super) fn add_rewritten(config: &Config, report: &mut Report) {
    for store in &config.stores {
        // Of words for yes and no only what they mean counts.
        let is_switch = |name: &str| {
            let known = store.kind.settings().iter().find(|known| known.name == name);
            known.is_some_and(|known| (known.check)(b"true").is_ok() && (known.check)(b"x").is_err())
        };
        for setting in store.settings.iter().filter(|it| it.is_rewritten && !is_switch(&it.name)) {
            let key = format!("providers.{}.{}", store.name, setting.name);
            add(
                report,
                config,
                (Severity::Warning, setting.place, key),
                REWRITTEN.to_owned(),
                REWRITTEN_HELP,
            );
        }
    }
}

const REWRITTEN: &str = "the value is not what is written: YAML takes it for a number or a word of its own";
const REWRITTEN_HELP: &str =
    "put it in quotes if it is meant as it is written: `0123` is 83, `yes` is `true`";

/// Findings about one service.
struct About<'a> {
    config: &'a Config,
    service: &'a ServiceConfig,
    report: &'a mut Report,
    /// The keys that the protocol has said something about.
    doubted: BTreeSet<String>,
    /// Whether connections to it will fail.
    fails: bool,
}

const FAILS: &str = "as it is, connections to this service will fail";

impl About<'_> {
    /// Values that no session can begin without, and that nobody gives.
    fn add_missing(&mut self) {
        let service = self.service;
        for field in service.protocol.fields().iter().filter(|field| field.is_required) {
            let name = field.name;
            if !service.credentials.iter().any(|credential| credential.name == name) {
                self.fails = true;
                let key = format!("services.{}.credentials", service.name);
                let message = format!("there is no '{name}'");
                self.push(service.place, key, message, FAILS);
            }
        }
    }

    /// What the protocol says about values that stand in the file.
    fn add_literals(&mut self) {
        let service = self.service;
        let literals: BTreeMap<Box<str>, Secret> = service
            .credentials
            .iter()
            .filter_map(|credential| match &credential.source {
                Source::Literal(secret) => {
                    let copy = secret.expose(|bytes| Secret::from_heap(bytes.to_vec()));
                    Some((credential.name.as_str().into(), copy))
                }
                Source::Provider { .. } | Source::Unknown(_) => None,
            })
            .collect();
        for Doubt { words: message, is_fatal } in
            service.protocol.check(&Credential::new(Generation(1), literals))
        {
            // The sentence names its field, in quotes or as a word.
            let quoted = |credential: &&CredentialConfig| message.contains(&format!("'{}'", credential.name));
            let mut words = message.split(|c: char| !c.is_alphanumeric());
            let credentials = &service.credentials;
            let about = credentials.iter().find(quoted).or_else(|| {
                words.find_map(|word| credentials.iter().find(|credential| credential.name == word))
            });
            let (place, key) = match about {
                Some(credential) => (credential.place, key_of(service, &credential.name)),
                None => (service.place, format!("services.{}", service.name)),
            };
            self.fails |= is_fatal;
            self.doubted.insert(key.clone());
            let help = if is_fatal { FAILS } else { "it works; do what the sentence says all the same" };
            self.push(place, key, message, help);
        }
    }

    /// Clients that the service cannot please.
    fn add_excluded(&mut self) {
        let service = self.service;
        let excluded = service.protocol.excluded(service.client_tls.mode, transport(&service.listen_on));
        if let Some(Excluded { who, help }) = excluded {
            let key = format!("services.{}", service.name);
            self.add(Severity::Note, service.place, key, who.to_owned(), help);
        }
    }

    /// A Unix socket that has nowhere to be.
    fn add_folder(&mut self) {
        let service = self.service;
        if let ListenOn::Unix { path, .. } = &service.listen_on
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            self.fails = true;
            let key = format!("services.{}.listenOn", service.name);
            let message = format!("there is no folder {}", printable(&folder.display().to_string()));
            self.push(
                service.place,
                key,
                message,
                "it must be there when the broker starts, and the broker must be able to write to it",
            );
        }
    }

    /// A literal that YAML takes for something else than its letters.
    fn add_rewriting(&mut self, credential: &CredentialConfig) {
        if credential.is_rewritten {
            let key = key_of(self.service, &credential.name);
            self.push(credential.place, key, REWRITTEN.to_owned(), REWRITTEN_HELP);
        }
    }

    /// A value that is written and empty.
    fn add_empty(&mut self, credential: &CredentialConfig) {
        let Source::Literal(secret) = &credential.source else { return };
        let known = self.service.protocol.fields().iter().find(|field| field.name == credential.name);
        let Some(known) = known.filter(|_| secret.expose(<[u8]>::is_empty)) else { return };
        self.fails |= known.is_required;
        let help = match credential.variables.first() {
            Some(_) => "the variable that it comes from is empty: set it, or take the value from elsewhere",
            None if known.is_required => FAILS,
            None => "write the value, or remove the line",
        };
        let message = "the value is empty, which counts as not set".to_owned();
        self.push(credential.place, key_of(self.service, &credential.name), message, help);
    }

    /// A name that the protocol does not know, and how it looks.
    fn add_name(&mut self, credential: &CredentialConfig) {
        let known: Vec<&str> = self.service.protocol.fields().iter().map(|field| field.name).collect();
        if known.contains(&credential.name.as_str()) || known.is_empty() {
            return;
        }
        let key = key_of(self.service, &credential.name);
        if self.doubted.contains(&key) {
            return;
        }
        let is_sent = self.service.protocol.sends_unknown_fields();
        let name = &credential.name;
        let message = match is_sent {
            true => format!("'{name}' means nothing to the broker: it is sent to the target as a parameter"),
            false => format!("'{name}' means nothing to the connector: it is not used"),
        };
        if let Some(meant) = meant(name, &known) {
            // Whoever has written it under the right name, too, has what is needed.
            self.fails |= ["host", "username", "password"].contains(&meant)
                && self.service.credentials.iter().all(|credential| credential.name != meant);
            self.push(credential.place, key, message, &format!("did you mean `{meant}`?"));
        } else if !is_sent {
            self.push(credential.place, key, message, &format!("it knows {}", known.join(", ")));
        } else if !matches!(credential.source, Source::Literal(_)) {
            self.push(credential.place, key, message, "if it is a secret, give it a name that is known");
        }
    }

    /// Whether what a value comes from is there, can be read by us, and is as closed as a secret should be.
    fn add_source(&mut self, credential: &CredentialConfig, stores: &Stores, seen: &mut BTreeSet<String>) {
        let (store, id, raw) = match &credential.source {
            Source::Literal(_) => return,
            // That there is no such provider was said when the file was read.
            Source::Unknown(_) => {
                self.fails = true;
                return;
            }
            Source::Provider { store, id, raw, .. } => (store, id, *raw),
        };
        let Some((_, provider)) = stores.get(store) else { return };
        let fields = self.service.protocol.fields();
        let is_public = fields.iter().any(|field| field.is_public && field.name == credential.name);
        // One sentence about one file is enough for all who use it.
        if let Some(Flaw { words, help, is_fatal }) = provider.look(&Item { id: id.clone(), raw, is_public })
        {
            self.fails |= is_fatal;
            if seen.insert(words.clone()) {
                self.push(credential.place, key_of(self.service, &credential.name), words, &help);
            }
        }
    }

    fn push(&mut self, place: Place, key: String, message: String, help: &str) {
        self.add(Severity::Warning, place, key, message, help);
    }

    fn add(&mut self, severity: Severity, place: Place, key: String, message: String, help: &str) {
        add(self.report, self.config, (severity, place, key), message, help);
    }
}

fn add(
    report: &mut Report,
    config: &Config,
    (severity, place, key): (Severity, Place, String),
    message: String,
    help: &str,
) {
    let (file, place) = (Some(config.path.clone()), Some(place));
    report.push(Finding { severity, file, place, key, message, help: help.to_owned() });
}

/// Which of the `known` names this one was meant to be.
fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let elsewhere = elsewhere(name).and_then(|meant| known.iter().copied().find(|known| *known == meant));
    elsewhere.or_else(|| nearest(name, known))
}

fn key_of(service: &ServiceConfig, credential: &str) -> String {
    format!("services.{}.credentials.{credential}", service.name)
}
