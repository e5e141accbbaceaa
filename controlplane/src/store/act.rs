//! What a service's rotation wants done, and the doing of it.
//!
//! Owns the way from an action to a question, a verdict or news. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use dataplane::{OnRotation, ServiceId, SessionRef, Verdict};
use protocol::Generation;

use super::Store;
use super::outages::Forbidden;
use crate::breaker::Leave;
use crate::fetch::{self, Failure, Question};
use crate::providers::FetchError;
use crate::rotation::{Action, Answer, Rotation};

impl Store {
    /// Lets `step` decide for the service, and notes what is to be done.
    pub(super) fn act(
        &mut self,
        id: ServiceId,
        now: Instant,
        step: impl FnOnce(&mut Rotation<SessionRef>, Instant, &mut Vec<Action<SessionRef>>),
    ) {
        let Some(service) = self.services.get_mut(&id) else { return };
        let mut actions = Vec::new();
        step(&mut service.rotation, now, &mut actions);
        for action in actions {
            match action {
                Action::Fetch => {
                    let is_refused = service.rotation.wants_others();
                    // A store once, however much is asked of it; and who may find out about one store asks the others as well, or
                    // two that do not answer would wait for each other.
                    let peers: BTreeSet<_> = service.sources.peers().collect();
                    let (mut failures, mut probes) = (Vec::new(), false);
                    for (peer, store) in peers {
                        match self.breakers.leave(peer, id, is_refused, now) {
                            Leave::Given => {}
                            Leave::Probe => probes = true,
                            // Why was said of whoever has asked.
                            Leave::Denied => failures.push(Failure {
                                provider: Arc::clone(store),
                                peer: Arc::clone(peer),
                                asked: Vec::new(),
                                error: FetchError::Unavailable("it does not answer".to_owned()),
                            }),
                        }
                    }
                    if failures.is_empty() || probes {
                        let has_lease = service.holds.iter().any(Option::is_some);
                        let is_refused = is_refused && (!has_lease || service.replacing.admits(now));
                        self.fetches.push(Question {
                            service: id,
                            epoch: service.epoch,
                            sources: Arc::clone(&service.sources),
                            holds: service.holds.clone(),
                            is_refused,
                        });
                    } else {
                        let holds = service.holds.clone();
                        let answer = fetch::Answer { result: Err(failures), asked: Vec::new(), holds };
                        let epoch = service.epoch;
                        self.forbidden.push(Forbidden { service: id, epoch, answer, at: now });
                    }
                }
                Action::Answer(session, answer) => {
                    if matches!(answer, Answer::Retry(_)) {
                        service.retried += 1;
                    }
                    let verdict = match answer {
                        Answer::Proceed => Verdict::Proceed,
                        Answer::GiveUp => Verdict::GiveUp(service.refusal()),
                        Answer::Retry(generation) => match service.generation(generation) {
                            Some(credential) => Verdict::Retry(Arc::clone(credential)),
                            None => Verdict::GiveUp(service.refusal()),
                        },
                    };
                    self.publication.tell(session, verdict);
                }
                Action::Withdraw => {
                    service.withdraw();
                    self.publication.touch(id);
                }
            }
        }
        if service.settle(now) {
            self.publication.touch(id);
        }
        let then = service.options.on_rotation;
        if let Some(newer) = service.take_succession(now).filter(|_| then != OnRotation::Keep) {
            service.say_that_sessions_end(
                "the target has accepted a newer credential: open sessions that began with an earlier one end, as `onRotation` says",
            );
            self.publication.outdate(id, newer, then);
        }
        // Whatever else becomes of them: no session outlives its lease.
        if let Some((ended, within)) = service.leased.take_over(now) {
            service.say_that_sessions_end(
                "a lease comes to its end: open sessions that began with it are closed",
            );
            self.publication.outdate(id, Generation(ended.0 + 1), OnRotation::Close { within });
        }
        let next = [service.rotation.next_deadline(), service.leased.over_at()];
        self.timers.set(id, next.into_iter().flatten().min());
    }
}
