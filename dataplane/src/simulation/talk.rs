//! What the two peers of a session say to each other once it is open, and the checking of every byte.
//!
//! Owns one peer's half: what it sends, how it reads, how it ends. Knows nothing of handshakes.

use std::time::Duration;

use rustix::io::Errno;

use super::network::{EndId, Network};
use super::random::byte_of;

/// How long an end may be under way: far less than any deadline of the broker's.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a peer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It says that it sends nothing more, reads to the end, and closes.
    Finish,
    /// It closes when it has sent everything, whatever may still come.
    Close,
    /// It breaks off with a reset once it has sent this much.
    Reset(u64),
    /// It sends everything and then nothing, not even its end, until the other side ends.
    Wait,
}

/// What a peer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How much it sends.
    pub(crate) len: u64,
    /// The most that it sends at once.
    pub(crate) piece_max: usize,
    /// The most that it reads at once.
    pub(crate) read_max: usize,
    /// How often in a thousand times it rests between two pieces, and how long at most.
    pub(crate) rests: usize,
    pub(crate) rest_max: Duration,
    pub(crate) ending: Ending,
    /// Neither it nor its counterpart breaks off: everything must arrive.
    pub(crate) is_gentle: bool,
}

/// A peer's half of a session.
#[derive(Debug)]
pub(crate) struct Talk {
    end: EndId,
    /// Names what it sends; the other stream's name differs in the last bit.
    stream: u64,
    plan: Plan,
    sent: u64,
    pub(crate) received: u64,
    /// Nothing can be sent any more.
    is_deaf: bool,
    has_finished: bool,
    /// The other side has said that it sends nothing more.
    pub(crate) has_heard_end: bool,
    pub(crate) error: Option<Errno>,
    pub(crate) is_over: bool,
    pub(crate) next: Duration,
    /// When it said that it sends nothing more.
    ended_at: Option<Duration>,
    /// When it heard something last, and when it heard the end.
    heard_at: Duration,
    end_heard_at: Duration,
}

impl Talk {
    pub(crate) fn new(end: EndId, stream: u64, plan: Plan) -> Self {
        Self {
            end,
            stream,
            plan,
            sent: 0,
            received: 0,
            is_deaf: false,
            has_finished: false,
            has_heard_end: false,
            error: None,
            is_over: false,
            next: Duration::ZERO,
            ended_at: None,
            heard_at: Duration::ZERO,
            end_heard_at: Duration::ZERO,
        }
    }

    /// Does what can be done now: reads a piece, sends a piece, ends.
    pub(crate) fn act(&mut self, network: &mut Network) {
        if self.is_over || network.now < self.next {
            return;
        }
        self.listen(network);
        self.speak(network);
        self.end(network);
        if network.random.permille(self.plan.rests) {
            let rest_max = usize::try_from(self.plan.rest_max.as_micros()).unwrap_or(usize::MAX);
            let rest = network.random.between(1, rest_max.max(1));
            self.next = network.now + Duration::from_micros(rest as u64);
        }
    }

    /// Takes bytes of the other side.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let expected = byte_of(self.stream ^ 1, self.received);
            assert_eq!(
                *byte,
                expected,
                "byte {} of stream {:x} is not as it was sent",
                self.received,
                self.stream ^ 1
            );
            self.received += 1;
        }
    }

    fn listen(&mut self, network: &mut Network) {
        if self.has_heard_end || self.error.is_some() {
            return;
        }
        let max = network.random.between(1, self.plan.read_max);
        match network.read(self.end, max) {
            Ok(bytes) if bytes.is_empty() => {
                self.has_heard_end = true;
                self.end_heard_at = network.now;
            }
            Ok(bytes) => {
                self.heard_at = network.now;
                self.hear(&bytes);
            }
            Err(Errno::AGAIN) => {}
            Err(error) => self.error = Some(error),
        }
    }

    fn speak(&mut self, network: &mut Network) {
        if self.sent >= self.plan.len || self.is_deaf || self.has_finished {
            return;
        }
        let len = network.random.between(1, self.plan.piece_max).min(network.room(self.end).max(1)) as u64;
        let len = len.min(self.plan.len - self.sent);
        let bytes: Vec<u8> =
            (self.sent..self.sent + len).map(|offset| byte_of(self.stream, offset)).collect();
        match network.write(self.end, &bytes) {
            Ok(len) => self.sent += len as u64,
            Err(Errno::AGAIN) => {}
            Err(_) => self.is_deaf = true,
        }
    }

    fn end(&mut self, network: &mut Network) {
        let has_said_all = self.sent >= self.plan.len || self.is_deaf;
        match self.plan.ending {
            Ending::Reset(at) if self.sent >= at => {
                network.reset(self.end);
                self.is_over = true;
            }
            Ending::Close if has_said_all => self.close(network),
            Ending::Finish if has_said_all && !self.has_finished => {
                network.finish(self.end);
                self.has_finished = true;
                self.ended_at = Some(network.now);
            }
            Ending::Finish | Ending::Close | Ending::Reset(_) | Ending::Wait => {}
        }
        let nobody_is_left =
            self.error.is_some() || self.has_heard_end && (self.has_finished || self.is_deaf);
        let waits_in_vain = self.has_heard_end && self.plan.ending == Ending::Wait && has_said_all;
        if !self.is_over && (nobody_is_left || waits_in_vain) {
            self.close(network);
        }
    }

    /// Closes, whatever there is.
    pub(crate) fn close(&mut self, network: &mut Network) {
        network.close(self.end);
        self.is_over = true;
        self.ended_at.get_or_insert(network.now);
    }

    /// Whether it never breaks off.
    pub(crate) fn is_gentle(&self) -> bool {
        self.plan.is_gentle
    }

    /// Whether the end of `other` came as soon as it may: not only when somebody lost patience.
    pub(crate) fn heard_in_time(&self, other: &Self) -> bool {
        let Some(ended_at) = other.ended_at else { return false };
        let could_hear_at = ended_at.max(self.heard_at) + self.plan.rest_max;
        self.end_heard_at <= could_hear_at + PATIENCE
    }

    /// Whether everything that `other` had to say has come, and its end behind it.
    pub(crate) fn has_everything_of(&self, other: &Self) -> bool {
        self.received == other.plan.len && self.has_heard_end && self.error.is_none()
    }
}
