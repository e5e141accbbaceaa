//! Connecting to the target.
//!
//! Owns the order in which addresses are tried and how long each may take. Resolves nothing: the snapshot has the
//! addresses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{BrokerFailed, Dial, Error, Event, OverLimit, Side, TargetFailed};
use rustix::io::Errno;

use crate::context::Context;
use crate::io::{Connect, Io, Socket};
use crate::mailbox::Report;
use crate::session::{Session, Stage};
use crate::snapshot::{Endpoint, Service, Target};

/// How long to wait until a Unix socket's full queue is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// An attempt to connect, to one address after the other.
pub(crate) struct Dialing {
    left: VecDeque<Arc<Endpoint>>,
    /// The address that is being tried, or that took the connection.
    current: Option<Arc<Endpoint>>,
    began: Instant,
    /// By when the current address must have taken the connection.
    current_until: Instant,
    deadline: Instant,
    /// Why the last address did not take it.
    last: Option<TargetFailed>,
}

impl Dialing {
    fn new(endpoints: impl IntoIterator<Item = Arc<Endpoint>>, now: Instant, deadline: Instant) -> Self {
        Self {
            left: endpoints.into_iter().collect(),
            current: None,
            began: now,
            current_until: deadline,
            deadline,
            last: None,
        }
    }

    /// Whether there are addresses that were not tried.
    pub(crate) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// The address that took the connection.
    pub(crate) fn take_connected(&mut self) -> Option<Arc<Endpoint>> {
        self.current.take()
    }

    /// The error of an attempt that took too long.
    pub(crate) fn timeout(&self) -> Error {
        match &self.current {
            Some(endpoint) => TargetFailed::DialTimeout { address: endpoint.address.to_string() }.into(),
            None => BrokerFailed::Resources.into(),
        }
    }

    /// How long the current address may take: its share of what is left.
    fn address_deadline(&self, now: Instant) -> Instant {
        let addresses = u32::try_from(self.left.len() + 1).unwrap_or(u32::MAX);
        now + self.deadline.saturating_duration_since(now) / addresses
    }
}

/// All addresses on which the service has open sessions, where a cancel request may belong.
fn open_endpoints(service: &Service) -> Vec<Arc<Endpoint>> {
    let current = match &service.target {
        Target::Resolved(endpoints) => endpoints.as_slice(),
        Target::Unresolved | Target::Failed(_) => &[],
    };
    current
        .iter()
        .chain(&service.lingering)
        .filter(|endpoint| endpoint.sessions() > 0)
        .map(Arc::clone)
        .collect()
}

impl<I: Io> Session<I> {
    /// The machine wants a connection.
    pub(crate) fn begin_dial(&mut self, dial: Dial, cx: &mut Context<I>) {
        let id = self.service.id;
        let Some(service) = cx.service(id).map(Arc::clone) else {
            return self.fail(&BrokerFailed::Shutdown.into(), cx);
        };
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let deadline = cx.now + self.service.timeouts.dial;
        match dial {
            Dial::OpenSessions => {
                handshaking.is_errand = true;
                if handshaking.dialing.is_none() {
                    if !cx.cancels.admit(id, cx.now) {
                        return self.fail(&OverLimit::CancelRate.into(), cx);
                    }
                    handshaking.dialing = Some(Dialing::new(open_endpoints(&service), cx.now, deadline));
                }
                self.dial_next(cx);
            }
            Dial::Service => match &service.target {
                Target::Unresolved => {
                    handshaking.dialing = None;
                    cx.parked.insert(self.slot);
                    cx.report(Report::CredentialWanted(id));
                }
                Target::Failed(error) => {
                    cx.report(Report::DialFailed(id));
                    self.fail(error, cx);
                }
                Target::Resolved(endpoints) => {
                    handshaking.dialing =
                        Some(Dialing::new(endpoints.iter().map(Arc::clone), cx.now, deadline));
                    match self.admit(cx) {
                        Ok(()) => self.dial_next(cx),
                        Err(error) => self.fail(&error, cx),
                    }
                }
            },
        }
    }

    /// Tries the next address, or gives up.
    fn dial_next(&mut self, cx: &mut Context<I>) {
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let Some(dialing) = &mut handshaking.dialing else { return };
        let Some(endpoint) = dialing.left.pop_front() else {
            let Some(last) = dialing.last.take() else {
                // Nothing is open anywhere, so there is nothing to cancel.
                return self.begin_closing(Some(Side::Client), cx);
            };
            cx.report(Report::DialFailed(self.service.id));
            return self.fail(&last.into(), cx);
        };
        if !endpoint.silence.admits(cx.now) {
            dialing.last = Some(TargetFailed::Silent { address: endpoint.address.to_string() });
            return self.dial_next(cx);
        }
        dialing.current_until = dialing.address_deadline(cx.now);
        dialing.current = Some(endpoint);
        self.try_current(cx);
    }

    fn try_current(&mut self, cx: &mut Context<I>) {
        let handshake_deadline = self.handshake_deadline();
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let Some(dialing) = &mut handshaking.dialing else { return };
        let Some(endpoint) = dialing.current.clone() else { return };
        let deadline = dialing.current_until.min(handshake_deadline);
        let (service, abandoned) = (self.service.id, self.service.runtime.abandoned());
        if !handshaking.is_errand
            && let Err(next) = cx.pace.admit(service, abandoned, cx.now)
        {
            if next >= deadline {
                return self.fail(&OverLimit::Abandoned.into(), cx);
            }
            return self.set_deadline(Some(next), cx);
        }
        match cx.io.connect(&endpoint.address) {
            Ok(Connect::Done(socket)) => {
                self.attach_target(socket);
                self.on_connected(cx);
            }
            Ok(Connect::InProgress(socket)) => {
                self.attach_target(socket).await_connect(&mut cx.io);
                self.set_deadline(Some(deadline), cx);
            }
            Ok(Connect::Busy) if cx.now < deadline => {
                self.set_deadline(Some((cx.now + BUSY_PAUSE).min(deadline)), cx);
            }
            Ok(Connect::Busy) => self.on_connect_failed(Errno::AGAIN, cx),
            Err(error) => self.on_connect_failed(error, cx),
        }
    }

    /// The kernel has decided a connect.
    pub(crate) fn on_connect_decided(&mut self, cx: &mut Context<I>) {
        let Some(leg) = &self.target else { return };
        match leg.socket().connect_result() {
            Ok(()) => self.on_connected(cx),
            Err(error) => self.on_connect_failed(error, cx),
        }
    }

    fn on_connect_failed(&mut self, error: Errno, cx: &mut Context<I>) {
        self.detach_target(cx);
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let Some(dialing) = &mut handshaking.dialing else { return };
        if matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) {
            return self.fail(&BrokerFailed::Resources.into(), cx);
        }
        if let Some(endpoint) = dialing.current.take() {
            match error {
                // The kernel has given up before we have.
                Errno::TIMEDOUT => endpoint.silence.on_silent(cx.now),
                _ => endpoint.silence.on_heard(),
            }
            dialing.last =
                Some(TargetFailed::Dial { address: endpoint.address.to_string(), reason: reason(error) });
        }
        self.dial_next(cx);
    }

    fn on_connected(&mut self, cx: &mut Context<I>) {
        self.set_deadline(Some(self.handshake_deadline()), cx);
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let Some(dialing) = &mut handshaking.dialing else { return };
        if let Some(endpoint) = &dialing.current {
            endpoint.silence.on_heard();
        }
        cx.stats(&self.service).dial.record(cx.now.duration_since(dialing.began));
        let Some(leg) = &mut self.target else { return };
        leg.receive(&mut cx.io);
        let transport = leg.transport();
        self.answer(Side::Target, Event::Connected(transport), cx);
    }

    /// An address took too long, or a busy one may be tried again.
    pub(crate) fn on_dial_deadline(&mut self, cx: &mut Context<I>) {
        if !self.is_dialing() {
            return self.set_deadline(Some(self.handshake_deadline()), cx);
        }
        if self.target.is_none() {
            return self.try_current(cx);
        }
        self.detach_target(cx);
        let Stage::Handshake(handshaking) = &mut self.stage else { return };
        let Some(dialing) = &mut handshaking.dialing else { return };
        if let Some(endpoint) = dialing.current.take() {
            endpoint.silence.on_silent(cx.now);
            dialing.last = Some(TargetFailed::DialTimeout { address: endpoint.address.to_string() });
        }
        self.dial_next(cx);
    }
}

/// The kernel's words, as the Go broker's users know them.
fn reason(error: Errno) -> String {
    match error {
        Errno::CONNREFUSED => "connection refused".into(),
        Errno::NETUNREACH => "network is unreachable".into(),
        Errno::HOSTUNREACH => "no route to host".into(),
        Errno::TIMEDOUT => "connection timed out".into(),
        Errno::CONNRESET => "connection reset by peer".into(),
        Errno::NOENT => "no such file or directory".into(),
        Errno::ACCESS | Errno::PERM => "permission denied".into(),
        Errno::AGAIN => "resource temporarily unavailable".into(),
        other => std::io::Error::from(other).to_string(),
    }
}
