//! What becomes of a request whose time has come: how much it brings, whether it goes on, and how it ends.
//!
//! Owns the ways in which a kernel may keep a promise. Knows no session.

use rustix::io::Errno;

use protocol::Transport;

use super::driver::Simulated;
use super::network::EndId;
use super::socket::SimulatedSocket;
use crate::io::pool::BUFFER_LEN;
use crate::io::{Completion, Interest, Received, Token};

/// What was asked for.
pub(super) enum Request {
    Receive,
    Poll(Interest),
    Accept,
}

/// A request that has not ended.
pub(super) struct Held {
    pub(super) request: Request,
    /// The end or, of an accept, the listener.
    pub(super) of: usize,
    pub(super) cancelled: bool,
}

impl Simulated {
    /// Pieces of a receive, at most a few. Whether it is over.
    pub(super) fn receive_now(
        &mut self,
        token: Token,
        end: EndId,
        cancelled: bool,
        completions: &mut Vec<Completion<SimulatedSocket>>,
    ) -> bool {
        let pieces = self.town.borrow_mut().network.random.between(1, 6);
        for _ in 0..pieces {
            let network = &mut self.town.borrow_mut().network;
            // A cancel that comes late lets more data through before the receive's end.
            if cancelled && network.random.permille(500) {
                completions.push(Completion::Received { token, received: Received::Cancelled, armed: false });
                return true;
            }
            if !network.is_readable(end) {
                if cancelled {
                    completions.push(Completion::Received {
                        token,
                        received: Received::Cancelled,
                        armed: false,
                    });
                }
                return cancelled;
            }
            let max =
                if network.random.permille(700) { BUFFER_LEN } else { network.random.between(1, BUFFER_LEN) };
            let no_buffer = network.random.permille(network.faults.no_buffer);
            let filled = if no_buffer {
                None
            } else {
                self.pool.fill(|buffer| {
                    let bytes = network.read(end, max)?;
                    buffer[..bytes.len()].copy_from_slice(&bytes);
                    Ok::<_, Errno>(bytes.len())
                })
            };
            let ends_itself = network.random.permille(network.faults.receive_ends);
            let received = match filled {
                None => Received::NoBuffer,
                Some(Err(error)) => Received::Failed(error),
                Some(Ok(lease)) if lease.is_empty() => Received::End,
                Some(Ok(lease)) => {
                    let armed = !ends_itself;
                    completions.push(Completion::Received { token, received: Received::Data(lease), armed });
                    if armed {
                        continue;
                    }
                    return true;
                }
            };
            completions.push(Completion::Received { token, received, armed: false });
            return true;
        }
        false
    }

    pub(super) fn poll_now(
        &mut self,
        token: Token,
        end: EndId,
        interest: Interest,
        cancelled: bool,
        completions: &mut Vec<Completion<SimulatedSocket>>,
    ) -> bool {
        let network = &mut self.town.borrow_mut().network;
        let is_ready = match interest {
            Interest::Readable => network.is_readable(end),
            Interest::Writable => network.is_writable(end),
        };
        // A connect's poll never comes for nothing: the kernel knows only one event there.
        let in_vain =
            network.connect_result(end).is_ok() && network.random.permille(network.faults.vain_poll);
        if is_ready || cancelled || in_vain {
            completions.push(Completion::Ready(token));
            return true;
        }
        false
    }

    pub(super) fn accept_now(
        &mut self,
        token: Token,
        listener: usize,
        cancelled: bool,
        completions: &mut Vec<Completion<SimulatedSocket>>,
    ) -> bool {
        let accepted = {
            let network = &mut self.town.borrow_mut().network;
            if network.has_queued(listener) {
                if network.random.permille(network.faults.no_descriptor) {
                    Some(Err(network.random.pick(&[Errno::MFILE, Errno::NOMEM, Errno::CONNABORTED])))
                } else {
                    network.accept(listener).map(Ok)
                }
            } else if cancelled {
                Some(Err(Errno::CANCELED))
            } else {
                None
            }
        };
        let Some(accepted) = accepted else { return false };
        let transport = if listener.is_multiple_of(2) { Transport::Tcp } else { Transport::Unix };
        completions.push(Completion::Accepted(token, accepted.map(|end| self.socket(end, transport))));
        true
    }
}
