//! The epoll driver, for where the kernel refuses a ring.
//!
//! Owns the epoll set, the buffers it receives into, and what was asked for. Makes itself the system calls that the ring
//! makes for the other driver. Knows no session.
//!
//! The set is level-triggered: what a bounded number of buffers did not take is reported again, and nothing is lost with an
//! event. A socket is in the set at most once, with what is wanted of it; what was wanted once and is not any more goes
//! when it is reported in vain, so that a receive costs no change of the set.

mod socket;
mod timer;

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::time::Timespec;

use self::socket::{EpollSocket, READABLE, Source, Sources, WRITABLE};
use self::timer::Timer;
use super::conduit::Conduits;
use super::pool::{BUFFER_LEN, Pool};
use super::socket::{accept_queued, begin_connect, has_room_for_a_file};
use super::token::{Kind, Token};
use super::{Chunks, Completion, Conduit, Connect, Interest, Io, Received, Way};
use crate::snapshot::Address;

/// Buffers that a worker has.
const BUFFERS: u16 = 512;

/// Events of a turn. More could not be received from anyway.
const EVENTS: usize = BUFFERS as usize;

/// Buffers that one socket may fill in a turn at most. Where many have something they share what there is, so that those who
/// come last find some, too.
const BUFFERS_A_TURN: usize = 8;

/// Set in the data of an event whose other bits are a source's key, and of the timer's. No [`Token`] has a kind this
/// high.
const SOURCE: u64 = 0xff << 56;
const TIMER: u64 = 0xfe << 56;
const TAG: u64 = 0xff << 56;

/// Always reported, asked for or not.
const TROUBLE: EventFlags = EventFlags::ERR.union(EventFlags::HUP);

/// One epoll set.
pub(crate) struct Epoll {
    set: OwnedFd,
    timer: Timer,
    pool: Pool,
    conduits: Conduits,
    sources: Sources,
    /// Keys of sources that may be in the set with something else than what is wanted of them: looked at when the next
    /// turn begins. A key that has a new owner by then is looked at in vain.
    changed: Vec<usize>,
    /// The sends of the next turn.
    sends: Vec<Send>,
    /// Listeners that a connection is wanted from, by the accept's token.
    accepts: BTreeMap<u64, RawFd>,
    wake: Option<Token>,
    /// What was cancelled, or could not be begun.
    over: Vec<Completion<EpollSocket>>,
    events: Vec<Event>,
    /// Buffers that each socket may fill in this turn.
    share: usize,
}

struct Send {
    source: Rc<Source>,
    token: Token,
    chunks: Chunks,
}

impl Epoll {
    /// An empty set. `conduits_max` is how many bytes all conduits may hold together.
    pub(crate) fn new(conduits_max: usize) -> Result<Self, Errno> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = Timer::new()?;
        // Edge-triggered: nobody reads the timer, and setting it anew arms the next edge.
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&set, timer.descriptor(), EventData::new_u64(TIMER), flags)?;
        Ok(Self {
            set,
            timer,
            pool: Pool::new(BUFFERS),
            conduits: Conduits::new(conduits_max),
            sources: Sources::default(),
            changed: Vec::new(),
            sends: Vec::new(),
            accepts: BTreeMap::new(),
            wake: None,
            over: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            share: BUFFERS_A_TURN,
        })
    }

    /// Makes a socket of `descriptor` that this driver knows.
    pub(super) fn adopt(&self, descriptor: OwnedFd) -> EpollSocket {
        EpollSocket::new(descriptor, &self.sources)
    }

    /// Looks at the source when the next turn begins.
    fn mark(&mut self, source: &Source) {
        if !source.marked.replace(true) {
            self.changed.push(source.key());
        }
    }

    /// Marks a source of which more is wanted than the set knows.
    fn want(&mut self, source: &Source) {
        if !source.registered.get().contains(source.wanted()) {
            self.mark(source);
        }
    }

    fn apply_changes(&mut self) {
        for index in 0..self.changed.len() {
            let Some(source) = self.sources.get(self.changed[index]) else { continue };
            source.marked.set(false);
            let (wanted, registered) = (source.wanted(), source.registered.get());
            let data = EventData::new_u64(SOURCE | source.key() as u64);
            let descriptor = source.descriptor();
            let done = match (registered.is_empty(), wanted.is_empty()) {
                _ if wanted == registered => continue,
                (true, _) => epoll::add(&self.set, descriptor, data, wanted),
                // Out of the set altogether: TROUBLE would be reported for ever.
                (false, true) => epoll::delete(&self.set, descriptor),
                (false, false) => epoll::modify(&self.set, descriptor, data, wanted),
            };
            match done {
                Ok(()) => source.registered.set(wanted),
                // For want of memory, or of watches (`fs.epoll.max_user_watches`).
                Err(error) => self.over.extend(source.fail(error)),
            }
        }
        self.changed.clear();
    }

    /// Makes the sends of this turn; those that were not whole come back.
    fn send_all(&mut self, completions: &mut Vec<Completion<EpollSocket>>) {
        for Send { source, token, chunks } in self.sends.drain(..) {
            let whole: usize = chunks.as_slice().iter().map(|chunk| chunk.bytes().len()).sum();
            let (sent, error) = match source.send(&chunks) {
                Ok(sent) if sent == whole => continue,
                Ok(sent) => (sent, None),
                Err(Errno::AGAIN | Errno::INTR) => (0, None),
                Err(error) => (0, Some(error)),
            };
            completions.push(Completion::SendShort { token, sent, error, chunks });
        }
    }

    /// Waits for events: until the timer goes off, if that may be.
    fn wait(&mut self, may_wait: bool) {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let limit = if may_wait { None } else { Some(&at_once) };
        match epoll::wait(&self.set, spare_capacity(&mut self.events), limit) {
            Ok(_) | Err(Errno::INTR) => {}
            // Nothing that a peer does leads here; without its set no session can go on.
            Err(_) => std::process::abort(),
        }
    }

    fn on_event(&mut self, event: Event, completions: &mut Vec<Completion<EpollSocket>>) {
        let data = event.data.u64();
        if data & TAG == SOURCE {
            let key = usize::try_from(data & !TAG).unwrap_or(usize::MAX);
            if let Some(source) = self.sources.get(key) {
                self.on_ready(&source, event.flags, completions);
            }
        } else if data == TIMER {
            self.timer.on_expired();
        } else if let Some(token) = Token::unpack(data) {
            if token.kind == Kind::Accept {
                self.on_connection(token, completions);
            } else if self.wake.take_if(|asked| *asked == token).is_some() {
                completions.push(Completion::Ready(token));
            }
        }
    }

    fn on_ready(
        &mut self,
        source: &Source,
        flags: EventFlags,
        completions: &mut Vec<Completion<EpollSocket>>,
    ) {
        let wanted = source.wanted();
        if wanted.is_empty() || !flags.difference(wanted | TROUBLE).is_empty() {
            // Reported in vain. It may be wanted again before the next turn.
            self.mark(source);
        }
        if flags.intersects(WRITABLE | TROUBLE)
            && let Some(token) = source.writable.take()
        {
            completions.push(Completion::Ready(token));
            // There is room most of the time: it would be reported in vain at once.
            self.mark(source);
        }
        if !flags.intersects(READABLE | TROUBLE) {
            return;
        }
        if let Some(token) = source.readable.take() {
            completions.push(Completion::Ready(token));
        }
        if let Some(token) = source.receive.get() {
            self.receive_from(source, token, flags, completions);
        }
    }

    fn receive_from(
        &mut self,
        source: &Source,
        token: Token,
        flags: EventFlags,
        completions: &mut Vec<Completion<EpollSocket>>,
    ) {
        // Behind the last byte there may be an end: told of in this turn, it saves the next one.
        let may_end = flags.intersects(EventFlags::RDHUP | TROUBLE);
        let mut completed =
            |received, armed| completions.push(Completion::Received { token, received, armed });
        for _ in 0..self.share {
            let filled = self.pool.fill(|buffer| {
                recv(source.descriptor(), buffer, RecvFlags::DONTWAIT).map(|(received, _)| received)
            });
            let last = match filled {
                Some(Ok(lease)) if !lease.is_empty() => {
                    let is_all = lease.len() < BUFFER_LEN;
                    completed(Received::Data(lease), true);
                    if is_all && !may_end {
                        return;
                    }
                    continue;
                }
                Some(Err(Errno::AGAIN | Errno::INTR)) => return,
                None => {
                    source.receive.set(None);
                    return completed(Received::NoBuffer, false);
                }
                Some(Ok(_)) => Received::End,
                Some(Err(error)) => Received::Failed(error),
            };
            source.receive.set(None);
            completed(last, false);
            // An end is reported for ever.
            return self.mark(source);
        }
    }

    /// A connection may lie in a listener's queue.
    fn on_connection(&mut self, token: Token, completions: &mut Vec<Completion<EpollSocket>>) {
        let Some(listener) = self.accepts.get(&token.pack()) else { return };
        // SAFETY: the listener stays open until its accept's completion has come (`Listeners` keeps its `Arc` until then),
        // and `end_accept`, which every completion passes, takes it out of `accepts`.
        let listener = unsafe { BorrowedFd::borrow_raw(*listener) };
        let accepted = match accept_queued(listener) {
            // Another worker was faster: on to the next.
            Err(Errno::AGAIN | Errno::INTR) => return,
            accepted => accepted.map(|descriptor| self.adopt(descriptor)),
        };
        self.end_accept(token, listener);
        completions.push(Completion::Accepted(token, accepted));
    }

    /// Takes a listener out of the set: an exclusive entry cannot be changed, and the kernel wakes the one whose entry is
    /// the oldest of those that sleep, so that a new entry for each accept goes round among the workers.
    fn end_accept(&mut self, token: Token, listener: BorrowedFd<'_>) -> bool {
        let was_begun = self.accepts.remove(&token.pack()).is_some();
        if was_begun {
            let _ = epoll::delete(&self.set, listener);
        }
        was_begun
    }
}

impl Io for Epoll {
    type Socket = EpollSocket;
    type Conduit = Conduit;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn connect(&mut self, address: &Address) -> Result<Connect<EpollSocket>, Errno> {
        Ok(match begin_connect(address)? {
            Connect::Done(descriptor) => Connect::Done(self.adopt(descriptor)),
            Connect::InProgress(descriptor) => Connect::InProgress(self.adopt(descriptor)),
            Connect::Busy => Connect::Busy,
        })
    }

    fn accept_queued(&mut self, listener: BorrowedFd<'_>) -> Result<EpollSocket, Errno> {
        accept_queued(listener).map(|descriptor| self.adopt(descriptor))
    }

    fn has_room(&mut self) -> bool {
        has_room_for_a_file()
    }

    fn accept(&mut self, token: Token, listener: BorrowedFd<'_>) {
        let data = EventData::new_u64(token.pack());
        match epoll::add(&self.set, listener, data, EventFlags::IN | EventFlags::EXCLUSIVE) {
            Ok(()) => drop(self.accepts.insert(token.pack(), listener.as_raw_fd())),
            Err(error) => self.over.push(Completion::Accepted(token, Err(error))),
        }
    }

    fn cancel_accept(&mut self, token: Token, listener: BorrowedFd<'_>) {
        if self.end_accept(token, listener) {
            self.over.push(Completion::Accepted(token, Err(Errno::CANCELED)));
        }
    }

    fn receive(&mut self, token: Token, socket: &EpollSocket) {
        socket.source().receive.set(Some(token));
        self.want(socket.source());
    }

    fn send(&mut self, token: Token, socket: &EpollSocket, chunks: Chunks) {
        if !chunks.is_empty() {
            self.sends.push(Send { source: Rc::clone(socket.source()), token, chunks });
        }
    }

    fn poll(&mut self, token: Token, socket: &EpollSocket, interest: Interest) {
        let source = socket.source();
        match interest {
            Interest::Readable => source.readable.set(Some(token)),
            Interest::Writable => source.writable.set(Some(token)),
        }
        self.want(source);
    }

    fn poll_wake(&mut self, token: Token, wake: BorrowedFd<'_>) {
        let (data, flags) = (EventData::new_u64(token.pack()), EventFlags::IN | EventFlags::ONESHOT);
        let asked = match epoll::modify(&self.set, wake, data, flags) {
            Err(Errno::NOENT) => epoll::add(&self.set, wake, data, flags),
            done => done,
        };
        match asked {
            Ok(()) => self.wake = Some(token),
            Err(_) => self.over.push(Completion::Ready(token)),
        }
    }

    fn cancel(&mut self, token: Token, socket: &EpollSocket) {
        self.over.extend(socket.source().cancel(token));
    }

    fn lend(&mut self, way: Way) -> Option<Conduit> {
        self.conduits.lend(way)
    }

    fn is_scarce(&self) -> bool {
        self.conduits.is_scarce()
    }

    fn fill(&mut self, socket: &EpollSocket, conduit: &mut Conduit, max: usize) -> Result<usize, Errno> {
        conduit.fill(socket.source().descriptor(), max)
    }

    fn drain(&mut self, conduit: &mut Conduit, held: usize, socket: &EpollSocket) -> Result<usize, Errno> {
        conduit.drain(held, socket.source().descriptor())
    }

    fn take_back(&mut self, conduit: Conduit, held: usize) -> Vec<u8> {
        self.conduits.take_back(conduit, held)
    }

    fn turn(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<EpollSocket>>) {
        let before = completions.len();
        self.send_all(completions);
        self.apply_changes();
        completions.append(&mut self.over);
        let may_wait = completions.len() == before && until.is_some_and(|until| self.timer.set(until));
        self.wait(may_wait);
        let mut events = std::mem::take(&mut self.events);
        self.share = (self.pool.free() / events.len().max(1)).clamp(1, BUFFERS_A_TURN);
        for event in events.drain(..) {
            self.on_event(event, completions);
        }
        self.events = events;
    }
}

#[cfg(test)]
mod tests;
