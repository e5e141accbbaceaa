//! Our end of a simulated connection.
//!
//! Owns the rule that nobody closes a socket that a request still names.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IoSlice;
use std::rc::Rc;

use protocol::Transport;
use rustix::io::Errno;

use super::network::EndId;
use super::town::Town;
use crate::io::Socket;

/// Our end of a simulated connection.
pub(crate) struct SimulatedSocket {
    pub(crate) end: EndId,
    pub(crate) transport: Transport,
    pub(crate) town: Rc<RefCell<Town>>,
    /// Ends that a request names.
    pub(crate) held: Rc<RefCell<BTreeSet<EndId>>>,
}

impl Drop for SimulatedSocket {
    fn drop(&mut self) {
        let mut town = self.town.borrow_mut();
        let is_named = self.held.borrow().contains(&self.end);
        assert!(
            !is_named || town.is_stopping || std::thread::panicking(),
            "a socket was closed under a request"
        );
        town.network.close_ours(self.end);
    }
}

impl Socket for SimulatedSocket {
    fn tune(&self) -> Transport {
        self.transport
    }

    fn connect_result(&self) -> Result<(), Errno> {
        self.town.borrow_mut().network.connect_result(self.end)
    }

    fn finish_writing(&self) {
        self.town.borrow_mut().network.finish(self.end);
    }

    fn left(&self) -> usize {
        // What was sent is in the peer's inbox at once.
        0
    }

    fn reset_on_close(&self) {
        self.town.borrow_mut().network.reset(self.end);
    }

    fn receive_at_once(&self, into: &mut [u8]) -> Result<usize, Errno> {
        let received = self.town.borrow_mut().network.read(self.end, into.len())?;
        into[..received.len()].copy_from_slice(&received);
        Ok(received.len())
    }

    fn send_at_once(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.town.borrow_mut().network.write(self.end, &whole)
    }
}
