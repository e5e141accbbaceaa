//! Whether the broker lives, and whether it can serve.
//!
//! Owns what follows from what. Live is a worker's heartbeat and nothing else; ready is every listener and every
//! required credential.

use std::collections::BTreeMap;

use serde_json::ser::{PrettyFormatter, Serializer};

/// What is wrong, if anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// Workers that have not gone round for too long.
    pub(crate) stuck_workers: Vec<usize>,
    /// Services whose listener takes no connections, and why.
    pub(crate) dead_listeners: Vec<(String, String)>,
    /// Required services that have never had their credential, and why.
    pub(crate) missing_credentials: Vec<(String, String)>,
    /// A stop was asked for.
    pub(crate) stopping: bool,
}

/// Named checks and what each found: `OK` or what is wrong.
pub(crate) struct Checks(BTreeMap<String, String>);

const OK: &str = "OK";

impl Health {
    /// Whether the process does its work.
    pub(crate) fn live(&self) -> Checks {
        let mut checks = Checks(BTreeMap::new());
        checks.note("listening", self.stuck_workers.is_empty(), "secretless is not listening");
        for worker in &self.stuck_workers {
            checks.fail(format!("worker {worker}"), "has not gone round for seconds");
        }
        checks
    }

    /// Whether every service can be used.
    pub(crate) fn ready(&self) -> Checks {
        let mut checks = self.live();
        let listening = self.stuck_workers.is_empty() && self.dead_listeners.is_empty() && !self.stopping;
        checks.note("listening", listening, "secretless is not listening");
        checks.note("ready", listening && self.missing_credentials.is_empty(), "secretless is not ready");
        if self.stopping {
            checks.fail("stopping".into(), "a stop was asked for");
        }
        for (service, reason) in &self.dead_listeners {
            checks.fail(format!("listener {service}"), reason);
        }
        for (service, reason) in &self.missing_credentials {
            checks.fail(format!("credential {service}"), reason);
        }
        checks
    }
}

impl Checks {
    fn note(&mut self, check: &str, passes: bool, otherwise: &str) {
        self.0.insert(check.to_owned(), if passes { OK } else { otherwise }.to_owned());
    }

    fn fail(&mut self, check: String, reason: &str) {
        self.0.insert(check, reason.to_owned());
    }

    pub(super) fn all_pass(&self) -> bool {
        self.0.values().all(|found| found == OK)
    }

    /// As the Go broker writes it: indented by four spaces, with a newline behind.
    pub(super) fn to_json(&self) -> String {
        let mut json = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(b"    "));
        // Texts into memory: nothing in it can fail.
        let _ = serde::Serialize::serialize(&self.0, &mut serializer);
        json.push(b'\n');
        String::from_utf8_lossy(&json).into_owned()
    }
}
