//! Waiting for room in sockets whose peers send nothing more.
//!
//! Owns an epoll set for the ring driver. A ring's poll reports that a peer has finished (`POLLRDHUP`) whatever it was asked
//! for, at once and every time, so where the socket is full as well it would go round and round. An epoll set reports what
//! it was asked for, and the ring can poll the set.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::token::Token;

/// Events that are taken at once; more are reported the next time.
const EVENTS: usize = 64;

/// Who waits for room.
pub(super) struct Rooms {
    set: OwnedFd,
    /// Tokens of those who wait.
    waiting: BTreeSet<u64>,
    /// The ring polls the set.
    is_polled: bool,
    events: Vec<Event>,
}

impl Rooms {
    /// Nobody waits.
    pub(super) fn new() -> Result<Self, Errno> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { set, waiting: BTreeSet::new(), is_polled: false, events: Vec::with_capacity(EVENTS) })
    }

    /// Waits for room in `socket`, once.
    pub(super) fn add(&mut self, token: Token, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        let data = EventData::new_u64(token.pack());
        let flags = EventFlags::OUT | EventFlags::ONESHOT;
        match epoll::add(&self.set, socket, data, flags) {
            // It has waited before: its entry is still there, and reports nothing.
            Err(Errno::EXIST) => epoll::modify(&self.set, socket, data, flags)?,
            other => other?,
        }
        self.waiting.insert(token.pack());
        Ok(())
    }

    /// Waits no longer; whether it did.
    pub(super) fn remove(&mut self, token: Token, socket: BorrowedFd<'_>) -> bool {
        let waited = self.waiting.remove(&token.pack());
        if waited {
            // What is still reported of it finds nobody who waits.
            let _ = epoll::delete(&self.set, socket);
        }
        waited
    }

    /// The set, if it should be polled and is not.
    pub(super) fn take_poll(&mut self) -> Option<RawFd> {
        if self.is_polled || self.waiting.is_empty() {
            return None;
        }
        self.is_polled = true;
        Some(self.set.as_raw_fd())
    }

    /// The poll of the set is over: those whose waiting is, too.
    pub(super) fn on_polled(&mut self) -> Vec<Token> {
        self.is_polled = false;
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An error is no event; the set is polled again.
        let _ = epoll::wait(&self.set, spare_capacity(&mut self.events), Some(&at_once));
        let waiting = &mut self.waiting;
        let found = self.events.drain(..).map(|event| event.data.u64());
        found.filter(|token| waiting.remove(token)).filter_map(Token::unpack).collect()
    }
}
