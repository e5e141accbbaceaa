//! A socket of the epoll driver, and what is wanted of it.
//!
//! Owns the descriptor. The driver finds it by a key that goes when the socket does, so nothing that it knows of a socket can
//! be taken for knowledge of the next one of the same number. Makes no change of the set.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use protocol::Transport;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use slab::Slab;

use super::super::token::Token;
use super::super::{Chunks, Completion, Received, Socket};

/// There is something to read, or the peer will send nothing more.
pub(super) const READABLE: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);

/// There is room to write, or a connect has been decided.
pub(super) const WRITABLE: EventFlags = EventFlags::OUT;

/// A connection, or one that is about to be.
pub(crate) struct EpollSocket(Rc<Source>);

/// All sockets of one driver that have not been dropped.
#[derive(Default)]
pub(super) struct Sources(Rc<RefCell<Slab<Weak<Source>>>>);

/// A socket as the driver sees it.
pub(super) struct Source {
    descriptor: OwnedFd,
    key: usize,
    sources: Rc<RefCell<Slab<Weak<Source>>>>,
    pub(super) receive: Cell<Option<Token>>,
    pub(super) readable: Cell<Option<Token>>,
    pub(super) writable: Cell<Option<Token>>,
    /// What it is in the set with; nothing if it is not there.
    pub(super) registered: Cell<EventFlags>,
    /// Its key is among those that the driver will look at.
    pub(super) marked: Cell<bool>,
}

impl EpollSocket {
    /// A socket that is not in the set.
    pub(super) fn new(descriptor: OwnedFd, sources: &Sources) -> Self {
        let mut slots = sources.0.borrow_mut();
        let slot = slots.vacant_entry();
        let source = Rc::new(Source {
            descriptor,
            key: slot.key(),
            sources: Rc::clone(&sources.0),
            receive: Cell::default(),
            readable: Cell::default(),
            writable: Cell::default(),
            registered: Cell::new(EventFlags::empty()),
            marked: Cell::default(),
        });
        slot.insert(Rc::downgrade(&source));
        Self(source)
    }

    pub(super) fn source(&self) -> &Rc<Source> {
        &self.0
    }
}

impl Socket for EpollSocket {
    fn tune(&self) -> Transport {
        self.0.descriptor.tune()
    }

    fn connect_result(&self) -> Result<(), Errno> {
        self.0.descriptor.connect_result()
    }

    fn finish_writing(&self) {
        self.0.descriptor.finish_writing();
    }

    fn left(&self) -> usize {
        self.0.descriptor.left()
    }

    fn reset_on_close(&self) {
        self.0.descriptor.reset_on_close();
    }

    fn receive_at_once(&self, into: &mut [u8]) -> Result<usize, Errno> {
        self.0.descriptor.receive_at_once(into)
    }

    fn send_at_once(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.0.descriptor.send_at_once(pieces)
    }
}

impl Sources {
    /// The socket with this key, if there is one.
    pub(super) fn get(&self, key: usize) -> Option<Rc<Source>> {
        self.0.borrow().get(key).and_then(Weak::upgrade)
    }
}

impl Source {
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    /// What it should be in the set with.
    pub(super) fn wanted(&self) -> EventFlags {
        let mut wanted = EventFlags::empty();
        wanted.set(READABLE, self.receive.get().or(self.readable.get()).is_some());
        wanted.set(WRITABLE, self.writable.get().is_some());
        wanted
    }

    /// Ends what was asked for with `token`: its last completion. What has completed already is on its way, and is the
    /// last that is heard of it.
    pub(super) fn cancel(&self, token: Token) -> Option<Completion<EpollSocket>> {
        let end = |asked: &Cell<Option<Token>>| {
            let is_this = asked.get() == Some(token);
            is_this.then(|| asked.set(None)).is_some()
        };
        if end(&self.receive) {
            return Some(Completion::Received { token, received: Received::Cancelled, armed: false });
        }
        (end(&self.readable) || end(&self.writable)).then_some(Completion::Ready(token))
    }

    /// Ends everything that was asked for, since it cannot be waited for.
    pub(super) fn fail(&self, error: Errno) -> impl Iterator<Item = Completion<EpollSocket>> {
        let received = Received::Failed(error);
        let receive = self.receive.take().map(|token| Completion::Received { token, received, armed: false });
        let polls = [self.readable.take(), self.writable.take()].into_iter().flatten();
        receive.into_iter().chain(polls.map(Completion::Ready))
    }

    /// Gives the socket as much of `chunks` as it takes at once.
    pub(super) fn send(&self, chunks: &Chunks) -> Result<usize, Errno> {
        match chunks.as_slice() {
            [chunk] => self.descriptor.send_at_once(&[IoSlice::new(chunk.bytes())]),
            several => {
                let pieces: Vec<IoSlice<'_>> =
                    several.iter().map(|chunk| IoSlice::new(chunk.bytes())).collect();
                self.descriptor.send_at_once(&pieces)
            }
        }
    }
}

impl Drop for Source {
    /// The descriptor is closed right after this, and with it goes its entry in the set.
    fn drop(&mut self) {
        self.sources.borrow_mut().try_remove(self.key);
    }
}
