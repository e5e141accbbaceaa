//! A network in memory, on virtual time: connections, queues of listeners, and what goes wrong with them.
//!
//! Owns every byte that is between two ends, and the clock. Knows neither drivers nor sessions. What an end sees is what
//! Linux shows it: data first, then an error once, then the end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rustix::io::Errno;

use super::random::Random;

/// One end of a connection.
pub(crate) type EndId = usize;

/// What goes wrong in a run, in a thousand times each.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A send takes less than there is room for.
    pub(crate) short_send: usize,
    /// Something that is ready is told later.
    pub(crate) late: usize,
    /// A receive ends by itself.
    pub(crate) receive_ends: usize,
    /// No buffer is free for a receive.
    pub(crate) no_buffer: usize,
    /// A poll comes back for nothing.
    pub(crate) vain_poll: usize,
    /// A conduit is not to be had.
    pub(crate) no_conduit: usize,
    /// An accept or a connect finds no descriptor left.
    pub(crate) no_descriptor: usize,
    /// A connect is refused, or nobody answers it.
    pub(crate) bad_connect: usize,
}

/// One end.
#[derive(Default)]
struct End {
    other: EndId,
    /// What was sent to this end and it has not read.
    inbox: VecDeque<u8>,
    inbox_max: usize,
    /// This end sends nothing more.
    finished: bool,
    closed: bool,
    /// What the next read or write of this end finds once the inbox is empty.
    error: Option<Errno>,
    /// The error was seen.
    dead: bool,
}

/// How a connect goes on.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Connected,
    Refused,
    /// Nobody ever answers.
    Silence,
}

/// Connections and time.
pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    /// How much may lie in an end's inbox: one of these.
    inboxes: &'static [usize],
    ends: Vec<End>,
    /// By listener: ends of ours that wait to be accepted.
    backlogs: BTreeMap<usize, VecDeque<EndId>>,
    /// Connects of ours that are not decided, and those decided badly.
    connecting: BTreeMap<EndId, (Duration, Outcome)>,
    /// Ends of ours that are open.
    pub(crate) open: usize,
    /// Counts everything that was read, written or ended.
    pub(crate) moves: u64,
}

impl Network {
    pub(crate) fn new(random: Random, faults: Faults, inboxes: &'static [usize]) -> Self {
        Self {
            now: Duration::ZERO,
            random,
            faults,
            inboxes,
            ends: Vec::new(),
            backlogs: BTreeMap::new(),
            connecting: BTreeMap::new(),
            open: 0,
            moves: 0,
        }
    }

    /// A new connection: our end, and the peer's.
    fn connection(&mut self) -> (EndId, EndId) {
        let (ours, theirs) = (self.ends.len(), self.ends.len() + 1);
        for other in [theirs, ours] {
            let inbox_max = self.random.pick(self.inboxes);
            self.ends.push(End { other, inbox_max, ..End::default() });
        }
        (ours, theirs)
    }

    /// A client connects to a listener of ours: the client's end.
    pub(crate) fn dial_us(&mut self, listener: usize) -> EndId {
        let (ours, theirs) = self.connection();
        self.backlogs.entry(listener).or_default().push_back(ours);
        theirs
    }

    /// The next connection in a listener's queue.
    pub(crate) fn accept(&mut self, listener: usize) -> Option<EndId> {
        let end = self.backlogs.get_mut(&listener)?.pop_front()?;
        self.open += 1;
        Some(end)
    }

    /// Whether somebody waits to be accepted.
    pub(crate) fn has_queued(&self, listener: usize) -> bool {
        self.backlogs.get(&listener).is_some_and(|queue| !queue.is_empty())
    }

    /// We connect to a server: our end, the server's, and when it is decided how.
    pub(crate) fn dial_server(&mut self, outcome: Outcome, at: Duration) -> (EndId, EndId) {
        let (ours, theirs) = self.connection();
        self.open += 1;
        if at > self.now || !matches!(outcome, Outcome::Connected) {
            self.connecting.insert(ours, (at, outcome));
        }
        (ours, theirs)
    }

    /// How a connect of ours was decided.
    pub(crate) fn connect_result(&mut self, end: EndId) -> Result<(), Errno> {
        match self.connecting.get(&end) {
            None => Ok(()),
            Some((at, Outcome::Connected)) if *at <= self.now => {
                self.connecting.remove(&end);
                Ok(())
            }
            Some((at, Outcome::Refused)) if *at <= self.now => Err(Errno::CONNREFUSED),
            Some(_) => Err(Errno::INPROGRESS),
        }
    }

    /// Whether `end` has something to be read: data, an error or the end.
    pub(crate) fn is_readable(&self, end: EndId) -> bool {
        let this = &self.ends[end];
        let other = &self.ends[this.other];
        let undecided = self.connecting.contains_key(&end);
        !undecided
            && (!this.inbox.is_empty() || this.error.is_some() || this.dead || other.finished || other.closed)
    }

    /// Whether a write to `end` would do something, or its connect is decided.
    pub(crate) fn is_writable(&self, end: EndId) -> bool {
        if let Some((at, outcome)) = self.connecting.get(&end) {
            return *at <= self.now && !matches!(outcome, Outcome::Silence);
        }
        let this = &self.ends[end];
        let other = &self.ends[this.other];
        this.error.is_some() || this.dead || other.closed || other.inbox.len() < other.inbox_max
    }

    /// When the next connect is decided.
    pub(crate) fn next_decision(&self) -> Option<Duration> {
        self.connecting.values().map(|(at, _)| *at).filter(|at| *at > self.now).min()
    }

    /// Takes at most `max` bytes: none is the end.
    pub(crate) fn read(&mut self, end: EndId, max: usize) -> Result<Vec<u8>, Errno> {
        let other = self.ends[end].other;
        let is_over = self.ends[other].finished || self.ends[other].closed;
        let this = &mut self.ends[end];
        if !this.inbox.is_empty() {
            let len = this.inbox.len().min(max);
            self.moves += 1;
            return Ok(this.inbox.drain(..len).collect());
        }
        if let Some(error) = this.error.take() {
            this.dead = true;
            return Err(error);
        }
        if this.dead || is_over { Ok(Vec::new()) } else { Err(Errno::AGAIN) }
    }

    /// How much the peer of `end` can still be sent.
    pub(crate) fn room(&self, end: EndId) -> usize {
        let other = &self.ends[self.ends[end].other];
        other.inbox_max.saturating_sub(other.inbox.len())
    }

    /// Sends what there is room for, at most `bytes`.
    pub(crate) fn write(&mut self, end: EndId, bytes: &[u8]) -> Result<usize, Errno> {
        let this = &mut self.ends[end];
        let other = this.other;
        if this.dead || this.finished {
            return Err(Errno::PIPE);
        }
        if let Some(error) = this.error.take() {
            this.dead = true;
            return Err(error);
        }
        if self.ends[other].closed {
            // TCP takes this one and learns from the answer that nobody is there; a Unix socket knows at once.
            if self.random.permille(500) {
                self.ends[end].error = Some(Errno::CONNRESET);
                return Ok(bytes.len());
            }
            self.ends[end].dead = true;
            return Err(Errno::PIPE);
        }
        let peer = &mut self.ends[other];
        let len = peer.inbox_max.saturating_sub(peer.inbox.len()).min(bytes.len());
        peer.inbox.extend(&bytes[..len]);
        self.moves += u64::from(len > 0);
        if len == 0 && !bytes.is_empty() { Err(Errno::AGAIN) } else { Ok(len) }
    }

    /// `end` sends nothing more.
    pub(crate) fn finish(&mut self, end: EndId) {
        self.ends[end].finished = true;
        self.moves += 1;
    }

    /// `end` is closed. With unread data that is a reset.
    pub(crate) fn close(&mut self, end: EndId) {
        let this = &mut self.ends[end];
        if std::mem::replace(&mut this.closed, true) {
            return;
        }
        self.moves += 1;
        let has_unread = !this.inbox.is_empty();
        let other = this.other;
        this.inbox.clear();
        if has_unread {
            self.ends[other].error.get_or_insert(Errno::CONNRESET);
        }
    }

    /// `end` is cut off: its peer sees a reset.
    pub(crate) fn reset(&mut self, end: EndId) {
        let other = self.ends[end].other;
        self.ends[end].closed = true;
        self.moves += 1;
        self.ends[end].inbox.clear();
        self.ends[other].error.get_or_insert(Errno::CONNRESET);
    }

    /// Our end is closed.
    pub(crate) fn close_ours(&mut self, end: EndId) {
        self.connecting.remove(&end);
        self.close(end);
        self.open -= 1;
    }
}
