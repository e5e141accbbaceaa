//! When the values of one service are fetched, and what a session is told whose credential the target refused.
//!
//! Owns decisions only: no clock, no value, no socket. The time is an argument; what is to be done is an [`Action`].
//!
//! A generation is *proven* once the target has accepted it. A refusal makes one fetch that begins after it, for
//! every session that waits, with a back-off so that no account is locked and no store is flooded. A generation
//! that came of such a fetch is tried by one session; the others wait for its proof.

use std::time::{Duration, Instant};

use protocol::Generation;

/// Something to be done, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<S> {
    /// Fetch the values, and say what came of it: [`Rotation::on_fetched`].
    Fetch,
    /// Tell a session whether to try again with the newest generation.
    Verdict(S, bool),
    /// Take the present values out of use: their time is over.
    Withdraw,
}

/// What a fetch has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Other values than before, or the first: they are this generation from now on.
    Changed(Generation),
    /// The values that are there already.
    Unchanged,
    /// None.
    Failed,
}

/// When fetched values ask for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// When to fetch again.
    pub refetch_at: Option<Instant>,
    /// From when on they must not be used.
    pub usable_until: Option<Instant>,
}

impl Schedule {
    /// Lets services that were fetched together be fetched again over a tenth of the time.
    pub(crate) fn spread(&mut self, key: u32, now: Instant) {
        if let Some(at) = &mut self.refetch_at {
            let tenth = at.saturating_duration_since(now) / 10;
            *at -= tenth * (key % 64) / 64;
        }
    }
}

/// One service's rotation. `S` names a session.
pub(crate) struct Rotation<S> {
    /// Whether a fetch can bring nothing new: all values are in the file.
    is_fixed: bool,
    fetching: Fetching,
    current: Option<Current>,
    waiting: Vec<Waiting<S>>,
    trial: Option<Trial<S>>,
    refusals: Backoff,
    failures: Backoff,
    fetched_at: Option<Instant>,
    schedule: Schedule,
}

enum Fetching {
    Idle,
    UnderWay {
        began: Instant,
        /// Something has happened since that the answer may not know of.
        again: bool,
    },
}

/// The generation that is in force.
struct Current {
    generation: Generation,
    proven: bool,
    /// When it was refused last, unless an attempt that began later succeeded.
    refused_at: Option<Instant>,
}

/// A session that waits for a verdict: on its own generation if that is the current one, else on the current one.
struct Waiting<S> {
    session: S,
    generation: Generation,
    since: Instant,
}

/// A session that tries an unproven generation for all that wait.
struct Trial<S> {
    session: S,
    until: Instant,
}

impl<S: Copy + PartialEq> Rotation<S> {
    /// A service whose values have not been fetched yet.
    pub(crate) fn new(is_fixed: bool) -> Self {
        Self {
            is_fixed,
            fetching: Fetching::Idle,
            current: None,
            waiting: Vec::new(),
            trial: None,
            refusals: Backoff::default(),
            failures: Backoff::default(),
            fetched_at: None,
            schedule: Schedule::default(),
        }
    }

    /// The configuration names other sources: what was under way counts no more.
    pub(crate) fn on_sources_replaced(&mut self, is_fixed: bool) {
        self.is_fixed = is_fixed;
        self.fetching = Fetching::Idle;
        self.failures = Backoff::default();
        self.schedule = Schedule::default();
    }

    /// The values are wanted now: at the start, or because a store says that they changed.
    pub(crate) fn on_changed(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        if !self.is_fixed {
            self.fetch(now, actions);
        }
    }

    /// A session waits for a first generation.
    pub(crate) fn on_wanted(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        let is_recent = self.fetched_at.is_some_and(|at| now < at + Backoff::FIRST);
        if self.current.is_none() && matches!(self.fetching, Fetching::Idle) && !is_recent {
            self.on_changed(now, actions);
        }
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
        let Some(current) = &mut self.current else {
            return actions.push(Action::Verdict(session, false));
        };
        let waiting = Waiting { session, generation, since: now };
        if generation < current.generation {
            return self.on_stale_refused(now, waiting, actions);
        }
        if self.trial.as_ref().is_some_and(|trial| trial.session == session) {
            self.trial = None;
            self.answer(false, actions, |waiting| waiting.generation < generation);
        }
        let Some(current) = &mut self.current else { return };
        // A client can provoke an uncertain refusal with a database that it may not use.
        if self.is_fixed || (!certain && current.proven) {
            return actions.push(Action::Verdict(session, false));
        }
        current.refused_at = Some(now);
        if self.refusals.holds(now) {
            return actions.push(Action::Verdict(session, false));
        }
        self.waiting.push(waiting);
        self.fetch(now, actions);
    }

    /// A session was refused with values that have been replaced since.
    fn on_stale_refused(&mut self, now: Instant, waiting: Waiting<S>, actions: &mut Vec<Action<S>>) {
        let Some(current) = &self.current else { return };
        match current.refused_at {
            Some(_) if self.refusals.holds(now) => actions.push(Action::Verdict(waiting.session, false)),
            None if current.proven => actions.push(Action::Verdict(waiting.session, true)),
            _ => {
                self.waiting.push(waiting);
                self.try_next(now, actions);
            }
        }
    }

    /// The target accepted `generation` in an attempt that began at `attempt_began`.
    pub(crate) fn on_proven(
        &mut self,
        generation: Generation,
        attempt_began: Instant,
        actions: &mut Vec<Action<S>>,
    ) {
        let Some(current) = self.current.as_mut().filter(|current| current.generation == generation) else {
            return;
        };
        current.proven = true;
        // A success says nothing about what happened before its attempt began.
        if current.refused_at.is_some_and(|refused_at| attempt_began < refused_at) {
            return;
        }
        current.refused_at = None;
        self.refusals = Backoff::default();
        self.trial = None;
        self.answer(true, actions, |waiting| waiting.generation < generation);
    }

    /// The fetch that was asked for is over.
    pub(crate) fn on_fetched(
        &mut self,
        now: Instant,
        outcome: Outcome,
        schedule: Schedule,
        actions: &mut Vec<Action<S>>,
    ) {
        let (began, again) = match self.fetching {
            Fetching::UnderWay { began, again } => (began, again),
            Fetching::Idle => (now, false),
        };
        self.fetching = Fetching::Idle;
        self.fetched_at = Some(now);
        if outcome == Outcome::Failed {
            self.failures.start(now);
        } else {
            self.failures = Backoff::default();
            self.schedule = schedule;
        }
        let current = self.current.as_ref().map(|current| current.generation);
        match outcome {
            Outcome::Changed(generation) => {
                self.current = Some(Current { generation, proven: false, refused_at: None });
                self.trial = None;
                if !self.waiting.is_empty() {
                    self.refusals.start(now);
                }
            }
            // Nothing better is to be had for those whom this fetch was for.
            Outcome::Unchanged | Outcome::Failed => {
                let is_answered = |waiting: &Waiting<S>| {
                    Some(waiting.generation) == current
                        && (outcome == Outcome::Failed || waiting.since <= began)
                };
                if self.answer(false, actions, is_answered) {
                    self.refusals.start(now);
                }
            }
        }
        self.try_next(now, actions);
        if again {
            self.fetch(now, actions);
        }
    }

    /// When [`Rotation::on_time`] wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let fetch_at = match self.fetching {
            Fetching::Idle => self.fetch_at(),
            Fetching::UnderWay { .. } => None,
        };
        let trial_until = self.trial.as_ref().map(|trial| trial.until);
        [fetch_at, trial_until, self.schedule.usable_until].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        if self.schedule.usable_until.is_some_and(|at| at <= now) {
            self.schedule = Schedule::default();
            self.current = None;
            self.trial = None;
            actions.push(Action::Withdraw);
            self.answer(false, actions, |_| true);
            self.on_changed(now, actions);
        }
        if matches!(self.fetching, Fetching::Idle) && self.fetch_at().is_some_and(|at| at <= now) {
            self.on_changed(now, actions);
        }
        if self.trial.as_ref().is_some_and(|trial| trial.until <= now) {
            // Its client went away, or its target hangs: that says nothing about the credential.
            self.trial = None;
            self.try_next(now, actions);
        }
    }

    /// When the next fetch is due by itself.
    fn fetch_at(&self) -> Option<Instant> {
        if self.is_fixed { None } else { self.failures.until.or(self.schedule.refetch_at) }
    }

    /// A fetch that begins now, or as soon as the one under way is over.
    fn fetch(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        match &mut self.fetching {
            Fetching::UnderWay { again, .. } => *again = true,
            Fetching::Idle => {
                self.fetching = Fetching::UnderWay { began: now, again: false };
                actions.push(Action::Fetch);
            }
        }
    }

    /// Lets one of the sessions that wait for the current generation try it, if none is at it.
    fn try_next(&mut self, now: Instant, actions: &mut Vec<Action<S>>) {
        let Some(current) = &self.current else { return };
        if self.trial.is_some() {
            return;
        }
        let next = self.waiting.iter().position(|waiting| waiting.generation < current.generation);
        if let Some(next) = next {
            let Waiting { session, .. } = self.waiting.remove(next);
            self.trial = Some(Trial { session, until: now + TRIAL_MAX });
            actions.push(Action::Verdict(session, true));
        }
    }

    /// Gives all waiting sessions that `applies` to their verdict; whether there were any.
    fn answer(
        &mut self,
        retry: bool,
        actions: &mut Vec<Action<S>>,
        applies: impl Fn(&Waiting<S>) -> bool,
    ) -> bool {
        let before = actions.len();
        self.waiting.retain(|waiting| {
            let is_answered = applies(waiting);
            if is_answered {
                actions.push(Action::Verdict(waiting.session, retry));
            }
            !is_answered
        });
        actions.len() > before
    }
}

/// A pause that doubles each time it begins again.
#[derive(Default)]
struct Backoff {
    last: Option<Duration>,
    until: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    fn start(&mut self, now: Instant) {
        let pause = self.last.map_or(Self::FIRST, |last| (last * 2).min(Self::LONGEST));
        self.last = Some(pause);
        self.until = Some(now + pause);
    }

    fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// How long one session may try a generation while others wait. A login takes milliseconds; the others' handshakes
/// have deadlines of their own.
const TRIAL_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
