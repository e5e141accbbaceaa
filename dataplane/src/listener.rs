//! The listening sockets that a worker accepts on, shared with all other workers.
//!
//! Owns the accepts: one-shot, so that the kernel wakes one worker a connection and the load is even. A listener never
//! dies of a want of descriptors or memory: it pauses and tries again.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use slab::Slab;

use crate::context::Context;
use crate::io::{Io, Kind, Token};
use crate::mailbox::{ListenerId, ListenerMail, Report};
use crate::snapshot::ServiceId;

/// How long a listener rests when the kernel has nothing to give.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections beyond the sessions that may be open: handshakes that will be told of the limit, cancel requests,
/// farewells. Whoever comes beyond that waits in the kernel's queue.
const SPARE: u32 = 1024;

/// A worker's listeners.
#[derive(Default)]
pub(crate) struct Listeners {
    listeners: Slab<Listener>,
    /// When the first pause is over, if there is one. Every round asks, and there may be thousands of listeners.
    first_pause_over: Option<Instant>,
    /// How many are to be let go of.
    retiring: usize,
}

struct Listener {
    mail: ListenerMail,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// An accept is with the kernel. `troubled` if the last one failed for a reason that may still be there.
    Armed { troubled: bool },
    /// The kernel refused, for want of something or for a reason of its own; until then.
    Paused { until: Instant, is_want: bool },
    /// All slots are taken.
    Full,
    /// To be let go of; an accept may still be with the kernel.
    Retiring { armed: bool },
    /// To be let go of, but the kernel had nothing to give for what is queued: until the next pause is over.
    RetiringPaused,
}

impl Listeners {
    /// Accepts on a listener from now on.
    pub(crate) fn open<I: Io>(&mut self, mail: ListenerMail, sessions: usize, cx: &mut Context<I>) {
        let key = self.listeners.insert(Listener { mail, state: State::Full });
        self.arm(key, sessions, cx);
    }

    fn arm<I: Io>(&mut self, key: usize, sessions: usize, cx: &mut Context<I>) {
        let Some(listener) = self.listeners.get_mut(key) else { return };
        let Ok(slot) = u32::try_from(key) else { return };
        let places = u64::from(cx.shared.sessions_max) + u64::from(SPARE);
        if sessions as u64 >= places {
            listener.state = State::Full;
            return;
        }
        // The low bits of the id tell a listener from an earlier one in the same slot.
        let token = Token { kind: Kind::Accept, epoch: 0, generation: generation(listener.mail.id), slot };
        cx.io.accept(token, listener.mail.socket.as_fd());
        let troubled = matches!(listener.state, State::Paused { is_want: false, .. });
        listener.state = State::Armed { troubled };
    }

    /// An accept is over: the connection that it brought.
    pub(crate) fn on_accepted<I: Io>(
        &mut self,
        token: Token,
        accepted: Result<I::Socket, Errno>,
        sessions: usize,
        cx: &mut Context<I>,
    ) -> Option<(ServiceId, I::Socket)> {
        let key = token.slot as usize;
        let listener = self
            .listeners
            .get_mut(key)
            .filter(|listener| generation(listener.mail.id) == token.generation)?;
        let service = listener.mail.service;
        if let State::Retiring { .. } = listener.state {
            listener.state = State::Retiring { armed: false };
            return accepted.ok().map(|socket| (service, socket));
        }
        match accepted {
            Ok(socket) => {
                if listener.state == (State::Armed { troubled: true }) {
                    cx.report_surely(Report::AcceptResumed(listener.mail.id));
                }
                self.arm(key, sessions + 1, cx);
                Some((service, socket))
            }
            Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)) => {
                let id = listener.mail.id;
                listener.state = State::Retiring { armed: false };
                self.retiring += 1;
                cx.report_surely(Report::ListenerDead(id, std::io::Error::from(error).to_string()));
                None
            }
            // The connection died before we took it, or another worker has it: on to the next.
            Err(error) if is_connections_own(error) || error == Errno::AGAIN => {
                self.arm(key, sessions, cx);
                None
            }
            Err(error) => {
                let id = listener.mail.id;
                let is_want = is_want(error);
                let until = cx.now + PAUSE;
                listener.state = State::Paused { until, is_want };
                self.first_pause_over.get_or_insert(until);
                let reason = match is_want {
                    true => "out of descriptors or memory".to_owned(),
                    false => std::io::Error::from(error).to_string(),
                };
                cx.report_surely(Report::AcceptPaused(id, reason));
                None
            }
        }
    }

    /// Accepts again where a pause is over, if there is room for a connection again.
    pub(crate) fn on_time<I: Io>(&mut self, sessions: usize, cx: &mut Context<I>) {
        if self.first_pause_over.is_none_or(|at| at > cx.now) {
            return;
        }
        let has_room = cx.io.has_room();
        self.first_pause_over = None;
        let now = cx.now;
        let mut resumed = Vec::new();
        for (key, listener) in &mut self.listeners {
            match &mut listener.state {
                State::RetiringPaused => listener.state = State::Retiring { armed: false },
                State::Paused { until, is_want } if *until <= now && (has_room || !*is_want) => {
                    resumed.push((key, *is_want));
                }
                State::Paused { until, .. } => {
                    *until = (*until).max(now + PAUSE);
                    self.first_pause_over = Some(now + PAUSE);
                }
                State::Armed { .. } | State::Full | State::Retiring { .. } => {}
            }
        }
        for (key, is_want) in resumed {
            // There is room again; whether another trouble is over, the next accept will tell.
            if is_want && let Some(listener) = self.listeners.get(key) {
                cx.report_surely(Report::AcceptResumed(listener.mail.id));
            }
            self.arm(key, sessions, cx);
        }
    }

    /// When [`Listeners::on_time`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.first_pause_over
    }

    /// A slot has become free.
    pub(crate) fn on_slot_free<I: Io>(&mut self, sessions: usize, cx: &mut Context<I>) {
        if (sessions as u64) + 1 < u64::from(cx.shared.sessions_max) + u64::from(SPARE) {
            return;
        }
        let full: Vec<usize> = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.state == State::Full)
            .map(|(key, _)| key)
            .collect();
        for key in full {
            self.arm(key, sessions, cx);
        }
    }

    /// Lets go of a listener, once what is queued on it was taken.
    pub(crate) fn retire<I: Io>(&mut self, id: ListenerId, cx: &mut Context<I>) {
        let Some((key, listener)) = self.listeners.iter_mut().find(|(_, listener)| listener.mail.id == id)
        else {
            return cx.report_surely(Report::Retired(id));
        };
        let armed = match listener.state {
            State::Armed { .. } => true,
            State::Paused { .. } | State::Full => false,
            State::Retiring { .. } | State::RetiringPaused => return,
        };
        listener.state = State::Retiring { armed };
        self.retiring += 1;
        if armed && let Ok(slot) = u32::try_from(key) {
            let token = Token { kind: Kind::Accept, epoch: 0, generation: generation(id), slot };
            cx.io.cancel_accept(token, listener.mail.socket.as_fd());
        }
    }

    /// The next connection that waits on a retiring listener. A listener without one, and without an accept that
    /// could still bring one, is let go of.
    pub(crate) fn take_queued<I: Io>(&mut self, cx: &mut Context<I>) -> Option<(ServiceId, I::Socket)> {
        while self.retiring > 0 {
            let (key, listener) = self
                .listeners
                .iter_mut()
                .find(|(_, listener)| listener.state == State::Retiring { armed: false })?;
            match cx.io.accept_queued(listener.mail.socket.as_fd()) {
                Ok(socket) => return Some((listener.mail.service, socket)),
                Err(error) if is_want(error) => {
                    listener.state = State::RetiringPaused;
                    self.first_pause_over.get_or_insert(cx.now + PAUSE);
                }
                Err(error) if is_connections_own(error) => {}
                Err(_) => {
                    let listener = self.listeners.remove(key);
                    self.retiring -= 1;
                    cx.report_surely(Report::Retired(listener.mail.id));
                }
            }
        }
        None
    }
}

/// Whether the error is that of a connection which died in the queue: accept(2), "Error handling".
fn is_connections_own(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NONET
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
    )
}

/// Whether the kernel refused for want of something that others may give back.
fn is_want(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits tell neighbours apart")]
fn generation(id: ListenerId) -> u16 {
    id.0 as u16
}
