//! Sessions that wait for an answer, and the one that tries for all.
//!
//! Owns their order, and how long a trial may take. Does not know what they wait for.

use std::time::{Duration, Instant};

use protocol::Generation;

use super::decision::{Action, Answer};

/// Sessions that wait, in the order in which they came.
pub(super) struct Queue<S>(Vec<Waiting<S>>);

/// A session that waits for an answer.
pub(super) struct Waiting<S> {
    pub(super) session: S,
    /// What it was refused with, or asks about.
    pub(super) generation: Generation,
    pub(super) since: Instant,
    /// When it began to wait, whatever it has tried since.
    pub(super) waits_since: Instant,
    pub(super) refused: Refused,
}

impl<S> Waiting<S> {
    /// One whose credential the target has blamed.
    pub(super) fn refused(session: S, generation: Generation, since: Instant, waits_since: Instant) -> Self {
        Self { session, generation, since, waits_since, refused: Refused::Certainly }
    }
}

/// What happened to a session that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has proven nothing yet.
    No,
    /// The target may have meant the session.
    Perhaps,
    /// The target blamed the credential.
    Certainly,
}

impl<S: Copy + PartialEq> Queue<S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, waiting: Waiting<S>) {
        self.0.push(waiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting<S>> {
        self.0.iter()
    }

    /// Takes the first session that `applies` to.
    pub(super) fn take_first(&mut self, applies: impl Fn(&Waiting<S>) -> bool) -> Option<Waiting<S>> {
        let first = self.0.iter().position(applies)?;
        Some(self.0.remove(first))
    }

    /// The session waits no longer.
    pub(super) fn forget(&mut self, session: S) {
        self.0.retain(|waiting| waiting.session != session);
    }

    /// Gives each session its answer, if there is one for it; whether there were any.
    pub(super) fn answer(
        &mut self,
        actions: &mut Vec<Action<S>>,
        answer: impl Fn(&Waiting<S>) -> Option<Answer>,
    ) -> bool {
        let before = actions.len();
        self.0.retain(|waiting| {
            let answer = answer(waiting);
            actions.extend(answer.map(|answer| Action::Answer(waiting.session, answer)));
            answer.is_none()
        });
        actions.len() > before
    }

    /// Lets all sessions that `applies` to give up; whether there were any.
    pub(super) fn give_up(
        &mut self,
        actions: &mut Vec<Action<S>>,
        applies: impl Fn(&Waiting<S>) -> bool,
    ) -> bool {
        self.answer(actions, |waiting| applies(waiting).then_some(Answer::GiveUp))
    }
}

/// A session that tries an unproven generation for all that wait.
pub(super) struct Trial<S> {
    pub(super) session: S,
    pub(super) until: Instant,
    pub(super) began: Instant,
    /// When it began to wait for its turn.
    pub(super) waits_since: Instant,
}

impl<S> Trial<S> {
    pub(super) fn begin(session: S, waits_since: Instant, now: Instant) -> Self {
        Self { session, until: now + TRIAL_MAX, began: now, waits_since }
    }
}

/// How long one session may try a generation while others wait. A login takes milliseconds; the others' handshakes
/// have deadlines of their own.
const TRIAL_MAX: Duration = Duration::from_secs(1);
