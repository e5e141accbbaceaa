//! How bytes are cut on their way.
//!
//! Owns the pieces. A machine must not notice.

use super::Driver;
use crate::Side;

/// How the peers' bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Each step at once.
    Whole,
    /// One step in two pieces: the step, counted from 0 over those that send, and where it is cut.
    At(usize, usize),
    /// Each byte by itself.
    Bytes,
}

impl Cut {
    /// Lets `side` send the bytes of its step `number`.
    pub(super) fn deliver(self, driver: &mut Driver, side: Side, bytes: &[u8], number: usize) {
        match self {
            Self::At(step, at) if step == number => {
                let (first, second) = bytes.split_at(at);
                driver.receive(side, first);
                driver.receive(side, second);
            }
            Self::Bytes => bytes.chunks(1).for_each(|byte| driver.receive(side, byte)),
            Self::At(..) | Self::Whole => driver.receive(side, bytes),
        }
    }
}
