//! Derived keys: who has them, who waits for them.
//!
//! Owns a worker's bounded cache of SCRAM keys and the jobs that are with the key thread. A key is found by the
//! credential's generation, so a rotation never meets an old one. Also owns how often a worker says that a
//! credential works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Generation;
use protocol::auth::scram::{ScramDerivation, ScramKeys};

use crate::keys::{KeyClient, KeyJob, KeyJobId};
use crate::mailbox::{Mail, Queue};
use crate::snapshot::ServiceId;

/// Keys a worker keeps. A server gives one salt for a user, so this is services in use, not sessions.
const KEYS_MAX: usize = 4096;

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyName {
    service: ServiceId,
    generation: Generation,
    salt: Box<[u8]>,
    iterations: u32,
}

/// A worker's derived keys.
pub(crate) struct KeyCache {
    keys: HashMap<KeyName, Arc<ScramKeys>>,
    jobs: HashMap<KeyJobId, Job>,
    next_job: u64,
    client: KeyClient,
}

struct Job {
    name: KeyName,
    /// Slots of the sessions that wait.
    waiting: Vec<u32>,
}

/// What a look-up found.
pub(crate) enum Lookup {
    /// The keys.
    Here(Arc<ScramKeys>),
    /// They are being derived.
    Waiting,
    /// More derivations wait than the key thread takes on.
    Busy,
}

impl KeyCache {
    pub(crate) fn new(client: KeyClient) -> Self {
        Self { keys: HashMap::new(), jobs: HashMap::new(), next_job: 0, client }
    }

    /// Finds the keys, or has them derived for the session in `slot`, once for all that wait for the same.
    pub(crate) fn find(
        &mut self,
        service: ServiceId,
        derivation: ScramDerivation,
        slot: u32,
        reply_to: &Arc<Queue<Mail>>,
    ) -> Lookup {
        let name = KeyName {
            service,
            generation: derivation.credential.generation(),
            salt: derivation.salt.clone(),
            iterations: derivation.iterations,
        };
        if let Some(keys) = self.keys.get(&name) {
            return Lookup::Here(Arc::clone(keys));
        }
        if let Some(job) = self.jobs.values_mut().find(|job| job.name == name) {
            job.waiting.push(slot);
            return Lookup::Waiting;
        }
        let id = KeyJobId(self.next_job);
        self.next_job += 1;
        if self.client.submit(KeyJob { id, derivation, reply_to: Arc::clone(reply_to) }).is_err() {
            return Lookup::Busy;
        }
        self.jobs.insert(id, Job { name, waiting: vec![slot] });
        Lookup::Waiting
    }

    /// Keeps keys that have come: the slots that waited for them.
    pub(crate) fn on_derived(&mut self, id: KeyJobId, keys: &Arc<ScramKeys>) -> Vec<u32> {
        let Some(job) = self.jobs.remove(&id) else { return Vec::new() };
        // An older generation of the same service is not asked for again.
        self.keys
            .retain(|name, _| name.service != job.name.service || name.generation >= job.name.generation);
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        self.keys.insert(job.name, Arc::clone(keys));
        job.waiting
    }

    /// Wipes the keys of services and generations that are not in force any more.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId, Generation) -> bool) {
        self.keys.retain(|name, _| in_force(name.service, name.generation));
    }
}

/// Between two reports that one generation works.
const PROOF_INTERVAL: Duration = Duration::from_secs(1);

/// Which generations were reported to work, and when.
#[derive(Default)]
pub(crate) struct Proofs(HashMap<ServiceId, (Generation, Instant)>);

impl Proofs {
    /// Whether a success is worth a report: the first of a generation is, and then one a second.
    pub(crate) fn admit(&mut self, service: ServiceId, generation: Generation, now: Instant) -> bool {
        let last = self.0.insert(service, (generation, now));
        match last {
            Some((known, at)) if known == generation && now.duration_since(at) < PROOF_INTERVAL => {
                self.0.insert(service, (known, at));
                false
            }
            _ => true,
        }
    }

    /// A refusal makes the next success worth a report again.
    pub(crate) fn on_refused(&mut self, service: ServiceId) {
        self.0.remove(&service);
    }

    /// Forgets services that are gone.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId) -> bool) {
        self.0.retain(|service, _| in_force(*service));
    }
}
