//! What a rotation is told and what it says: the values that cross its border.
//!
//! Owns their meaning only.

use std::time::Instant;

use protocol::Generation;

/// Something to be done, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<S> {
    /// Fetch the values, and say what came of it: [`Rotation::on_fetched`].
    Fetch,
    /// Tell a session what it may do.
    Answer(S, Answer),
    /// Take the present values out of use: their time is over.
    Withdraw,
}

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Prove the generation that it asked about.
    Proceed,
    /// Try again, with this one.
    Retry(Generation),
    /// Tell its client what the target said.
    GiveUp,
}

/// What a fetch has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Other values than before, or the first.
    Changed {
        /// What they are from now on.
        generation: Generation,
        /// Whether they lead to the same target as those before, so that those may stand in for them.
        same_target: bool,
    },
    /// The values that are there already.
    Unchanged,
    /// None.
    Failed,
    /// None, and the store says that those before are none any more.
    Gone,
}

impl Outcome {
    /// Whether nothing came.
    pub(crate) fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::Gone)
    }
}

/// What a new file has replaced of a service's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// Nothing: the sources are the same.
    Nothing,
    /// The sources, and their values are there.
    Values,
    /// The sources, and nothing is there yet: the values in force are none.
    All,
}

/// When fetched values ask for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// When to fetch again.
    pub refetch_at: Option<Instant>,
    /// When they should have been fetched again: from then on they are stale as long as their store fails.
    pub due_at: Option<Instant>,
    /// From when on they must not be used.
    pub usable_until: Option<Instant>,
}

impl Schedule {
    /// What comes first of each.
    pub(crate) fn earlier(self, other: Self) -> Self {
        let first = |a: Option<Instant>, b: Option<Instant>| a.into_iter().chain(b).min();
        Self {
            refetch_at: first(self.refetch_at, other.refetch_at),
            due_at: first(self.due_at, other.due_at),
            usable_until: first(self.usable_until, other.usable_until),
        }
    }

    /// Lets services that were fetched together be fetched again over a tenth of the time.
    pub(crate) fn spread(&mut self, key: u32, now: Instant) {
        if let Some(at) = &mut self.refetch_at {
            let tenth = at.saturating_duration_since(now) / 10;
            *at -= tenth * (key % 64) / 64;
        }
    }
}
