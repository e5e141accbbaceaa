//! What the data plane has been told, and what it has not.
//!
//! Owns the snapshot in force and the pace of new ones: a few changes a second are told at once, thousands are told
//! together. Knows nothing of why something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{OnRotation, Service, ServiceId, SessionRef, Snapshot, Verdict};
use protocol::Generation;

/// News for the data plane, in this order: a verdict may rely on the snapshot.
pub(crate) struct News {
    pub snapshot: Option<Arc<Snapshot>>,
    pub verdicts: Vec<(SessionRef, Verdict)>,
    /// Services whose target has accepted this credential, and what becomes of earlier sessions.
    pub outdated: Vec<(ServiceId, Generation, OnRotation)>,
}

/// What was published and what is to be.
#[derive(Default)]
pub(crate) struct Publication {
    published: BTreeMap<ServiceId, Arc<Service>>,
    touched: BTreeSet<ServiceId>,
    at: Option<Instant>,
    verdicts: Vec<(SessionRef, Verdict)>,
    outdated: Vec<(ServiceId, Generation, OnRotation)>,
}

impl Publication {
    /// The service is not what was published.
    pub(crate) fn touch(&mut self, service: ServiceId) {
        self.touched.insert(service);
    }

    /// A session is to be told something.
    pub(crate) fn tell(&mut self, session: SessionRef, verdict: Verdict) {
        self.verdicts.push((session, verdict));
    }

    /// Sessions of the service that began with an earlier credential are outdated.
    pub(crate) fn outdate(&mut self, service: ServiceId, newer: Generation, then: OnRotation) {
        self.outdated.push((service, newer, then));
    }

    /// Lets the next [`Publication::take`] tell everything, however short ago the last was.
    pub(crate) fn hurry(&mut self) {
        self.at = None;
    }

    /// When [`Publication::take`] has something next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.is_empty() { None } else { self.due_at() }
    }

    /// Takes what is new, if it is time. `service` gives a service as it is now, or `None` if it is gone.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        mut service: impl FnMut(ServiceId) -> Option<Arc<Service>>,
    ) -> Option<News> {
        if self.is_empty() || self.due_at().is_some_and(|at| now < at) {
            return None;
        }
        let verdicts = std::mem::take(&mut self.verdicts);
        let outdated = std::mem::take(&mut self.outdated);
        if self.touched.is_empty() {
            return Some(News { snapshot: None, verdicts, outdated });
        }
        self.at = Some(now);
        for id in std::mem::take(&mut self.touched) {
            match service(id) {
                Some(service) => self.published.insert(id, service),
                None => self.published.remove(&id),
            };
        }
        let snapshot = Arc::new(Snapshot { services: self.published.clone() });
        Some(News { snapshot: Some(snapshot), verdicts, outdated })
    }

    fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.verdicts.is_empty() && self.outdated.is_empty()
    }

    fn due_at(&self) -> Option<Instant> {
        self.at.map(|at| at + INTERVAL)
    }
}

/// Between two snapshots.
const INTERVAL: Duration = Duration::from_millis(5);
