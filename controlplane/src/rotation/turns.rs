//! Whose turn it is: who of those that wait is answered, and who tries for the others.
//!
//! Owns the answers that follow from the state alone, whatever event has led to it.

use std::time::Instant;

use super::Rotation;
use super::decision::{Action, Answer};
use super::queue::{Refused, Trial, Waiting};
use super::state::Fetching;

impl<S: Copy + PartialEq> Rotation<S> {
    /// Whether a session that was refused with the current generation waits for what a fetch brings.
    pub(super) fn awaits_fetch(&self) -> bool {
        let current = self.current.as_ref().map(|current| current.generation);
        let is_owed = |waiting: &Waiting<S>| waiting.refused != Refused::No;
        self.waiting.iter().any(|waiting| is_owed(waiting) && Some(waiting.generation) == current)
    }

    /// Answers those who wait, as far as the state allows it.
    pub(super) fn go_on(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        let (Some(in_force), Some(current)) = (self.in_force(), &self.current) else { return };
        let is_refused = current.refused_at.is_some();
        if current.is_good() || in_force != current.generation {
            // There is one that works. Whoever was refused with it waits for a fetch, if one is to come.
            let stands_in = in_force != current.generation;
            self.waiting.answer(actions, |waiting| match (waiting.generation == in_force, waiting.refused) {
                (false, _) => Some(Answer::Retry(in_force)),
                (true, Refused::No) => Some(Answer::Proceed),
                (true, _) => stands_in.then_some(Answer::GiveUp),
            });
            return;
        }
        let grace = self.grace();
        let has_time = |waiting: &Waiting<S>| now < waiting.waits_since + grace;
        let (answered_until, rests) = (self.answered_until, is_refused && self.pauses.refusals.holds(now));
        // Those who were refused with this generation, and those who have proven nothing yet.
        let is_newcomer =
            |waiting: &Waiting<S>| waiting.refused == Refused::No || waiting.generation < in_force;
        self.waiting.give_up(actions, |waiting| match waiting.refused {
            Refused::Certainly if waiting.generation == in_force => {
                is_refused && !has_time(waiting) && answered_until.is_some_and(|until| waiting.since <= until)
            }
            _ => rests && is_newcomer(waiting) && !has_time(waiting),
        });
        if rests {
            let hopes = |waiting: &Waiting<S>| waiting.refused == Refused::Certainly || is_newcomer(waiting);
            if !grace.is_zero() && matches!(self.fetching, Fetching::Idle) && self.waiting.iter().any(hopes) {
                self.grace.ask_again(now);
            }
        } else if self.trial.is_none() && !(is_refused && self.owed.is_some()) {
            // After its rest a generation may be tried again by somebody whom it has failed.
            let may_try = |waiting: &Waiting<S>| {
                is_newcomer(waiting) || (is_refused && waiting.refused == Refused::Certainly)
            };
            let Some(Waiting { session, generation, refused, waits_since, .. }) =
                self.waiting.take_first(may_try)
            else {
                return;
            };
            self.trial = Some(Trial::begin(session, waits_since, now));
            // Whoever was refused needs a new connection to try it again.
            let answer = if generation == in_force && refused == Refused::No {
                Answer::Proceed
            } else {
                Answer::Retry(in_force)
            };
            actions.push(Action::Answer(session, answer));
        }
    }
}
