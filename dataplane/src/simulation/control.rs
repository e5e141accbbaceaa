//! The control plane of a simulated run: it answers late, rotates at a bad moment, and shuts down at a worse one.
//!
//! Owns what a worker is told. Decides by chance where the real one decides by its rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::{CleartextPassword, Credential, Generation, Route, Secret};

use super::END;
use super::random::Random;
use crate::jobs::Job;
use crate::mailbox::{ListenerId, ListenerMail, Mail, Queue, Report, Verdict};
use crate::snapshot::{
    CredentialState, Endpoint, Service, ServiceId, ServiceOptions, Snapshot, Target, Timeouts,
};
use crate::stats::ServiceRuntime;

/// Something that happens to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The servers want another password from now on.
    Rotate,
    /// The store has it.
    Publish,
    /// The target's address is known, or is not known any more.
    Resolve(bool),
    Drain,
    CloseSessions,
    Retire(usize),
    Stop,
}

/// What stands in the control plane's place.
pub(crate) struct Control {
    pub(crate) random: Random,
    pub(crate) mailbox: Arc<Queue<Mail>>,
    pub(crate) reports: Arc<Queue<Report>>,
    pub(crate) jobs: Box<dyn FnMut() -> Option<Job>>,
    pub(crate) runtime: Arc<ServiceRuntime>,
    pub(crate) timeouts: Timeouts,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) listeners: Vec<ListenerMail>,
    /// What is to happen, in any order.
    pub(crate) events: Vec<(Duration, Event)>,
    /// What is to be told, in any order.
    pub(crate) answers: Vec<(Duration, Mail)>,
    /// The password that servers want.
    pub(crate) password: Vec<u8>,
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) is_resolved: bool,
    /// Listeners that were let go of.
    pub(crate) retired: usize,
    /// Sessions may have been cut short by us.
    pub(crate) has_cut: bool,
}

impl Control {
    fn delay(&mut self) -> Duration {
        let micros = self.random.pick(&[0, 10, 500, 20_000, 2_000_000]);
        Duration::from_micros(self.random.below(micros + 1) as u64)
    }

    /// Takes what was reported, and tells what is due.
    pub(crate) fn act(&mut self, now: Duration) {
        // Whoever is slow to read has full queues.
        if self.random.permille(800) {
            while let Some(report) = self.reports.pop() {
                self.on_report(report, now);
            }
        }
        while let Some(job) = (self.jobs)() {
            let at = now + self.delay();
            let product = Arc::new(job.work.perform(|_| None, Secret::copied_to_heap));
            let mail = Mail::Computed { job: job.id, product };
            self.answers.push((at, mail));
        }
        for at in (0..self.events.len()).rev() {
            if self.events[at].0 <= now {
                let (_, event) = self.events.remove(at);
                self.on_event(event, now);
            }
        }
        for at in (0..self.answers.len()).rev() {
            if self.answers[at].0 <= now {
                let (_, mail) = self.answers.remove(at);
                assert!(self.mailbox.push(mail).is_ok(), "the mailbox has room");
            }
        }
    }

    /// When there is something to tell.
    pub(crate) fn next(&self) -> Option<Duration> {
        let events = self.events.iter().map(|(at, _)| *at);
        events.chain(self.answers.iter().map(|(at, _)| *at)).min()
    }

    /// Whether there is nothing left to tell.
    pub(crate) fn is_done(&self) -> bool {
        self.events.is_empty() && self.answers.is_empty() && self.retired == self.listeners.len()
    }

    fn on_report(&mut self, report: Report, now: Duration) {
        let at = now + self.delay();
        match report {
            Report::CredentialWanted(_) => {
                let missing = if self.credential.is_none() { Event::Publish } else { Event::Resolve(true) };
                self.events.push((at, missing));
            }
            Report::PermissionWanted { generation, session, .. } => {
                let verdict = match &self.credential {
                    Some(newer) if newer.generation() != generation => Verdict::Retry(Arc::clone(newer)),
                    _ if self.random.permille(50) => Verdict::GiveUp(None),
                    _ => Verdict::Proceed,
                };
                self.answers.push((at, Mail::Verdict { session, verdict }));
            }
            Report::Refused(refusal) => {
                let newer = self.credential.as_ref().filter(|newer| newer.generation() != refusal.generation);
                let verdict = match newer {
                    Some(newer) => Verdict::Retry(Arc::clone(newer)),
                    None => Verdict::GiveUp(refusal.words),
                };
                self.events.push((at, Event::Publish));
                self.answers.push((at, Mail::Verdict { session: refusal.session, verdict }));
            }
            Report::Proven { generation, .. } => self.runtime.set_open(Some(generation)),
            Report::Retired(_) | Report::ListenerDead(..) => self.retired += 1,
            Report::Abandoned { .. }
            | Report::DialFailed(_)
            | Report::AcceptPaused(..)
            | Report::AcceptResumed(_)
            | Report::Failed { .. }
            | Report::Ended { .. }
            | Report::Remark { .. } => {}
        }
    }

    fn on_event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Rotate => {
                self.password = format!("password {}", self.random.next()).into_bytes();
                self.runtime.set_open(None);
            }
            Event::Publish => self.renew(),
            Event::Resolve(is_resolved) => {
                self.is_resolved = is_resolved;
                self.publish();
            }
            Event::Drain => self.cut(Mail::Drain),
            // At the very end nothing is cut: who is there then would never end by himself.
            Event::CloseSessions if now >= END => self.tell(Mail::CloseSessions),
            Event::CloseSessions => self.cut(Mail::CloseSessions),
            Event::Stop => self.cut(Mail::Stop),
            Event::Retire(listener) => self.tell(Mail::Retire(self.listeners[listener].id)),
        }
    }

    fn cut(&mut self, mail: Mail) {
        self.has_cut = true;
        self.tell(mail);
    }

    fn tell(&self, mail: Mail) {
        assert!(self.mailbox.push(mail).is_ok(), "the mailbox has room");
    }

    fn renew(&mut self) {
        let generation = self.credential.as_ref().map_or(0, |credential| credential.generation().0) + 1;
        let fields = [("username", &b"books"[..]), ("password", &self.password), ("sslmode", b"disable")];
        let fields: BTreeMap<Box<str>, Secret> = fields
            .into_iter()
            .map(|(name, value)| (name.into(), Secret::from_heap(value.to_vec())))
            .collect();
        self.credential = Some(Arc::new(Credential::new(Generation(generation), fields)));
        self.publish();
    }

    /// Tells the worker what is in force.
    pub(crate) fn publish(&self) {
        let route =
            Route { cleartext_password: Some(CleartextPassword::Always), ..Route::new("simulation".into()) };
        let mut service = Service::new(ServiceOptions {
            id: ServiceId(1),
            protocol: protocol::protocols::by_name("pg").expect("PostgreSQL is spoken"),
            route: Arc::new(route),
            sessions_max: 1000,
            timeouts: self.timeouts,
            client_tls: None,
            runtime: Arc::clone(&self.runtime),
        });
        if let Some(credential) = &self.credential {
            service.credential = CredentialState::Here(Arc::clone(credential));
        }
        if self.is_resolved {
            service.target = Target::Resolved(self.endpoints.iter().map(Arc::clone).collect());
        }
        let services = BTreeMap::from([(ServiceId(1), Arc::new(service))]);
        self.tell(Mail::Snapshot(Arc::new(Snapshot { services })));
    }

    /// Lets the worker accept.
    pub(crate) fn listen(&self) {
        for listener in &self.listeners {
            self.tell(Mail::Listen(listener.clone()));
        }
    }

    /// Names for listeners.
    pub(crate) fn listener(number: usize, socket: Arc<std::os::fd::OwnedFd>) -> ListenerMail {
        let id = ListenerId(u32::try_from(number).expect("a few listeners") + 1);
        ListenerMail { id, service: ServiceId(1), socket }
    }
}
