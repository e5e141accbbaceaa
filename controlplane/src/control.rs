//! The control plane's state and what each event does to it.
//!
//! Owns the order: a snapshot is published before a verdict that relies on it, a listener is served after its service
//! was published. Nothing in here waits; `run` brings the events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dataplane::{Dataplane, Report, SecretArena, ServiceId};
use protocol::{ClientMisbehaved, Error, TargetFailed};
use tracing::{debug, error, info, warn};

use crate::admin::{Facts, FetchCount, Health, Metrics, Scrape, ServiceMetrics};
use crate::clock;
use crate::config::BrokerConfig;
use crate::config::ListenOn;
use crate::listening::Listening;
use crate::reload::{Prepared, Present};
use crate::stop::{Step, Stop};
use crate::store::Store;
use crate::stores::Stores;
use crate::watch::Watcher;

/// Everything that the control plane knows.
pub(crate) struct Control {
    pub store: Store,
    pub listening: Listening,
    pub stop: Stop,
    dataplane: Dataplane,
    broker: BrokerConfig,
    /// The stores of the file that is in force.
    stores: Stores,
    reloads: (u64, u64),
    started: (SystemTime, Instant),
    tidy_at: Instant,
    /// How many refusals of memory for secrets have been said.
    refusals_said: usize,
    /// When to say what the start still waits for.
    patience_until: Option<Instant>,
}

impl Control {
    /// A control plane without services.
    pub(crate) fn new(dataplane: Dataplane, broker: BrokerConfig, started: (SystemTime, Instant)) -> Self {
        let workers = dataplane.workers();
        let now = clock::now();
        Self {
            store: Store::new(workers),
            listening: Listening::new(workers),
            stop: Stop::default(),
            dataplane,
            broker,
            stores: Stores::default(),
            reloads: (0, 0),
            started,
            tidy_at: now + TIDY_INTERVAL,
            refusals_said: SecretArena::of_process().refused().len(),
            patience_until: Some(now + PATIENCE),
        }
    }

    /// The data plane.
    pub(crate) fn dataplane(&self) -> &Dataplane {
        &self.dataplane
    }

    /// The stores of the file that is in force.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// What is in force, for whoever prepares something else.
    pub(crate) fn present(&self) -> Present {
        let service = |(place, id): (ListenOn, ServiceId)| {
            let service = self.store.get(id)?;
            Some((place, (Arc::clone(&service.sources), service.holds.clone(), service.answers)))
        };
        let services = self.listening.open().into_iter().filter_map(service).collect();
        Present { stores: self.stores.clone(), services }
    }

    /// Puts a file in force. Gives what watches its secrets.
    pub(crate) fn commit(&mut self, prepared: Prepared, now: Instant) -> Result<Watcher, Vec<String>> {
        let (broker, stores) = (prepared.broker.clone(), prepared.stores.clone());
        let (mails, watcher) = prepared.commit(&mut self.store, &mut self.listening, now)?;
        self.broker.drain_timeout = broker.drain_timeout;
        self.stores = stores;
        // At once, whatever was published a moment ago: the new listeners' services must be known.
        self.store.publish_now();
        self.tell(now);
        for mail in &mails {
            self.dataplane.listen(mail);
        }
        Ok(watcher)
    }

    /// Puts a file in force that was loaded again.
    pub(crate) fn on_reloaded(&mut self, prepared: Prepared, now: Instant) -> Option<Watcher> {
        if self.stop.is_under_way() {
            return None;
        }
        for (setting, is_changed) in [
            ("broker.workers", prepared.broker.workers != self.broker.workers),
            ("broker.io", prepared.broker.io != self.broker.io),
            ("broker.admin", prepared.broker.admin != self.broker.admin),
            ("broker.limits.sessions", prepared.broker.sessions_max != self.broker.sessions_max),
        ] {
            if is_changed {
                warn!("{setting} has changed: that needs a restart");
            }
        }
        let services = prepared.places().len();
        match self.commit(prepared, now) {
            Ok(watcher) => {
                self.reloads.0 += 1;
                let plural = if services == 1 { "" } else { "s" };
                info!("Configuration reloaded: {services} service{plural}");
                Some(watcher)
            }
            Err(reasons) => {
                self.on_reload_refused(&reasons);
                None
            }
        }
    }

    /// A file cannot be used: why, a line each.
    pub(crate) fn on_reload_refused(&mut self, reasons: &[String]) {
        self.reloads.1 += 1;
        let mut reasons = reasons.iter();
        let first = reasons.next().map_or("", String::as_str);
        error!("The configuration was not reloaded, everything stays as it is: {first}");
        reasons.for_each(|reason| error!("{reason}"));
    }

    /// Takes what the workers report, but not for ever. Whether there may be more.
    pub(crate) fn take_reports(&mut self, now: Instant) -> bool {
        for _ in 0..REPORTS_AT_ONCE {
            match self.dataplane.next_report() {
                Some(report) => self.on_report(report, now),
                None => return false,
            }
        }
        true
    }

    fn on_report(&mut self, report: Report, now: Instant) {
        match report {
            Report::CredentialWanted(service) => self.store.on_wanted(service, now),
            Report::PermissionWanted { service, generation, session } => {
                self.store.on_permission_wanted(service, generation, session, now);
            }
            Report::Abandoned { service, session } => self.store.on_abandoned(service, session, now),
            Report::Refused(refusal) => self.store.on_refused(refusal, now),
            Report::Proven { service, generation, session, attempt_began } => {
                self.store.on_proven(service, generation, session, clock::of_dataplane(attempt_began), now);
            }
            Report::DialFailed(service) => self.store.on_dial_failed(service, now),
            Report::Retired(listener) => self.listening.on_retired(listener),
            Report::AcceptPaused(listener, reason) => {
                self.on_trouble(listener, &format!("{reason}; it tries again by itself"));
            }
            Report::AcceptResumed(listener) => self.listening.on_resumed(listener, now),
            Report::ListenerDead(listener, reason) => self.on_trouble(listener, &reason),
            Report::Failed { service, request_id, error, suppressed } => {
                if matches!(error, Error::Target(TargetFailed::Tls(_) | TargetFailed::TlsNotOffered)) {
                    self.store.on_unreachable(service, now);
                }
                let service = self.name(service);
                let cause = error.label();
                let request_id = request_id.to_string();
                if matches!(error, Error::Client(ClientMisbehaved::Closed)) {
                    // A health probe does that.
                    debug!(service, request_id, cause, suppressed, "{error}");
                } else {
                    info!(service, request_id, cause, suppressed, "Failed on handle connection: {error}");
                }
            }
            Report::Remark { service, request_id, remark } => {
                let service = self.name(service);
                let request_id = request_id.to_string();
                info!(service, request_id, "{remark}");
            }
            Report::Ended { service, request_id, lasted, to_target, to_client, cut_off } => {
                let service = self.name(service);
                let request_id = request_id.to_string();
                let seconds = lasted.as_secs_f64();
                debug!(service, request_id, seconds, to_target, to_client, cut_off, "the session has ended");
            }
        }
    }

    fn on_trouble(&mut self, listener: dataplane::ListenerId, trouble: &str) {
        if let Some(service) = self.listening.on_trouble(listener, trouble) {
            let service = self.name(service);
            error!(service, "Failed on accept connection: {trouble}");
        }
    }

    fn name(&self, service: ServiceId) -> &str {
        self.store.get(service).map_or("", |service| &service.options.name)
    }

    /// Does what is due, and tells the data plane what is new. Whether the end has come.
    pub(crate) fn on_time(&mut self, now: Instant) -> bool {
        self.store.on_time(now);
        if self.tidy_at <= now {
            self.tidy_at = now + TIDY_INTERVAL;
            self.store.tidy(now);
            for refused in SecretArena::of_process().refused().iter().skip(self.refusals_said) {
                self.refusals_said += 1;
                warn!("{refused}");
            }
        }
        if self.patience_until.is_some_and(|until| until <= now) {
            self.patience_until = None;
            self.say_what_is_missing();
        }
        for listener in self.listening.take_due(now) {
            self.dataplane.retire(listener);
        }
        for service in self.listening.take_calm(now) {
            let service = self.name(service);
            info!(service, "the listener takes connections again");
        }
        self.tell(now);
        let connections = self.dataplane.connections();
        match self.stop.on_time(self.listening.is_empty(), connections, now) {
            Step::Wait => false,
            Step::CloseSessions => {
                self.dataplane.close_sessions();
                false
            }
            Step::End => true,
        }
    }

    /// A signal asks for a stop; the second one means it.
    pub(crate) fn on_stop_signal(&mut self, now: Instant) {
        info!("Received a stop signal");
        if self.stop.is_under_way() {
            self.stop.hurry(now);
            self.dataplane.close_sessions();
            return;
        }
        info!("Stopping all services...");
        self.stop.begin(self.broker.drain_timeout, now);
        self.dataplane.drain();
        self.listening.retain(&std::collections::BTreeSet::new(), now);
    }

    /// When [`Control::on_time`] wants to be called.
    pub(crate) fn next_deadline(&self, now: Instant) -> Instant {
        let due = [
            self.store.next_deadline(),
            self.listening.next_deadline(),
            self.stop.next_deadline(now),
            self.patience_until,
        ];
        due.into_iter().flatten().fold(self.tidy_at, Instant::min)
    }

    fn tell(&mut self, now: Instant) {
        let Some(news) = self.store.take_news(now) else { return };
        if let Some(snapshot) = &news.snapshot {
            self.dataplane.publish(snapshot);
        }
        for (session, verdict) in news.verdicts {
            self.dataplane.verdict(session, verdict);
        }
        for (service, newer, then) in news.outdated {
            self.dataplane.outdate(service, newer, then);
        }
    }

    fn say_what_is_missing(&self) {
        let missing: Vec<&str> = self.missing().map(|(name, _)| name).collect();
        if !missing.is_empty() {
            let names = missing[..missing.len().min(NAMES_SAID)].join(", ");
            let more = match missing.len().saturating_sub(NAMES_SAID) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            info!("still waiting for the credentials of {names}{more}");
        }
    }

    fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        let required = self.store.present().filter(|service| service.options.required);
        required.filter_map(|service| Some((service.options.name.as_str(), service.missing()?)))
    }
}

impl Facts for std::cell::RefCell<Control> {
    fn health(&self) -> Health {
        let control = self.borrow();
        let now = Instant::now();
        let heartbeats = control.dataplane.heartbeats().into_iter().enumerate();
        let is_stuck = |at: &Instant| now.saturating_duration_since(*at) > HEARTBEAT_MAX;
        let owned = |(name, reason): (&str, &str)| (name.to_owned(), reason.to_owned());
        let trouble = control.listening.trouble();
        Health {
            stuck_workers: heartbeats.filter(|(_, at)| is_stuck(at)).map(|(worker, _)| worker).collect(),
            dead_listeners: trouble.into_iter().map(|(id, why)| owned((control.name(id), why))).collect(),
            missing_credentials: control.missing().map(owned).collect(),
            stopping: control.stop.is_under_way(),
        }
    }

    fn metrics(&self) -> Scrape {
        let control = self.borrow();
        let now = clock::now();
        let trouble = control.listening.trouble();
        let mut services = BTreeMap::new();
        let is_stopping = control.stop.is_under_way();
        let present = control.store.present().map(|service| (service, !is_stopping));
        // A service that left and one that came may have one name, and then they share their counters.
        for (service, is_present) in present.chain(control.store.leaving().map(|service| (service, false))) {
            let (name, protocol) = (service.options.name.clone(), service.options.protocol.name());
            let credential = service
                .credential()
                .map(|(generation, since)| (generation.0, now.saturating_duration_since(since)));
            services.entry((name.clone(), protocol)).or_insert_with(|| {
                let metrics = ServiceMetrics {
                    name,
                    protocol,
                    active: service.runtime.sessions(),
                    listening: is_present && !trouble.contains_key(&service.id),
                    credential,
                    available: service.missing().is_none(),
                    refused: service.is_refused(),
                    stale: service.is_stale(),
                    retried: service.retried,
                    rotations: service.rotations,
                    is_target_silent: service.is_target_silent(),
                    lease_left: service.lease_left(now),
                    ..ServiceMetrics::default()
                };
                (metrics, Arc::clone(&service.runtime))
            });
        }
        let counts = control.store.counts();
        let outcomes = counts.outcomes.iter();
        let metrics = Metrics {
            services: Vec::new(),
            fetches: outcomes
                .map(|((provider, outcome), count)| FetchCount {
                    provider: Arc::clone(provider),
                    outcome,
                    count: *count,
                })
                .collect(),
            fetch_durations: counts.durations.clone(),
            reloads: control.reloads,
            connections: control.dataplane.connections() as u64,
            breakers: control.store.breakers(),
            leases: control.stores.leases().count() as u64,
            draining: is_stopping,
            workers: control.dataplane.workers() as u64,
            secrets: SecretArena::of_process()
                .used()
                .map(|(protection, bytes)| (protection.label(), bytes as u64))
                .into(),
            io: (control.dataplane.io().driver.label(), control.dataplane.io().reason.label()),
            started: Some(control.started.0),
        };
        Scrape::new(metrics, services.into_values().collect())
    }
}

/// How often what nobody needs any more is looked for.
const TIDY_INTERVAL: Duration = Duration::from_secs(10);

/// A start that takes longer says what it waits for.
const PATIENCE: Duration = Duration::from_secs(3);

/// An idle worker goes round every second.
const HEARTBEAT_MAX: Duration = Duration::from_secs(5);

/// Some milliseconds of work: signals and the admin address get their turn.
const REPORTS_AT_ONCE: usize = 4096;

/// More names are not read.
const NAMES_SAID: usize = 8;
