//! What is due, and when.
//!
//! Owns the moments of a rotation; what is to be done at each is the rotation's.

use std::time::Instant;

use super::Rotation;
use super::decision::Action;
use super::lifetime::Lifetime;
use super::queue::Refused;
use super::stand_in::Earlier;
use super::state::Fetching;

impl<S: Copy + PartialEq> Rotation<S> {
    /// When [`Rotation::on_time`] wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let fetch_at = match self.fetching {
            Fetching::Idle => self.fetch_at().into_iter().chain(self.grace.ask_at).min(),
            Fetching::UnderWay { began, .. } => self.lifetime.overdue_at(began),
        };
        let trial_until = self.trial.as_ref().map(|trial| trial.until);
        let pauses = [self.pauses.next_end(), self.earlier.next_end(), self.grace_ends_at()];
        [fetch_at, trial_until, self.lifetime.usable_until(self.rules)]
            .into_iter()
            .chain(pauses)
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        if let Fetching::UnderWay { began, .. } = self.fetching
            && self.lifetime.overdue_at(began).is_some_and(|at| at <= now)
        {
            self.lifetime.on_failure(now);
        }
        if self.lifetime.usable_until(self.rules).is_some_and(|at| at <= now) {
            self.lifetime = Lifetime::default();
            self.current = None;
            self.earlier = Earlier::default();
            self.trial = None;
            self.owed = None;
            actions.push(Action::Withdraw);
            self.waiting.give_up(actions, |waiting| waiting.refused != Refused::No);
            self.on_changed(now, actions);
        }
        let asks_again = self.grace.ask_at.take_if(|at| *at <= now).is_some() && !self.waiting.is_empty();
        let is_due = asks_again || self.fetch_at().is_some_and(|at| at <= now);
        if matches!(self.fetching, Fetching::Idle) && is_due {
            self.on_changed(now, actions);
        }
        self.pauses.settle(now);
        self.earlier.settle(now);
        // A target that hangs says nothing about the credential.
        self.trial.take_if(|trial| trial.until <= now);
        self.go_on(now, actions);
    }

    /// When the next fetch is due by itself.
    fn fetch_at(&self) -> Option<Instant> {
        if self.is_fixed { None } else { self.failures.until.or(self.lifetime.refetch_at()) }
    }
}
