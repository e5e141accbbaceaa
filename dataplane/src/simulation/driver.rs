//! The driver of a simulated worker: the promises of [`Io`], kept as badly as they may be.
//!
//! Owns what a kernel would hold: requests, sends of a turn, conduits. Panics when a session does what no session may:
//! closing a socket that a request still names, or asking twice for the same.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use protocol::Transport;
use rustix::io::Errno;

use super::network::{EndId, Outcome};
use super::request::{Held, Request};
use super::socket::SimulatedSocket;
use super::town::Town;
use crate::io::pool::Pool;
use crate::io::{Chunks, Completion, Connect, Interest, Io, Kind, Token, Way};
use crate::snapshot::Address;

/// Conduits that there are.
const CONDUITS: usize = 4;

/// Receive buffers that there are.
const BUFFERS: u16 = 24;

/// What bulk data goes through.
pub(crate) struct SimulatedConduit(VecDeque<u8>);

/// A driver of one worker.
pub(crate) struct Simulated {
    pub(crate) town: Rc<RefCell<Town>>,
    base: Instant,
    pub(super) pool: Pool,
    held: BTreeMap<(u8, u32, u16, u8), (Token, Held)>,
    /// Ends that a request names.
    named: Rc<RefCell<BTreeSet<EndId>>>,
    sends: Vec<(Token, EndId, Chunks)>,
    pub(crate) lent: usize,
}

fn key(token: Token) -> (u8, u32, u16, u8) {
    (token.kind as u8, token.slot, token.generation, token.epoch)
}

impl Simulated {
    pub(crate) fn new(town: Rc<RefCell<Town>>, base: Instant) -> Self {
        Self {
            town,
            base,
            pool: Pool::new(BUFFERS),
            held: BTreeMap::new(),
            named: Rc::default(),
            sends: Vec::new(),
            lent: 0,
        }
    }

    /// Buffers that nobody has.
    pub(crate) fn has_all_buffers(&self) -> bool {
        self.pool.free() == usize::from(BUFFERS)
    }

    pub(super) fn socket(&self, end: EndId, transport: Transport) -> SimulatedSocket {
        SimulatedSocket { end, transport, town: Rc::clone(&self.town), held: Rc::clone(&self.named) }
    }

    fn hold(&mut self, token: Token, request: Request, of: usize) {
        let before = self.held.insert(key(token), (token, Held { request, of, cancelled: false }));
        assert!(before.is_none(), "{token:?} was asked for twice");
        self.name_ends();
    }

    fn name_ends(&mut self) {
        let of = |(_, held): &(Token, Held)| match held.request {
            Request::Accept => None,
            Request::Receive | Request::Poll(_) => Some(held.of),
        };
        *self.named.borrow_mut() = self.held.values().filter_map(of).collect();
    }

    fn is_anything_ready(&self) -> bool {
        let network = &self.town.borrow().network;
        self.held.values().any(|(_, held)| {
            held.cancelled
                || match held.request {
                    Request::Receive | Request::Poll(Interest::Readable) => network.is_readable(held.of),
                    Request::Poll(Interest::Writable) => network.is_writable(held.of),
                    Request::Accept => network.has_queued(held.of),
                }
        })
    }

    fn send_all(&mut self, completions: &mut Vec<Completion<SimulatedSocket>>) {
        for (token, end, chunks) in std::mem::take(&mut self.sends) {
            let mut town = self.town.borrow_mut();
            let network = &mut town.network;
            let total: usize = chunks.as_slice().iter().map(|chunk| chunk.bytes().len()).sum();
            let mut offered = total;
            if network.random.permille(network.faults.short_send) {
                offered = network.random.below(offered + 1);
            }
            // What there is no room for is not even looked at, but that something was offered.
            offered = offered.min(network.room(end) + 1);
            let mut bytes = Vec::with_capacity(offered);
            for chunk in chunks.as_slice() {
                let chunk = chunk.bytes();
                bytes.extend_from_slice(&chunk[..chunk.len().min(offered - bytes.len())]);
            }
            let (sent, error) = match network.write(end, &bytes) {
                Ok(sent) => (sent, None),
                Err(Errno::AGAIN) => (0, None),
                Err(error) => (0, Some(error)),
            };
            if sent < total || error.is_some() {
                completions.push(Completion::SendShort { token, sent, error, chunks });
            }
        }
    }

    /// What is ready, in any order, some of it not yet.
    fn collect(&mut self, completions: &mut Vec<Completion<SimulatedSocket>>) {
        let mut keys: Vec<_> = self.held.keys().copied().collect();
        self.town.borrow_mut().network.random.shuffle(&mut keys);
        for key in keys {
            let late = {
                let network = &mut self.town.borrow_mut().network;
                network.random.permille(network.faults.late)
            };
            let Some((token, held)) = self.held.get(&key) else { continue };
            if late {
                continue;
            }
            let (token, of, cancelled) = (*token, held.of, held.cancelled);
            let is_over = match held.request {
                Request::Receive => self.receive_now(token, of, cancelled, completions),
                Request::Poll(interest) => self.poll_now(token, of, interest, cancelled, completions),
                Request::Accept => self.accept_now(token, of, cancelled, completions),
            };
            if is_over {
                self.held.remove(&key);
            }
        }
        self.name_ends();
    }
}

impl Io for Simulated {
    type Socket = SimulatedSocket;
    type Conduit = SimulatedConduit;

    fn now(&self) -> Instant {
        self.base + self.town.borrow().network.now
    }

    fn connect(&mut self, address: &Address) -> Result<Connect<SimulatedSocket>, Errno> {
        let mut town = self.town.borrow_mut();
        let network = &mut town.network;
        let transport = match address {
            Address::Tcp(_) => Transport::Tcp,
            Address::Unix(_) => Transport::Unix,
        };
        if network.random.permille(network.faults.no_descriptor) {
            return Err(Errno::MFILE);
        }
        let is_bad = network.random.permille(network.faults.bad_connect);
        if transport == Transport::Unix {
            if is_bad {
                let refusals = [None, Some(Errno::CONNREFUSED), Some(Errno::NOENT)];
                return network.random.pick(&refusals).map_or(Ok(Connect::Busy), Err);
            }
            let now = network.now;
            let (ours, theirs) = network.dial_server(Outcome::Connected, now);
            town.serve(theirs);
            drop(town);
            return Ok(Connect::Done(self.socket(ours, transport)));
        }
        let at = network.now + Duration::from_micros(network.random.below(5000) as u64 + 1);
        let outcome = match is_bad {
            false => Outcome::Connected,
            true => network.random.pick(&[Outcome::Refused, Outcome::Silence]),
        };
        let (ours, theirs) = network.dial_server(outcome, at);
        if matches!(outcome, Outcome::Connected) {
            town.serve(theirs);
        }
        drop(town);
        Ok(Connect::InProgress(self.socket(ours, transport)))
    }

    fn accept_queued(&mut self, listener: BorrowedFd<'_>) -> Result<SimulatedSocket, Errno> {
        let mut town = self.town.borrow_mut();
        let listener = town.listener(listener.as_raw_fd());
        let transport = if listener.is_multiple_of(2) { Transport::Tcp } else { Transport::Unix };
        let accepted = town.network.accept(listener).ok_or(Errno::AGAIN);
        drop(town);
        accepted.map(|end| self.socket(end, transport))
    }

    fn has_room(&mut self) -> bool {
        self.town.borrow_mut().network.random.permille(700)
    }

    fn accept(&mut self, token: Token, listener: BorrowedFd<'_>) {
        let listener = self.town.borrow().listener(listener.as_raw_fd());
        self.hold(token, Request::Accept, listener);
    }

    fn cancel_accept(&mut self, token: Token, _: BorrowedFd<'_>) {
        self.held.entry(key(token)).and_modify(|(_, held)| held.cancelled = true);
    }

    fn receive(&mut self, token: Token, socket: &SimulatedSocket) {
        self.hold(token, Request::Receive, socket.end);
    }

    fn send(&mut self, token: Token, socket: &SimulatedSocket, chunks: Chunks) {
        assert!(
            self.sends.iter().all(|(_, end, _)| *end != socket.end),
            "two sends on one socket interleave"
        );
        self.sends.push((token, socket.end, chunks));
    }

    fn poll(&mut self, token: Token, socket: &SimulatedSocket, interest: Interest) {
        self.hold(token, Request::Poll(interest), socket.end);
    }

    fn poll_wake(&mut self, token: Token, _: BorrowedFd<'_>) {
        // The town tells a worker its mail between rounds, so nobody has to wake it.
        assert_eq!(token.kind, Kind::Wake);
    }

    fn cancel(&mut self, token: Token, _: &SimulatedSocket) {
        self.held.entry(key(token)).and_modify(|(_, held)| held.cancelled = true);
    }

    fn lend(&mut self, _: Way) -> Option<SimulatedConduit> {
        let network = &mut self.town.borrow_mut().network;
        if self.lent >= CONDUITS || network.random.permille(network.faults.no_conduit) {
            return None;
        }
        self.lent += 1;
        Some(SimulatedConduit(VecDeque::new()))
    }

    fn is_scarce(&self) -> bool {
        self.lent * 4 > CONDUITS * 3
    }

    fn fill(
        &mut self,
        socket: &SimulatedSocket,
        conduit: &mut SimulatedConduit,
        max: usize,
    ) -> Result<usize, Errno> {
        assert!(conduit.0.is_empty(), "only an empty conduit is filled");
        assert!(
            !self
                .held
                .values()
                .any(|(_, held)| held.of == socket.end && matches!(held.request, Request::Receive)),
            "a receive and a splice take turns at the same bytes"
        );
        let network = &mut self.town.borrow_mut().network;
        let max = network.random.between(1, max);
        let bytes = network.read(socket.end, max)?;
        conduit.0.extend(&bytes);
        Ok(bytes.len())
    }

    fn drain(
        &mut self,
        conduit: &mut SimulatedConduit,
        held: usize,
        socket: &SimulatedSocket,
    ) -> Result<usize, Errno> {
        assert_eq!(conduit.0.len(), held, "the session knows what it holds");
        let network = &mut self.town.borrow_mut().network;
        let max = network.random.between(1, held);
        let drained = network.write(socket.end, &conduit.0.make_contiguous()[..max])?;
        conduit.0.drain(..drained);
        Ok(drained)
    }

    fn take_back(&mut self, conduit: SimulatedConduit, held: usize) -> Vec<u8> {
        assert_eq!(conduit.0.len(), held, "the session knows what it holds");
        self.lent -= 1;
        conduit.0.into()
    }

    fn turn(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<SimulatedSocket>>) {
        self.send_all(completions);
        // Time passes whatever happens: a poll in vain, again and again, must not keep those waiting who rest.
        {
            let network = &mut self.town.borrow_mut().network;
            network.now += Duration::from_micros(network.random.between(1, 100) as u64);
        }
        let until = until.map(|until| until.saturating_duration_since(self.base));
        loop {
            let has_moved = self.town.borrow_mut().act();
            let before = completions.len();
            self.collect(completions);
            let Some(until) = until else { return };
            let is_lively = has_moved || self.is_anything_ready();
            let mut town = self.town.borrow_mut();
            let now = town.network.now;
            if completions.len() > before || now >= until || town.is_control_due() {
                return;
            }
            let next = [town.next_event(), town.network.next_decision()].into_iter().flatten().min();
            // What is told late is told in a moment.
            let soon = is_lively.then_some(now + Duration::from_micros(50));
            town.network.now = [next, soon, Some(until)].into_iter().flatten().min().unwrap_or(until);
        }
    }
}
