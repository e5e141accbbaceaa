//! What bulk data goes through between one socket and another, without a stop in our memory where that pays.
//!
//! Owns the pipes and large buffers of one worker, and the bound on them. Knows neither sessions nor gears.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use protocol::Transport;
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::Socket;

/// What a pipe should hold. The kernel counts slots, not bytes: a slot takes one piece of what was received, which is a
/// page or a few, or only a few bytes of one.
const PIPE_LEN: usize = 1024 * 1024;

/// A smaller pipe costs more than copying. A user without privileges gets pipes of 8 KiB once it has many (pipe(7),
/// `pipe-user-pages-soft`).
const PIPE_LEN_MIN: usize = 64 * 1024;

/// A large buffer, where splice loses against a copy.
const BUFFER_LEN: usize = 256 * 1024;

/// Large buffers that are kept for the next use.
const BUFFERS_FREE_MAX: usize = 2;

/// How data gets from one socket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through a pipe: pages change hands and nothing is copied.
    Splice,
    /// Through a large buffer.
    Copy,
}

impl Way {
    /// The cheaper way between sockets of these kinds.
    pub(crate) fn between(from: Transport, to: Transport) -> Self {
        match (from, to) {
            // A Unix socket's data lies in many small pieces, each of which TCP would have to carry by itself: splice
            // took 281 to 721 ms of processor time a GB where copies took 108 to 365 (Linux 6.18).
            (Transport::Unix, Transport::Tcp) => Self::Copy,
            _ => Self::Splice,
        }
    }
}

/// Lent to one direction of a session as long as there is something in it.
pub(crate) enum Conduit {
    /// A pipe.
    Pipe(Pipe),
    /// A large buffer.
    Buffer(Buffer),
}

/// A pipe and what fits in.
pub(crate) struct Pipe {
    entry: OwnedFd,
    exit: OwnedFd,
    capacity: usize,
}

/// A large buffer and what of it is still to be sent: `start <= end <= memory.len()`.
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Conduit {
    fn cost(&self) -> usize {
        match self {
            Self::Pipe(pipe) => pipe.capacity,
            Self::Buffer(_) => BUFFER_LEN,
        }
    }

    /// Takes what `socket` has, at most `max` and what fits. Only into an empty conduit: then "would block" means that the socket
    /// has nothing, and 0 that its peer will send nothing more.
    pub(super) fn fill(&mut self, socket: &OwnedFd, max: usize) -> Result<usize, Errno> {
        match self {
            Self::Pipe(pipe) => splice(socket, None, &pipe.entry, None, max.min(pipe.capacity), FLAGS),
            Self::Buffer(buffer) => {
                let max = max.min(BUFFER_LEN);
                let received = socket.receive_at_once(&mut buffer.memory[..max])?;
                (buffer.start, buffer.end) = (0, received);
                Ok(received)
            }
        }
    }

    /// Gives `socket` what it takes of the `held` bytes that are in the conduit.
    pub(super) fn drain(&mut self, held: usize, socket: &OwnedFd) -> Result<usize, Errno> {
        match self {
            Self::Pipe(pipe) => splice(&pipe.exit, None, socket, None, held, FLAGS),
            Self::Buffer(buffer) => {
                let end = buffer.end.min(buffer.start + held);
                let sent = socket.send_at_once(&[IoSlice::new(&buffer.memory[buffer.start..end])])?;
                buffer.start += sent;
                Ok(sent)
            }
        }
    }
}

impl Conduit {
    fn unload(&mut self, held: usize) -> Vec<u8> {
        let mut rest = vec![0; held];
        let mut len = 0;
        match self {
            Self::Pipe(pipe) => {
                while len < held
                    && let Ok(n @ 1..) = read(&pipe.exit, &mut rest[len..])
                {
                    len += n;
                }
            }
            Self::Buffer(buffer) => {
                let left = &buffer.memory[buffer.start..buffer.end];
                len = left.len().min(held);
                rest[..len].copy_from_slice(&left[..len]);
                buffer.start = buffer.end;
            }
        }
        rest.truncate(len);
        rest
    }
}

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// All conduits of one worker.
pub(super) struct Conduits {
    free: Vec<Conduit>,
    /// What those in use and those in `free` may hold together: `total <= total_max`.
    total: usize,
    total_max: usize,
    /// What a pipe is to hold: less than [`PIPE_LEN`] where many workers share what there may be.
    pipe_len: usize,
}

impl Conduits {
    /// None yet; at most `total_max` bytes of them at any time.
    pub(super) fn new(total_max: usize) -> Self {
        let pipe_len = (total_max / 4).clamp(PIPE_LEN_MIN, PIPE_LEN);
        Self { free: Vec::new(), total: 0, total_max, pipe_len }
    }

    /// An empty conduit, or `None` if all are in use or the kernel gives none.
    pub(super) fn lend(&mut self, way: Way) -> Option<Conduit> {
        let is_of_way = |conduit: &Conduit| match conduit {
            Conduit::Pipe(_) => way == Way::Splice,
            Conduit::Buffer(_) => way == Way::Copy,
        };
        if let Some(index) = self.free.iter().rposition(is_of_way) {
            return Some(self.free.swap_remove(index));
        }
        let cost = if way == Way::Splice { self.pipe_len } else { BUFFER_LEN };
        while self.total + cost > self.total_max {
            self.total -= self.free.pop()?.cost();
        }
        let made = match way {
            Way::Splice => Conduit::Pipe(Pipe::open(self.pipe_len)?),
            Way::Copy => {
                Conduit::Buffer(Buffer { memory: vec![0; BUFFER_LEN].into_boxed_slice(), start: 0, end: 0 })
            }
        };
        self.total += made.cost();
        Some(made)
    }

    /// Whether less than a quarter may still be lent.
    pub(super) fn is_scarce(&self) -> bool {
        let free: usize = self.free.iter().map(Conduit::cost).sum();
        self.total - free > self.total_max / 4 * 3
    }

    /// Takes a conduit back, and gives the `held` bytes that are in it.
    pub(super) fn take_back(&mut self, mut conduit: Conduit, held: usize) -> Vec<u8> {
        let rest = conduit.unload(held);
        let buffers = self.free.iter().filter(|free| matches!(free, Conduit::Buffer(_))).count();
        let is_spare = matches!(conduit, Conduit::Buffer(_)) && buffers >= BUFFERS_FREE_MAX;
        // A pipe that did not give back all that went in is not to be trusted.
        if is_spare || rest.len() != held {
            self.total -= conduit.cost();
        } else {
            self.free.push(conduit);
        }
        rest
    }
}

impl Pipe {
    fn open(len: usize) -> Option<Self> {
        let (exit, entry) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let mut wanted = len;
        while wanted >= PIPE_LEN_MIN {
            if let Ok(capacity) = fcntl_setpipe_size(&entry, wanted) {
                return Some(Self { entry, exit, capacity });
            }
            wanted /= 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::io::{Errno, read, write};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::{BUFFER_LEN, Conduits, PIPE_LEN, Way};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("descriptors are left")
    }

    #[test]
    fn what_goes_in_comes_out_either_way() {
        for way in [Way::Splice, Way::Copy] {
            let (from, ours) = pair();
            let (to, theirs) = pair();
            let mut conduits = Conduits::new(4 * PIPE_LEN);
            let mut conduit = conduits.lend(way).expect("none is lent");
            assert_eq!(conduit.fill(&ours, PIPE_LEN), Err(Errno::AGAIN), "nothing has come");
            write(&from, b"one two three").expect("there is room");
            assert_eq!(conduit.fill(&ours, 10), Ok(10));
            assert_eq!(conduit.drain(4, &to), Ok(4));
            let mut received = [0; 4];
            assert_eq!(read(&theirs, &mut received), Ok(4));
            assert_eq!(&received, b"one ");
            assert_eq!(conduits.take_back(conduit, 6), b"two th");
            let mut conduit = conduits.lend(way).expect("it was given back");
            assert_eq!(conduit.fill(&ours, PIPE_LEN), Ok(3));
            assert_eq!(conduits.take_back(conduit, 3), b"ree", "nothing was left of the last time");
            drop(from);
            let mut conduit = conduits.lend(way).expect("it was given back");
            assert_eq!(conduit.fill(&ours, PIPE_LEN), Ok(0), "the end");
        }
    }

    #[test]
    fn no_more_are_lent_than_may_be_and_one_kind_makes_way_for_the_other() {
        let mut conduits = Conduits::new(4 * PIPE_LEN);
        let mut lent: Vec<_> = std::iter::from_fn(|| conduits.lend(Way::Splice)).collect();
        assert_eq!(lent.len(), 4);
        assert!(conduits.is_scarce());
        assert!(conduits.lend(Way::Copy).is_none());
        conduits.take_back(lent.pop().expect("four are lent"), 0);
        assert!(!conduits.is_scarce());
        let buffers: Vec<_> = std::iter::from_fn(|| conduits.lend(Way::Copy)).collect();
        assert_eq!(buffers.len(), PIPE_LEN / BUFFER_LEN, "in the place of the pipe that was free");
        assert!(conduits.is_scarce());
    }

    #[test]
    fn many_workers_have_smaller_pipes_and_not_none() {
        let mut conduits = Conduits::new(PIPE_LEN / 2);
        assert_eq!(std::iter::from_fn(|| conduits.lend(Way::Splice)).count(), 4);
    }
}
