//! The io_uring driver: one ring, one thread.
//!
//! Owns the ring, the buffers it receives into, and everything that the kernel reads from until the turn is over.
//! The only file that builds submissions. Knows no session.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use rustix::io::Errno;

use super::buffer_ring::{BufferRing, GROUP};
use super::conduit::Conduits;
use super::probe;
use super::room::Rooms;
use super::send::Send;
use super::token::Token;
use super::{Chunks, Completion, Conduit, Connect, Interest, Io, Received, Way, socket};
use crate::driver::RingError;
use crate::snapshot::Address;

/// Set in the `user_data` of a send, whose other bits are its place in `sends`. No [`Token`] has a kind this high.
const SEND: u64 = 0xff << 56;

/// `user_data` of a cancel, whose own completion says nothing that the cancelled request's does not.
const CANCEL: u64 = 0xfe << 56;

/// Set in the `user_data` of a timer, whose other bits are its number.
const TIMER: u64 = 0xfd << NUMBER_BITS;
const NUMBER_BITS: u32 = 56;

/// `user_data` of the poll of the sockets that wait for room in [`Rooms`].
const ROOM: u64 = 0xfc << 56;

/// What ends a wait for room, other than that the peer sends nothing more.
const ROOM_EVENTS: i16 = libc::POLLOUT | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;

/// How many submissions may wait for the next turn before they are handed over early.
const SUBMISSIONS: u32 = 4096;

/// One ring.
pub(crate) struct Uring {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<BufferRing>,
    /// The sends of this turn: their memory belongs to the kernel until the submission has returned.
    sends: Vec<Send>,
    conduits: Conduits,
    rooms: Rooms,
    /// Sockets that are polled for room, by the poll's token.
    polls: BTreeMap<u64, RawFd>,
    /// Waits for room that were cancelled, to be told of in the next turn.
    over: Vec<Token>,
    /// What came back before its turn was over.
    finished: Vec<cqueue::Entry>,
    timer: Timer,
}

/// What ends a wait in which nothing else happens: a request of its own that lies in the kernel over many turns. A time
/// limit of each wait would be set and taken back each time: 7 % more processor time at 2,000 transactions a second on a
/// virtual machine, and no difference at full load.
struct Timer {
    /// Those that the kernel holds, by number, and when they go off: the next one is the last, for one is asked for only if
    /// it is due before all others.
    pending: Vec<(u64, Instant)>,
    /// The number of the newest.
    number: u64,
    /// Read by the kernel when the request is submitted: on the heap, for the driver may move until then.
    left: Box<Timespec>,
}

/// How long a submission waits for something to complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It hands over and returns.
    No,
    /// It runs what is due.
    Poll,
    /// Until there is something.
    One,
}

impl Uring {
    /// A ring of the calling thread, probed: a refusal names its likely cause. `conduits_max` is how many bytes all
    /// conduits may hold together.
    pub(crate) fn new(conduits_max: usize) -> Result<Self, RingError> {
        let ring = probe::ring(SUBMISSIONS)?;
        let buffers = BufferRing::register(&ring).map_err(probe::no_buffers)?;
        probe::enable(&ring)?;
        let rooms = Rooms::new().map_err(|error| probe::no_buffers(error.into()))?;
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            sends: Vec::new(),
            conduits: Conduits::new(conduits_max),
            rooms,
            polls: BTreeMap::new(),
            over: Vec::new(),
            finished: Vec::new(),
            timer: Timer { pending: Vec::new(), number: 0, left: Box::default() },
        })
    }

    fn push(&mut self, entry: &Entry) {
        loop {
            // SAFETY: what the entry points to lives until the submission has returned: a send's chunks and
            // message lie in `self.sends` until `turn` takes them out behind its submit loop; a timer's time lies in
            // `self.timer.left`, which is written only right before its entry is pushed, at most once a turn; no other
            // request that this file builds points to memory of ours.
            let pushed = unsafe { self.ring.submission().push(entry) };
            if pushed.is_ok() {
                return;
            }
            self.submit(Wait::No);
        }
    }

    fn push_poll(&mut self, user_data: u64, descriptor: RawFd, events: i16) {
        let entry = opcode::PollAdd::new(Fd(descriptor), u32::from(events.cast_unsigned())).build();
        self.push(&entry.user_data(user_data));
    }

    fn push_cancel(&mut self, token: Token) {
        let entry = opcode::AsyncCancel::new(token.pack()).build();
        self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(CANCEL));
    }

    /// Sees to it that a wait ends at `until`, or earlier.
    fn set_timer(&mut self, until: Instant) {
        if self.timer.pending.last().is_some_and(|&(_, at)| at <= until) {
            return;
        }
        self.timer.number += 1;
        self.timer.pending.push((self.timer.number, until));
        *self.timer.left = Timespec::from(until.saturating_duration_since(Instant::now()));
        let entry = opcode::Timeout::new(&raw const *self.timer.left).build();
        let user_data = TIMER | self.timer.number;
        self.push(&entry.user_data(user_data));
    }

    /// Hands over what waits.
    fn submit(&mut self, mut wait: Wait) {
        loop {
            let submitter = self.ring.submitter();
            let result = match wait {
                Wait::No => submitter.submit(),
                Wait::Poll => submitter.submit_with_args(1, &SubmitArgs::new().timespec(&Timespec::new())),
                Wait::One => submitter.submit_and_wait(1),
            };
            self.reap();
            if self.ring.submission().is_empty() {
                return;
            }
            // EBUSY: completions had overflowed, and have been reaped. EAGAIN: the kernel is short of memory for
            // a moment. Nothing was lost either way: the submissions are still in the queue.
            if let Err(error) = result
                && !matches!(
                    error.raw_os_error(),
                    Some(libc::EBUSY | libc::EAGAIN | libc::EINTR | libc::ETIME)
                )
            {
                // Nothing that a peer does leads here; the kernel has taken the ring away, and no session can go on.
                std::process::abort();
            }
            wait = Wait::No;
        }
    }

    fn reap(&mut self) {
        self.finished.extend(self.ring.completion());
    }

    fn on_send(&mut self, entry: &cqueue::Entry) {
        let index = usize::try_from(entry.user_data() & !SEND).unwrap_or(usize::MAX);
        if let Some(send) = self.sends.get_mut(index) {
            send.short = Some(match usize::try_from(entry.result()) {
                Ok(sent) => (sent, None),
                Err(_) if entry.result() == -libc::EAGAIN => (0, None),
                Err(_) => (0, Some(Errno::from_raw_os_error(-entry.result()))),
            });
        }
    }

    /// A poll for room is over: whether all that it has found is that the peer sends nothing more. Then the wait goes on
    /// elsewhere.
    fn still_waits(&mut self, token: Token, entry: &cqueue::Entry) -> bool {
        let Some(socket) = self.polls.remove(&token.pack()) else { return false };
        if entry.result() < 0 || entry.result() & i32::from(ROOM_EVENTS) != 0 {
            return false;
        }
        // SAFETY: whoever asked for the poll keeps its socket open until it is told that the poll is over (`Leg::is_joined`),
        // and it has not been told: the token was still in `polls`, and `cancel` takes it out.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        self.rooms.add(token, socket).is_ok()
    }

    fn completion(&mut self, token: Token, entry: &cqueue::Entry) -> Option<Completion<OwnedFd>> {
        use super::Kind;
        let result = usize::try_from(entry.result()).map_err(|_| Errno::from_raw_os_error(-entry.result()));
        Some(match token.kind {
            Kind::Accept => Completion::Accepted(
                token,
                result.map(|_| {
                    // SAFETY: a successful accept's result is a descriptor that was made for this completion, and
                    // completions are taken off the ring once: nobody else owns it.
                    unsafe { OwnedFd::from_raw_fd(entry.result()) }
                }),
            ),
            Kind::ClientReceive | Kind::TargetReceive => {
                let armed = cqueue::more(entry.flags());
                let received = match (result, cqueue::buffer_select(entry.flags())) {
                    (Ok(len), Some(index)) => {
                        let lease = self.buffers.lease(index, len);
                        if len == 0 { Received::End } else { Received::Data(lease) }
                    }
                    (Ok(_), None) => Received::End,
                    (Err(Errno::NOBUFS), _) => {
                        self.buffers.on_exhausted();
                        Received::NoBuffer
                    }
                    (Err(Errno::CANCELED), _) => Received::Cancelled,
                    (Err(error), _) => Received::Failed(error),
                };
                Completion::Received { token, received, armed }
            }
            Kind::ClientWritable | Kind::TargetWritable if self.still_waits(token, entry) => return None,
            Kind::Wake
            | Kind::ClientWritable
            | Kind::TargetWritable
            | Kind::ClientReadable
            | Kind::TargetReadable => Completion::Ready(token),
            Kind::ClientSend | Kind::TargetSend => return None,
        })
    }
}

impl Io for Uring {
    type Socket = OwnedFd;
    type Conduit = Conduit;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn connect(&mut self, address: &Address) -> Result<Connect<OwnedFd>, Errno> {
        socket::begin_connect(address)
    }

    fn accept_queued(&mut self, listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        socket::accept_queued(listener)
    }

    fn has_room(&mut self) -> bool {
        socket::has_room_for_a_file()
    }

    fn accept(&mut self, token: Token, listener: BorrowedFd<'_>) {
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut())
            .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
            .build();
        self.push(&entry.user_data(token.pack()));
    }

    fn cancel_accept(&mut self, token: Token, _: BorrowedFd<'_>) {
        self.push_cancel(token);
    }

    fn receive(&mut self, token: Token, socket: &OwnedFd) {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.push(&entry.user_data(token.pack()));
    }

    fn send(&mut self, token: Token, socket: &OwnedFd, chunks: Chunks) {
        let Some((send, entry)) = Send::new(token, socket, chunks) else { return };
        let user_data = SEND | self.sends.len() as u64;
        self.sends.push(send);
        self.push(&entry.flags(Flags::SKIP_SUCCESS).user_data(user_data));
    }

    fn poll(&mut self, token: Token, socket: &OwnedFd, interest: Interest) {
        let events = match interest {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
        };
        if interest == Interest::Writable {
            self.polls.insert(token.pack(), socket.as_raw_fd());
        }
        self.push_poll(token.pack(), socket.as_raw_fd(), events);
    }

    fn poll_wake(&mut self, token: Token, wake: BorrowedFd<'_>) {
        self.push_poll(token.pack(), wake.as_raw_fd(), libc::POLLIN);
    }

    fn cancel(&mut self, token: Token, socket: &OwnedFd) {
        self.polls.remove(&token.pack());
        if self.rooms.remove(token, socket.as_fd()) {
            self.over.push(token);
        } else {
            self.push_cancel(token);
        }
    }

    fn lend(&mut self, way: Way) -> Option<Conduit> {
        self.conduits.lend(way)
    }

    fn is_scarce(&self) -> bool {
        self.conduits.is_scarce()
    }

    fn fill(&mut self, socket: &OwnedFd, conduit: &mut Conduit, max: usize) -> Result<usize, Errno> {
        conduit.fill(socket, max)
    }

    fn drain(&mut self, conduit: &mut Conduit, held: usize, socket: &OwnedFd) -> Result<usize, Errno> {
        conduit.drain(held, socket)
    }

    fn take_back(&mut self, conduit: Conduit, held: usize) -> Vec<u8> {
        self.conduits.take_back(conduit, held)
    }

    fn turn(&mut self, until: Option<Instant>, completions: &mut Vec<Completion<OwnedFd>>) {
        self.buffers.provide();
        if let Some(until) = until {
            self.set_timer(until);
        }
        if let Some(set) = self.rooms.take_poll() {
            self.push_poll(ROOM, set, libc::POLLIN);
        }
        let may_wait = until.is_some() && self.finished.is_empty() && self.over.is_empty();
        self.submit(if may_wait { Wait::One } else { Wait::Poll });
        // Completions that found no room in the queue wait in the kernel. A failed send's may be among them, and it must
        // not be taken for one of the next turn's.
        while self.ring.submission().cq_overflow() {
            self.submit(Wait::Poll);
        }
        let finished = std::mem::take(&mut self.finished);
        for entry in finished.iter().filter(|entry| entry.user_data() & SEND == SEND) {
            self.on_send(entry);
        }
        // Every send was attempted inside the submission and is over: drop what it sent from, or give it back.
        for send in self.sends.drain(..) {
            if let Some((sent, error)) = send.short {
                completions.push(Completion::SendShort {
                    token: send.token,
                    sent,
                    error,
                    chunks: send.chunks,
                });
            }
        }
        completions.extend(self.over.drain(..).map(Completion::Ready));
        for entry in &finished {
            if entry.user_data() == ROOM {
                completions.extend(self.rooms.on_polled().into_iter().map(Completion::Ready));
            }
            if entry.user_data() >> NUMBER_BITS == TIMER >> NUMBER_BITS {
                self.timer.pending.retain(|(number, _)| TIMER | number != entry.user_data());
            }
            if let Some(token) = Token::unpack(entry.user_data())
                && let Some(completion) = self.completion(token, entry)
            {
                completions.push(completion);
            }
        }
        self.finished = finished;
        self.finished.clear();
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        BufferRing::unregister(&self.ring.submitter());
        // SAFETY: `ring` is not used after this line; `drop` runs once.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        // SAFETY: `buffers` is not used after this line. The kernel does not write to them any more: they were
        // unregistered above, and no request was given another address to receive to.
        unsafe { ManuallyDrop::drop(&mut self.buffers) };
    }
}

#[cfg(test)]
#[path = "uring_tests.rs"]
mod tests;
