//! When the values of one service are fetched, which of them are in use, and who may try them.
//!
//! Owns decisions only: no clock, no value, no socket. The time is an argument; what is to be done is an [`Action`].
//!
//! A generation is *proven* once the target has accepted it. Until then one session at a time tries it, and the others
//! wait for what the target says. A refusal makes one fetch that begins after it, for all who wait. If that brings
//! nothing new, the generation rests for a while that doubles, so that no account is locked; meanwhile the last one that
//! worked *stands in*, if there is one and the target has not refused it since, and else clients are told what it said.

mod backoff;
mod clock;
mod decision;
mod grace;
mod lifetime;
mod queue;
mod stand_in;
mod state;
mod turns;

use std::time::{Duration, Instant};

use protocol::Generation;

use backoff::{Backoff, Pauses};
pub(crate) use decision::{Action, Answer, Outcome, Replaced, Schedule};
use grace::Grace;
use lifetime::Lifetime;
pub(crate) use lifetime::Rules;
use queue::{Queue, Refused, Trial, Waiting};
use stand_in::Earlier;
use state::{Current, Fetching};

/// One service's rotation. `S` names a session.
pub(crate) struct Rotation<S> {
    /// Whether a fetch can bring nothing new: all values are in the file.
    is_fixed: bool,
    fetching: Fetching,
    current: Option<Current>,
    earlier: Earlier,
    /// Since when a fetch is owed for a certain refusal of the current generation, whoever still waits for it.
    owed: Option<Instant>,
    /// When the target has refused what stood in for the current generation: what it said of that one before is out of date.
    moved_at: Option<Instant>,
    waiting: Queue<S>,
    trial: Option<Trial<S>>,
    pauses: Pauses,
    grace: Grace,
    failures: Backoff,
    /// What was refused until then is known to the store's last answer.
    answered_until: Option<Instant>,
    fetched_at: Option<Instant>,
    lifetime: Lifetime,
    rules: Rules,
}

impl<S: Copy + PartialEq> Rotation<S> {
    /// A service whose values have not been fetched yet.
    pub(crate) fn new(is_fixed: bool, rules: Rules) -> Self {
        Self {
            is_fixed,
            fetching: Fetching::Idle,
            current: None,
            earlier: Earlier::default(),
            owed: None,
            moved_at: None,
            waiting: Queue::new(),
            trial: None,
            pauses: Pauses::default(),
            grace: Grace::default(),
            failures: Backoff::default(),
            answered_until: None,
            fetched_at: None,
            lifetime: Lifetime::default(),
            rules,
        }
    }

    /// The generation that is in force: what a session is given that begins now.
    pub(crate) fn in_force(&self) -> Option<Generation> {
        let current = self.current.as_ref()?;
        let stand_in = self.stand_in().filter(|_| current.refused_at.is_some());
        Some(stand_in.unwrap_or(current.generation))
    }

    /// The generation that every session may prove without asking.
    pub(crate) fn open(&self, now: Instant) -> Option<Generation> {
        let current = self.current.as_ref()?;
        if current.is_good() {
            return Some(current.generation);
        }
        // While one stands in, the next session that asks is the one to try the current generation again.
        let nobody_is_wanted =
            self.trial.is_some() || self.pauses.refusals.holds(now) || self.pauses.retries.holds(now);
        self.stand_in().filter(|_| current.refused_at.is_some() && nobody_is_wanted)
    }

    /// Whether the target has refused the current generation and not accepted it since.
    pub(crate) fn is_refused(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.refused_at.is_some())
    }

    /// Whether a fetch that begins now is for a refusal, so that the same values are no answer.
    pub(crate) fn wants_others(&self) -> bool {
        self.owed.is_some()
    }

    /// Whether the values serve though their store has not given them again when it should have.
    pub(crate) fn is_stale(&self) -> bool {
        self.lifetime.is_stale()
    }

    /// The configuration may name other sources: what was under way counts no more.
    pub(crate) fn on_sources_replaced(&mut self, is_fixed: bool, rules: Rules, replaced: Replaced) {
        self.is_fixed = is_fixed;
        self.rules = rules;
        self.fetching = Fetching::Idle;
        self.failures = Backoff::default();
        if replaced != Replaced::Nothing {
            self.lifetime = Lifetime::default();
            self.earlier = Earlier::default();
            self.trial = None;
            self.pauses.on_new_sources();
        }
        if replaced == Replaced::All {
            self.current = None;
            self.owed = None;
        } else if replaced == Replaced::Values
            && let Some(current) = &mut self.current
        {
            current.proven = false;
        }
    }

    /// The values are wanted now: at the start, or because a store says that they changed.
    pub(crate) fn on_changed(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        if !self.is_fixed {
            self.fetch(now, actions);
        }
    }

    /// A session waits for a first generation.
    pub(crate) fn on_wanted(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        // Clients come as often as they like.
        let pause = self.failures.last().min(WANTED_PAUSE_MAX);
        let is_recent = self.fetched_at.is_some_and(|at| now < at + pause);
        if self.current.is_none() && matches!(self.fetching, Fetching::Idle) && !is_recent {
            self.on_changed(now, actions);
        }
    }

    /// The target is not where the values say, or shows another certificate: they may have changed.
    pub(crate) fn on_unreachable(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        if !self.pauses.doubts.holds(now) {
            self.pauses.doubts.start(now);
            self.on_changed(now, actions);
        }
    }

    /// A session is about to prove `generation`.
    pub(crate) fn on_permission_wanted(
        &mut self,
        now: Instant,
        generation: Generation,
        session: S,
        actions: &mut Vec<Action<S>>,
    ) {
        if let (Some(in_force), Some(current)) = (self.in_force(), &self.current) {
            let current = current.generation;
            let has_it = generation == current;
            if has_it && self.trial.as_ref().is_some_and(|trial| trial.session == session) {
                return actions.push(Action::Answer(session, Answer::Proceed));
            }
            // While another one stands in. A session whose trial took too long has the current one already.
            let may_try = self.trial.is_none() && !self.pauses.refusals.holds(now);
            if in_force != current && may_try && (has_it || !self.pauses.retries.holds(now)) {
                self.trial = Some(Trial::begin(session, now, now));
                self.pauses.retries.start(now);
                let answer = if has_it { Answer::Proceed } else { Answer::Retry(current) };
                return actions.push(Action::Answer(session, answer));
            }
        }
        self.waiting.push(Waiting {
            session,
            generation,
            since: now,
            waits_since: now,
            refused: Refused::No,
        });
        self.go_on(now, actions);
    }

    /// The target refused `generation`; `certain` if it blamed the credential itself.
    pub(crate) fn on_refused(
        &mut self,
        now: Instant,
        generation: Generation,
        session: S,
        certain: bool,
        actions: &mut Vec<Action<S>>,
    ) {
        let tried = self.trial.take_if(|trial| trial.session == session);
        let waits_since = tried.as_ref().map_or(now, |trial| trial.waits_since);
        let is_stand_in = self.stand_in() == Some(generation);
        let Some(current) = &mut self.current else {
            return actions.push(Action::Answer(session, Answer::GiveUp));
        };
        // A client can provoke an uncertain refusal with a database that it may not use.
        let is_current = generation == current.generation;
        let has_worked = is_stand_in || (is_current && current.proven);
        if !certain && (self.is_fixed || has_worked) {
            actions.push(Action::Answer(session, Answer::GiveUp));
            return self.go_on(now, actions);
        }
        if !is_current {
            if certain && self.earlier.on_refused(generation) {
                // The target has followed the store: whatever it said of the current generation is out of date.
                self.moved_at = Some(now);
                current.refused_at = None;
                self.pauses.refusals = Backoff::default();
                self.pauses.retries = Backoff::default();
            }
            self.waiting.push(Waiting::refused(session, generation, now, waits_since));
            return self.go_on(now, actions);
        }
        // This trial began before the target has followed: it is repeated at once.
        let moved_at = self.moved_at.take_if(|_| certain && tried.is_some());
        if tried.is_some_and(|trial| moved_at.is_some_and(|moved_at| trial.began <= moved_at)) {
            current.refused_at = Some(now);
            self.waiting.push(Waiting::refused(session, generation, now, waits_since));
            return self.go_on(now, actions);
        }
        let pause = if certain { &mut self.pauses.refusals } else { &mut self.pauses.doubts };
        let may_ask = !self.is_fixed && !pause.holds(now);
        let stands_in = certain && self.earlier.stand_in.is_some();
        if (stands_in || self.is_fixed) && !pause.holds(now) {
            pause.start(now);
        }
        if certain {
            if !current.proven && current.refused_at.is_none() {
                self.pauses.on_fresh_refused();
            }
            current.refused_at = Some(now);
        }
        if may_ask || stands_in || (certain && !self.grace().is_zero()) {
            let refused = if certain { Refused::Certainly } else { Refused::Perhaps };
            self.waiting.push(Waiting { session, generation, since: now, waits_since, refused });
        } else {
            actions.push(Action::Answer(session, Answer::GiveUp));
        }
        if may_ask {
            if certain {
                self.owed.get_or_insert(now);
            }
            self.fetch(now, actions);
        }
        self.go_on(now, actions);
    }

    /// The target accepted `generation` of `session`, which began to prove it at `attempt_began`.
    pub(crate) fn on_proven(
        &mut self,
        now: Instant,
        generation: Generation,
        session: S,
        attempt_began: Instant,
        actions: &mut Vec<Action<S>>,
    ) {
        self.trial.take_if(|trial| trial.session == session);
        self.earlier.on_proven(generation);
        if let Some(current) = self.current.as_mut().filter(|current| current.generation == generation) {
            current.proven = true;
            // A success says nothing about what happened after its attempt began.
            if current.refused_at.is_none_or(|refused_at| refused_at <= attempt_began) {
                current.refused_at = None;
                self.pauses = Pauses::default();
                self.grace = Grace::default();
                self.owed = None;
                self.trial = None;
                self.earlier = Earlier::default();
                let is_outdated = |waiting: &Waiting<S>| {
                    waiting.refused == Refused::Certainly
                        && waiting.generation == generation
                        && waiting.since <= attempt_began
                };
                self.waiting
                    .answer(actions, |waiting| is_outdated(waiting).then_some(Answer::Retry(generation)));
            }
        }
        self.go_on(now, actions);
    }

    /// A session has ended without the target's word on what it tried, or waits no longer.
    pub(crate) fn on_abandoned(&mut self, now: Instant, session: S, actions: &mut Vec<Action<S>>) {
        self.waiting.forget(session);
        self.trial.take_if(|trial| trial.session == session);
        self.go_on(now, actions);
    }

    /// The fetch that was asked for is over.
    pub(crate) fn on_fetched(
        &mut self,
        now: Instant,
        outcome: Outcome,
        schedule: Schedule,
        actions: &mut Vec<Action<S>>,
    ) {
        // Values that were fetched for a new file may be older than the refusals of those who wait.
        let (began, again) = match self.fetching {
            Fetching::UnderWay { began, again } => (Some(began), again),
            Fetching::Idle => (self.is_fixed.then_some(now), false),
        };
        self.fetching = Fetching::Idle;
        self.fetched_at = Some(now);
        self.answered_until = if outcome.has_failed() { Some(now) } else { began };
        let last_usable_until = self.lifetime.usable_until(self.rules);
        if outcome.has_failed() {
            self.failures.start_within(now, self.rules.failure_pause_max);
            if outcome == Outcome::Gone && self.current.is_some() {
                self.lifetime.end(now);
            } else {
                self.lifetime.on_failure(now);
            }
        } else {
            self.failures = Backoff::default();
            self.lifetime.begin(schedule);
        }
        match outcome {
            Outcome::Changed { generation, same_target } => {
                // Clients may be gone before the store has answered: the pause does not depend on them.
                let was_refused = self.owed.take().is_some()
                    || self.waiting.iter().any(|waiting| waiting.refused == Refused::Certainly);
                let last = self.current.replace(Current { generation, proven: false, refused_at: None });
                let is_tried = self.trial.is_some();
                self.earlier.follow(now, last, last_usable_until, is_tried);
                if !same_target {
                    self.earlier = Earlier::default();
                    self.pauses.on_new_sources();
                }
                self.trial = None;
                self.moved_at = None;
                self.pauses.retries = Backoff::default();
                self.pauses.doubts = Backoff::default();
                // Two values in a moment are one change.
                if (was_refused || is_tried && self.pauses.doubt_fresh()) && !self.pauses.refusals.holds(now)
                {
                    self.pauses.refusals.start(now);
                }
                if self.pauses.hold_fresh(now) {
                    self.current = Some(Current { generation, proven: false, refused_at: Some(now) });
                } else {
                    self.grace = Grace::default();
                }
            }
            // Nothing better is to be had for those whom this fetch was for.
            Outcome::Unchanged | Outcome::Failed | Outcome::Gone => {
                let current = self.current.as_ref().map(|current| current.generation);
                let answered_until = self.answered_until;
                let is_answered = |since| answered_until.is_some_and(|until| since <= until);
                // The pause does not depend on who still waits: clients may be gone before the store has answered.
                if self.owed.take_if(|since| is_answered(*since)).is_some()
                    && !self.pauses.refusals.holds(now)
                {
                    self.pauses.refusals.start(now);
                }
                let is_told = self.waiting.give_up(actions, |waiting| {
                    waiting.refused == Refused::Perhaps
                        && Some(waiting.generation) == current
                        && is_answered(waiting.since)
                });
                if is_told {
                    self.pauses.doubts.start(now);
                }
            }
        }
        self.go_on(now, actions);
        if again || (began.is_none() && (self.owed.is_some() || self.awaits_fetch())) {
            self.fetch(now, actions);
        }
    }

    /// A fetch that begins now, or as soon as the one under way is over.
    fn fetch(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        self.grace.ask_at = None;
        match &mut self.fetching {
            Fetching::UnderWay { again, .. } => *again = true,
            Fetching::Idle => {
                self.fetching = Fetching::UnderWay { began: now, again: false };
                actions.push(Action::Fetch);
            }
        }
    }
}

/// Sessions that wait for a first value have their store asked at least as often.
const WANTED_PAUSE_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
