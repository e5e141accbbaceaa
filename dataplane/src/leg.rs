//! One connection of a session, to its client or to its target.
//!
//! Owns the socket, what is on its way to it, and which requests about it the kernel still holds. Knows nothing of
//! what the bytes mean. With TLS on it they are ciphertext; who goes through the TLS session and when is
//! `encryption.rs`'s.
//!
//! Bytes on their way out take one of two ways. As long as the socket takes everything, they are *queued*: sent in
//! this very turn, straight from the buffer they were received into. When it does not, the rest is *spilled*:
//! copied out, so that a peer who stops reading holds no receive buffer, and sent when the socket has room again.
//! While something is spilled the other leg is not received from, so a spill is never longer than what one turn of
//! the driver can still deliver.

use std::collections::VecDeque;
use std::io::IoSlice;

use protocol::{Side, Transport};

use crate::io::{Chunk, Chunks, Interest, Io, Kind, Socket, Token};
use crate::tls::TlsSession;

/// Chunks of one send; the kernel takes at most 1,024 pieces (`UIO_MAXIOV`).
const CHUNKS_MAX: usize = 512;

/// One connection.
pub(crate) struct Leg<I: Io> {
    socket: I::Socket,
    side: Side,
    transport: Transport,
    /// TLS with the peer. With it, what the socket carries is ciphertext.
    pub(crate) tls: Option<Box<TlsSession>>,
    /// Names the leg in tokens; its kind is replaced by each request's own.
    name: Token,
    receiving: Receiving,
    /// A poll for room in the socket, or for the end of its connect, is with the kernel.
    polling: bool,
    /// A poll for data is with the kernel.
    awaited: bool,
    queued: Chunks,
    /// What the socket did not take. A send is under way, or `polling`, as long as it is not empty.
    spilled: VecDeque<Chunk>,
    /// A send of what had been spilled is under way in this turn.
    retrying: bool,
    /// The worker's round in which something was sent last: until it is over, the send may turn out short.
    sent_in: u64,
    finish: Finish,
    /// The peer will send nothing more.
    ended: bool,
    /// Nothing that is sent reaches the peer any more. It may still be received from.
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Off,
    Armed,
    /// A cancel is under way; data may still come before the receive's last completion.
    Cancelling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Finish {
    No,
    /// As soon as everything is sent.
    Wanted,
    Done,
}

impl<I: Io> Leg<I> {
    /// A leg over `socket`. `name` tells its slot, generation and epoch.
    pub(crate) fn new(socket: I::Socket, side: Side, name: Token) -> Self {
        let transport = socket.tune();
        Self {
            transport,
            socket,
            side,
            tls: None,
            name,
            receiving: Receiving::Off,
            polling: false,
            awaited: false,
            queued: Chunks::None,
            spilled: VecDeque::new(),
            retrying: false,
            sent_in: 0,
            finish: Finish::No,
            ended: false,
            broken: false,
        }
    }

    pub(crate) fn socket(&self) -> &I::Socket {
        &self.socket
    }

    /// The socket, and the TLS session whose records it carries.
    pub(crate) fn socket_and_tls(&mut self) -> (&I::Socket, Option<&mut TlsSession>) {
        (&self.socket, self.tls.as_deref_mut())
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// What kind of connection it is.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Which of the session's connections to this side it is.
    pub(crate) fn epoch(&self) -> u8 {
        self.name.epoch
    }

    fn token(&self, client: Kind, target: Kind) -> Token {
        let kind = match self.side {
            Side::Client => client,
            Side::Target => target,
        };
        Token { kind, ..self.name }
    }

    fn receive_token(&self) -> Token {
        self.token(Kind::ClientReceive, Kind::TargetReceive)
    }

    fn readable_token(&self) -> Token {
        self.token(Kind::ClientReadable, Kind::TargetReadable)
    }

    fn writable_token(&self) -> Token {
        self.token(Kind::ClientWritable, Kind::TargetWritable)
    }

    /// Receives from now on, unless the peer has ended or a receive or a poll for data is with the kernel already.
    pub(crate) fn receive(&mut self, io: &mut I) {
        if self.receiving == Receiving::Off && !self.ended && !self.awaited {
            io.receive(self.receive_token(), &self.socket);
            self.receiving = Receiving::Armed;
        }
    }

    /// Receives no more, once what is under way has come.
    pub(crate) fn pause(&mut self, io: &mut I) {
        if self.receiving == Receiving::Armed {
            io.cancel(self.receive_token(), &self.socket);
            self.receiving = Receiving::Cancelling;
        }
    }

    /// The receive's last completion has come.
    pub(crate) fn on_receive_over(&mut self) {
        self.receiving = Receiving::Off;
    }

    /// Whether the kernel holds no receive.
    pub(crate) fn is_receive_over(&self) -> bool {
        self.receiving == Receiving::Off
    }

    /// Waits for data without receiving it.
    pub(crate) fn await_data(&mut self, io: &mut I) {
        if !self.awaited && !self.ended {
            io.poll(self.readable_token(), &self.socket, Interest::Readable);
            self.awaited = true;
        }
    }

    /// Waits no longer for data without receiving it: once that is over, it may be received.
    pub(crate) fn stop_awaiting(&mut self, io: &mut I) {
        if self.awaited {
            io.cancel(self.readable_token(), &self.socket);
        }
    }

    /// The poll for data is over.
    pub(crate) fn on_readable(&mut self) {
        self.awaited = false;
    }

    /// Whether data is waited for without a receive.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The peer will send nothing more.
    pub(crate) fn on_end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Waits for the end of the socket's connect.
    pub(crate) fn await_connect(&mut self, io: &mut I) {
        io.poll(self.writable_token(), &self.socket, Interest::Writable);
        self.polling = true;
    }

    /// A send has failed for good: what is on its way is forgotten, and so is whatever comes later.
    pub(crate) fn on_broken(&mut self) {
        self.broken = true;
        self.queued = Chunks::None;
        self.spilled.clear();
        self.retrying = false;
    }

    /// Whether nothing that is sent reaches the peer.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Puts `chunk` behind everything that is on its way.
    pub(crate) fn enqueue(&mut self, chunk: Chunk) {
        if self.broken {
            return;
        }
        if self.spilled.is_empty() {
            self.queued.push(chunk);
        } else {
            self.spilled.push_back(chunk.after(0));
        }
    }

    /// Whether the socket does not take what it is given: the other leg should not be received from.
    pub(crate) fn is_congested(&self) -> bool {
        self.broken || !self.spilled.is_empty() || self.retrying
    }

    /// Whether nothing is on its way but what the socket has taken. Not between a flush and the end of its turn.
    pub(crate) fn is_clear(&self) -> bool {
        self.queued.is_empty() && self.spilled.is_empty() && !self.retrying && !self.broken
    }

    /// Whether room in the socket is waited for.
    pub(crate) fn is_awaited_for_room(&self) -> bool {
        self.polling
    }

    /// Keeps bytes that the socket does not take, behind nothing else.
    pub(crate) fn keep(&mut self, rest: Vec<u8>) {
        if !rest.is_empty() {
            // What was sent of it takes no memory any more.
            self.spilled.push_back(Chunk::Bytes(rest.into_boxed_slice().into()));
        }
    }

    /// Says to the peer, behind everything that is on its way, that nothing more will come.
    pub(crate) fn finish(&mut self) {
        if self.finish == Finish::No {
            self.finish = Finish::Wanted;
        }
    }

    /// Whether the peer has been told that nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish == Finish::Done
    }

    /// Hands what is queued to the driver. Only right before a turn: until the turn is over the driver names the
    /// socket by its number, so nobody may close it.
    pub(crate) fn flush(&mut self, io: &mut I, round: u64) {
        if !self.queued.is_empty() {
            self.sent_in = round;
            let token = self.token(Kind::ClientSend, Kind::TargetSend);
            io.send(token, &self.socket, std::mem::take(&mut self.queued));
        }
        self.finish_if_sent(round);
    }

    /// Tells the peer that nothing more will come, if that is wanted and everything is sent.
    pub(crate) fn finish_if_sent(&mut self, round: u64) {
        let all_sent = self.queued.is_empty() && self.spilled.is_empty() && !self.retrying;
        if self.finish == Finish::Wanted && all_sent && self.sent_in != round {
            self.socket.finish_writing();
            self.finish = Finish::Done;
        }
    }

    /// How many bytes the peer's system has not taken yet.
    pub(crate) fn left(&self, round: u64) -> usize {
        if self.sent_in == round {
            // The send is with the kernel, which may still bring some of it back.
            return usize::MAX;
        }
        let ours = self.queued.as_slice().iter().chain(&self.spilled).map(|chunk| chunk.bytes().len());
        ours.sum::<usize>() + self.socket.left()
    }

    /// Whether a finish waits for sends to be over.
    pub(crate) fn wants_finish(&self) -> bool {
        self.finish == Finish::Wanted
    }

    /// Sends `bytes` now, if nothing is on its way that they would overtake and the socket takes them at once. For
    /// the last words of a connection that is let go of. Never between a flush and the end of its turn.
    pub(crate) fn say_last(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() && self.is_clear() && self.finish == Finish::No {
            // A peer that has gone hears nothing.
            let _ = self.socket.send_at_once(&[IoSlice::new(bytes)]);
        }
    }

    /// A send was not whole: keeps the rest and waits for room.
    pub(crate) fn on_short(&mut self, sent: usize, chunks: Chunks, io: &mut I) {
        self.retrying = false;
        let mut skip = sent;
        // What was spilled before came later: the rest of this send goes in front of it, in its order.
        let mut rest = VecDeque::new();
        for chunk in chunks.into_vec() {
            let len = chunk.bytes().len();
            if skip >= len {
                skip -= len;
            } else {
                rest.push_back(chunk.after(skip));
                skip = 0;
            }
        }
        rest.append(&mut self.spilled);
        self.spilled = rest;
        self.await_room(io);
    }

    /// Waits for room in the socket.
    pub(crate) fn await_room(&mut self, io: &mut I) {
        if !self.polling {
            io.poll(self.writable_token(), &self.socket, Interest::Writable);
            self.polling = true;
        }
    }

    /// The poll is over; with something spilled, tries to send it in this turn.
    pub(crate) fn on_writable(&mut self) {
        self.polling = false;
        if !self.spilled.is_empty() && self.queued.is_empty() {
            for chunk in self.spilled.drain(..self.spilled.len().min(CHUNKS_MAX)) {
                self.queued.push(chunk);
            }
            if self.spilled.is_empty() {
                // An idle session does not keep the room that a burst has taken.
                self.spilled = VecDeque::new();
            }
            self.retrying = true;
        }
    }

    /// Whether spilled bytes were sent in the turn that is over, and the socket took them or some of them.
    pub(crate) fn has_retried(&self) -> bool {
        self.retrying
    }

    /// The turn in which spilled bytes were sent is over, and they all went out: `true` if nothing is left.
    pub(crate) fn on_retried(&mut self, io: &mut I) -> bool {
        if !std::mem::take(&mut self.retrying) {
            return false;
        }
        if self.spilled.is_empty() {
            return true;
        }
        self.await_room(io);
        false
    }

    /// Ends everything that the kernel still holds, and forgets what was not sent.
    pub(crate) fn abandon(&mut self, io: &mut I) {
        self.queued = Chunks::None;
        self.spilled.clear();
        self.retrying = false;
        self.pause(io);
        if self.polling {
            io.cancel(self.writable_token(), &self.socket);
        }
        self.stop_awaiting(io);
    }

    /// Whether the kernel holds no request of this leg any more, so that its socket may be closed.
    pub(crate) fn is_joined(&self) -> bool {
        self.receiving == Receiving::Off && !self.polling && !self.awaited
    }
}
