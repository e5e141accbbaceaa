//! What a rotation remembers of its generations.
//!
//! Owns the meaning of each; decides nothing.

use std::time::Instant;

use protocol::Generation;

/// Whether values are asked for.
pub(super) enum Fetching {
    Idle,
    UnderWay {
        began: Instant,
        /// Something has happened since that the answer may not know of.
        again: bool,
    },
}

/// The generation that the store gave last.
pub(super) struct Current {
    pub(super) generation: Generation,
    pub(super) proven: bool,
    /// When it was refused last, unless an attempt that began later succeeded.
    pub(super) refused_at: Option<Instant>,
}

impl Current {
    /// Whether it may be used without a thought.
    pub(super) fn is_good(&self) -> bool {
        self.proven && self.refused_at.is_none()
    }
}
