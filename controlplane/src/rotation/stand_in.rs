//! The generation before the current one.
//!
//! Owns whether it works: as the last one that the target has accepted, or because its trial, which was under way when a newer one
//! came, turns out well. A store that changes twice in a moment may be ahead of its target with the second value only.

use std::time::{Duration, Instant};

use protocol::Generation;

use super::Rotation;
use super::state::Current;

/// A generation that may be used although it is not the newest.
pub(super) struct StandIn {
    pub(super) generation: Generation,
    /// The end of its own lease.
    usable_until: Option<Instant>,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Earlier {
    /// It works, as far as is known.
    pub(super) stand_in: Option<StandIn>,
    /// It was overtaken while it was tried, and until when the target's word on that is waited for.
    overtaken: Option<(StandIn, Instant)>,
}

impl Earlier {
    /// `last` is not the current generation any more, whose own lease ends at `usable_until`; `is_tried` says that a session is
    /// about to prove it.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        last: Option<Current>,
        usable_until: Option<Instant>,
        is_tried: bool,
    ) {
        self.overtaken = None;
        let Some(last) = last else { return };
        let known = StandIn { generation: last.generation, usable_until };
        if last.is_good() {
            self.stand_in = Some(known);
        } else if is_tried {
            self.overtaken = Some((known, now + WORD_MAX));
        }
    }

    /// The target accepts `generation`.
    pub(super) fn on_proven(&mut self, generation: Generation) {
        if let Some((works, _)) = self.overtaken.take_if(|(known, _)| known.generation == generation) {
            self.stand_in = Some(works);
        }
    }

    /// The target refuses `generation`. Whether that has worked before.
    pub(super) fn on_refused(&mut self, generation: Generation) -> bool {
        self.overtaken.take_if(|(known, _)| known.generation == generation);
        self.stand_in.take_if(|known| known.generation == generation).is_some()
    }

    /// Neither may be used beyond its lease.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_over = |known: &StandIn| known.usable_until.is_some_and(|at| at <= now);
        self.stand_in.take_if(|known| is_over(known));
        self.overtaken.take_if(|(known, until)| *until <= now || is_over(known));
    }

    fn known(&self) -> impl Iterator<Item = &StandIn> {
        self.stand_in.iter().chain(self.overtaken.iter().map(|(known, _)| known))
    }

    /// When [`Earlier::settle`] has something to do.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let overtaken = self.overtaken.as_ref().map(|(_, until)| *until);
        self.known().filter_map(|known| known.usable_until).chain(overtaken).min()
    }
}

impl<S: Copy + PartialEq> Rotation<S> {
    /// The generation that may stand in for the current one.
    pub(crate) fn stand_in(&self) -> Option<Generation> {
        self.earlier.stand_in.as_ref().map(|stand_in| stand_in.generation)
    }

    /// Whether `generation`, which is not the newest, may still be wanted.
    pub(crate) fn keeps(&self, generation: Generation) -> bool {
        self.earlier.known().any(|known| known.generation == generation)
    }
}

/// As long as a login may take before its session is of no help to others.
const WORD_MAX: Duration = Duration::from_secs(10);
