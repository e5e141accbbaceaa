//! What `check` says beyond what loading says: findings that must not keep a broker from starting.
//!
//! A credential's value may come from a store and change, so a wrong one is no error of the file. Whoever asks
//! for a check wants to know anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use protocol::{Credential, Generation, Secret};

use super::Place;
use super::model::{Config, CredentialConfig, ServiceConfig, Source};
use crate::diagnostics::{Finding, Report, Severity};

/// Adds findings about the values and files that `config` names.
pub(super) fn add_findings(config: &Config, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for service in &config.services {
        add_literal_findings(config, service, report);
        for credential in &service.credentials {
            add_file_findings(config, service, credential, &mut seen, report);
        }
    }
}

/// What the protocol says about values that stand in the file.
fn add_literal_findings(config: &Config, service: &ServiceConfig, report: &mut Report) {
    let literals: BTreeMap<Box<str>, Secret> = service
        .credentials
        .iter()
        .filter_map(|credential| match &credential.source {
            Source::Literal(secret) => {
                let copy = secret.expose(|bytes| Secret::from_heap(bytes.to_vec()));
                Some((credential.name.as_str().into(), copy))
            }
            _ => None,
        })
        .collect();
    for message in service.protocol.check(&Credential::new(Generation(1), literals)) {
        // The sentence names its field in quotes.
        let about =
            service.credentials.iter().find(|credential| message.contains(&format!("'{}'", credential.name)));
        let (place, key) = match about {
            Some(credential) => (credential.place, key_of(service, &credential.name)),
            None => (service.place, format!("services.{}", service.name)),
        };
        let help = "as it is, connections to this service will fail or not do what is meant";
        report.push(warning(config, place, key, message, help));
    }
}

/// Whether a file that a value comes from is there, and whether it is as closed as a secret should be.
fn add_file_findings(
    config: &Config,
    service: &ServiceConfig,
    credential: &CredentialConfig,
    seen: &mut BTreeSet<PathBuf>,
    report: &mut Report,
) {
    let Source::Provider { provider, id, .. } = &credential.source else { return };
    let Some(path) = provider.watch_path(id) else { return };
    let finding = |message: String, help: String| {
        warning(config, credential.place, key_of(service, &credential.name), message, &help)
    };
    let shown = path.display();
    match Path::new(&path).metadata() {
        Ok(metadata) if metadata.permissions().mode() & 0o044 != 0 && seen.insert(path.clone()) => {
            let message = format!("{shown} is readable by group or others");
            report.push(finding(message, format!("run `chmod 600 {shown}`")));
        }
        Ok(_) => {}
        Err(error) => {
            let message = format!("{shown} cannot be read now: {error}");
            report.push(finding(message, "it must be there when the broker starts".to_owned()));
        }
    }
}

fn key_of(service: &ServiceConfig, credential: &str) -> String {
    format!("services.{}.credentials.{credential}", service.name)
}

fn warning(config: &Config, place: Place, key: String, message: String, help: &str) -> Finding {
    Finding {
        severity: Severity::Warning,
        file: Some(config.path.clone()),
        place: Some(place),
        key,
        message,
        help: help.to_owned(),
    }
}
