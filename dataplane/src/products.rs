//! What came of slow work: who has it, who waits for it.
//!
//! Owns a worker's bounded cache of derived keys and the jobs that are with the key thread. A key is found by the
//! credential's generation, so a rotation never meets an old one. Also owns how often a worker says that a
//! credential works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::Generation;
use protocol::work::{Product, Work, WorkName};

use crate::jobs::{Job, JobClient, JobId};
use crate::mailbox::{Mail, Queue, SessionRef};
use crate::snapshot::ServiceId;

/// Jobs of one service that a worker asks for at once. A server that keeps SCRAM secrets has one salt for a user;
/// one that makes them up at each login needs as many as there are logins.
const JOBS_PER_SERVICE_MAX: usize = 256;

/// Keys of one service that a worker keeps. A server gives one salt for a user, or one for each of a few machines.
const KEYS_PER_SERVICE_MAX: usize = 16;

/// A worker's products.
pub(crate) struct Products {
    kept: HashMap<ServiceId, HashMap<WorkName, Arc<Product>>>,
    awaited: HashMap<JobId, Awaited>,
    next_job: u64,
    client: JobClient,
}

struct Awaited {
    service: ServiceId,
    /// What is good only once has none.
    name: Option<WorkName>,
    /// The sessions that wait. By reference, not by slot: a slot's next tenant may be another service's.
    waiting: Vec<SessionRef>,
}

/// What a look-up found.
pub(crate) enum Lookup {
    /// The product.
    Here(Arc<Product>),
    /// The work is being done, in this job.
    Waiting(JobId),
    /// More work waits than the key thread takes on.
    Busy,
}

impl Products {
    pub(crate) fn new(client: JobClient) -> Self {
        Self { kept: HashMap::new(), awaited: HashMap::new(), next_job: 0, client }
    }

    /// Finds what comes of `work`, or has it done for `session`, once for all that wait for the same.
    pub(crate) fn find(
        &mut self,
        service: ServiceId,
        work: Work,
        session: SessionRef,
        reply_to: &Arc<Queue<Mail>>,
    ) -> Lookup {
        let name = work.name();
        if let Some(name) = &name {
            if let Some(product) = self.kept.get(&service).and_then(|kept| kept.get(name)) {
                return Lookup::Here(Arc::clone(product));
            }
            let is_same =
                |awaited: &Awaited| awaited.service == service && awaited.name.as_ref() == Some(name);
            if let Some((id, awaited)) = self.awaited.iter_mut().find(|(_, awaited)| is_same(awaited)) {
                awaited.waiting.push(session);
                return Lookup::Waiting(*id);
            }
        }
        if self.awaited.values().filter(|awaited| awaited.service == service).count() >= JOBS_PER_SERVICE_MAX
        {
            return Lookup::Busy;
        }
        let id = JobId(self.next_job);
        self.next_job += 1;
        let job = Job { id, service, work, reply_to: Arc::clone(reply_to) };
        if self.client.submit(job).is_err() {
            return Lookup::Busy;
        }
        self.awaited.insert(id, Awaited { service, name, waiting: vec![session] });
        Lookup::Waiting(id)
    }

    /// Keeps a product that has come, if it is good for more than once: the sessions that waited for it.
    pub(crate) fn on_computed(&mut self, id: JobId, product: &Arc<Product>) -> Vec<SessionRef> {
        let Some(awaited) = self.awaited.remove(&id) else { return Vec::new() };
        if let Some(name) = awaited.name {
            let kept = self.kept.entry(awaited.service).or_default();
            if kept.len() >= KEYS_PER_SERVICE_MAX {
                // This service's own, and nobody else's: a hostile target may ask for a new salt each time.
                kept.clear();
            }
            kept.insert(name, Arc::clone(product));
        }
        awaited.waiting
    }

    /// Wipes the products of services and generations that are not in force any more.
    pub(crate) fn retain(&mut self, in_force: impl Fn(ServiceId, Generation) -> bool) {
        self.kept.retain(|service, kept| {
            kept.retain(|name, _| in_force(*service, name.generation));
            !kept.is_empty()
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
