//! The listening sockets that a worker accepts on, shared with all other workers.
//!
//! Owns the accepts: one-shot, so that the kernel wakes one worker a connection and the load is even. A listener never
//! dies of a want of descriptors or memory: it pauses and tries again.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use slab::Slab;

use crate::context::Context;
use crate::io::socket::accept_queued;
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
}

struct Listener {
    mail: ListenerMail,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// An accept is with the kernel.
    Armed,
    /// The kernel had nothing to give; until then.
    Paused(Instant),
    /// All slots are taken.
    Full,
    /// To be let go of; an accept may still be with the kernel.
    Retiring { armed: bool },
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
        listener.state = State::Armed;
    }

    /// An accept is over: the connection that it brought.
    pub(crate) fn on_accepted<I: Io>(
        &mut self,
        token: Token,
        accepted: Result<OwnedFd, Errno>,
        sessions: usize,
        cx: &mut Context<I>,
    ) -> Option<(ServiceId, OwnedFd)> {
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
                self.arm(key, sessions + 1, cx);
                Some((service, socket))
            }
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                let id = listener.mail.id;
                listener.state = State::Paused(cx.now + PAUSE);
                cx.report(Report::AcceptPaused(id));
                None
            }
            Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)) => {
                let id = listener.mail.id;
                listener.state = State::Retiring { armed: false };
                cx.report(Report::ListenerDead(id, std::io::Error::from(error).to_string()));
                None
            }
            // The connection died before we took it (accept(2) lists such errors): on to the next.
            Err(_) => {
                self.arm(key, sessions, cx);
                None
            }
        }
    }

    /// Accepts again where a pause is over.
    pub(crate) fn on_time<I: Io>(&mut self, cx: &mut Context<I>) {
        if self.next_deadline().is_none_or(|at| at > cx.now) {
            return;
        }
        let due: Vec<usize> = self
            .listeners
            .iter()
            .filter(|(_, listener)| matches!(listener.state, State::Paused(until) if until <= cx.now))
            .map(|(key, _)| key)
            .collect();
        for key in due {
            if let Some(listener) = self.listeners.get(key) {
                cx.report(Report::AcceptResumed(listener.mail.id));
            }
            self.arm(key, 0, cx);
        }
    }

    /// When the next pause is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.listeners
            .iter()
            .filter_map(|(_, listener)| match listener.state {
                State::Paused(until) => Some(until),
                State::Armed | State::Full | State::Retiring { .. } => None,
            })
            .min()
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
            return cx.report(Report::Retired(id));
        };
        let armed = listener.state == State::Armed;
        listener.state = State::Retiring { armed };
        if armed && let Ok(slot) = u32::try_from(key) {
            cx.io.cancel(Token { kind: Kind::Accept, epoch: 0, generation: generation(id), slot });
        }
    }

    /// The next connection that waits on a retiring listener. A listener without one, and without an accept that
    /// could still bring one, is let go of.
    pub(crate) fn take_queued<I: Io>(&mut self, cx: &mut Context<I>) -> Option<(ServiceId, OwnedFd)> {
        loop {
            let (key, listener) = self
                .listeners
                .iter()
                .find(|(_, listener)| listener.state == State::Retiring { armed: false })?;
            if let Ok(socket) = accept_queued(listener.mail.socket.as_fd()) {
                return Some((listener.mail.service, socket));
            }
            let listener = self.listeners.remove(key);
            cx.report(Report::Retired(listener.mail.id));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits tell neighbours apart")]
fn generation(id: ListenerId) -> u16 {
    id.0 as u16
}
