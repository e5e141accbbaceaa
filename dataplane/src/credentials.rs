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
use crate::mailbox::{Mail, Queue, SessionRef};
use crate::snapshot::ServiceId;

/// Derivations of one service that a worker asks for at once. A server that keeps SCRAM secrets has one salt for a user;
/// one that makes them up at each login needs as many as there are logins.
const JOBS_PER_SERVICE_MAX: usize = 256;

/// Keys of one service that a worker keeps. A server gives one salt for a user, or one for each of a few machines.
const KEYS_PER_SERVICE_MAX: usize = 16;

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyName {
    service: ServiceId,
    generation: Generation,
    salt: Box<[u8]>,
    iterations: u32,
}

/// A worker's derived keys.
pub(crate) struct KeyCache {
    keys: HashMap<ServiceId, HashMap<KeyName, Arc<ScramKeys>>>,
    jobs: HashMap<KeyJobId, Job>,
    next_job: u64,
    client: KeyClient,
}

struct Job {
    name: KeyName,
    /// The sessions that wait. By reference, not by slot: a slot's next tenant may be another service's.
    waiting: Vec<SessionRef>,
}

/// What a look-up found.
pub(crate) enum Lookup {
    /// The keys.
    Here(Arc<ScramKeys>),
    /// They are being derived, in this job.
    Waiting(KeyJobId),
    /// More derivations wait than the key thread takes on.
    Busy,
}

impl KeyCache {
    pub(crate) fn new(client: KeyClient) -> Self {
        Self { keys: HashMap::new(), jobs: HashMap::new(), next_job: 0, client }
    }

    /// Finds the keys, or has them derived for `session`, once for all that wait for the same.
    pub(crate) fn find(
        &mut self,
        service: ServiceId,
        derivation: ScramDerivation,
        session: SessionRef,
        reply_to: &Arc<Queue<Mail>>,
    ) -> Lookup {
        let name = KeyName {
            service,
            generation: derivation.credential.generation(),
            salt: derivation.salt.clone(),
            iterations: derivation.iterations,
        };
        if let Some(keys) = self.keys.get(&service).and_then(|keys| keys.get(&name)) {
            return Lookup::Here(Arc::clone(keys));
        }
        if let Some((id, job)) = self.jobs.iter_mut().find(|(_, job)| job.name == name) {
            job.waiting.push(session);
            return Lookup::Waiting(*id);
        }
        if self.jobs.values().filter(|job| job.name.service == service).count() >= JOBS_PER_SERVICE_MAX {
            return Lookup::Busy;
        }
        let id = KeyJobId(self.next_job);
        self.next_job += 1;
        let job = KeyJob { id, service, derivation, reply_to: Arc::clone(reply_to) };
        if self.client.submit(job).is_err() {
            return Lookup::Busy;
        }
        self.jobs.insert(id, Job { name, waiting: vec![session] });
        Lookup::Waiting(id)
    }

    /// Keeps keys that have come: the sessions that waited for them.
    pub(crate) fn on_derived(&mut self, id: KeyJobId, keys: &Arc<ScramKeys>) -> Vec<SessionRef> {
        let Some(job) = self.jobs.remove(&id) else { return Vec::new() };
        let service = self.keys.entry(job.name.service).or_default();
        if service.len() >= KEYS_PER_SERVICE_MAX {
            // This service's own, and nobody else's: a hostile target may ask for a new salt each time.
            service.clear();
        }
        service.insert(job.name, Arc::clone(keys));
        job.waiting
    }

    /// Wipes the keys of services and generations that are not in force any more.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId, Generation) -> bool) {
        self.keys.retain(|service, keys| {
            keys.retain(|name, _| in_force(*service, name.generation));
            !keys.is_empty()
        });
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
