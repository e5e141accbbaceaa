//! Months of a service whose store gives leases: outages, slow answers, a machine that sleeps.

use super::*;
use crate::leases::{Step, Term};
use crate::providers::Granted;

const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Numbers that look random, for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// An account at the target, as its store has it.
#[derive(Clone, Copy)]
struct Account {
    made_at: Instant,
    ends_at: Instant,
}

/// What is on its way from the store.
struct Answer {
    at: Instant,
    held: Option<(usize, Term)>,
}

/// A service, its store and its target.
struct Life {
    scene: Scene,
    dice: Dice,
    accounts: Vec<Account>,
    /// The account of each generation, by its number less one.
    generations: Vec<usize>,
    /// What is leased.
    held: Option<(usize, Term)>,
    answer: Option<Answer>,
    /// Until when the store is away.
    away_until: Instant,
    next_session: u32,
    /// Clients that were let in, and when others were not.
    let_in: usize,
    sent_away: Vec<Instant>,
    refused: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let scene = Scene::with_grace(Duration::from_secs(2));
        Self {
            away_until: scene.now,
            scene,
            dice: Dice(seed),
            accounts: Vec::new(),
            generations: Vec::new(),
            held: None,
            answer: None,
            next_session: 0,
            let_in: 0,
            sent_away: Vec::new(),
            refused: 0,
        }
    }

    fn now(&self) -> Instant {
        self.scene.now
    }

    /// Lets the store give an hour for each question, and a day to each account.
    fn ask(&mut self) {
        let now = self.now();
        let is_refused = self.scene.rotation.wants_others();
        if now < self.away_until {
            self.answer = Some(Answer { at: now + Duration::from_secs(15), held: None });
            return;
        }
        let held = match self.held.map(|(account, term)| (account, term, term.step(now, is_refused))) {
            Some((account, term, Step::Keep)) => (account, term),
            Some((account, term, Step::Renew)) if now < self.accounts[account].ends_at => {
                let known = &mut self.accounts[account];
                known.ends_at = (now + HOUR).min(known.made_at + 24 * HOUR);
                {
                    let duration = known.ends_at - now;
                    let is_last = duration < HOUR;
                    (account, term.renewed(now, Granted { duration, renewable: !is_last, is_last }))
                }
            }
            _ => {
                self.accounts.push(Account { made_at: now, ends_at: now + HOUR });
                (self.accounts.len() - 1, Term::new(now, HOUR, true))
            }
        };
        let slow = Duration::from_millis(self.dice.roll(10_000));
        self.answer = Some(Answer { at: now + slow, held: Some(held) });
    }

    fn on_answer(&mut self, held: Option<(usize, Term)>) {
        let Some((account, term)) = held else {
            let actions = self.scene.fetched(Outcome::Failed);
            return self.obey(actions);
        };
        self.held = Some((account, term));
        let outcome = if self.generations.last() == Some(&account) && self.scene.rotation.in_force().is_some()
        {
            Outcome::Unchanged
        } else {
            self.generations.push(account);
            self.scene.generation = self.generations.len() as u64;
            Outcome::Changed { generation: Generation(self.scene.generation), same_target: true }
        };
        let (refetch_at, due_at) = (Some(term.due_at()), Some(term.stale_at()));
        let schedule = Schedule { refetch_at, due_at, usable_until: Some(term.over_at().0) };
        let actions =
            self.scene.act(|rotation, now, actions| rotation.on_fetched(now, outcome, schedule, actions));
        self.obey(actions);
    }

    /// A session proves what it was given.
    fn prove(&mut self, session: u32, generation: Generation) {
        let now = self.now();
        let account = usize::try_from(generation.0).ok().and_then(|number| self.generations.get(number - 1));
        let is_live = account.is_some_and(|account| now < self.accounts[*account].ends_at);
        let actions = self.scene.act(|rotation, now, actions| match is_live {
            true => rotation.on_proven(now, generation, session, now, actions),
            false => rotation.on_refused(now, generation, session, true, actions),
        });
        if is_live {
            self.let_in += 1;
        } else {
            self.refused += 1;
        }
        self.obey(actions);
    }

    fn connect(&mut self) {
        let session = self.next_session;
        self.next_session += 1;
        let now = self.now();
        let Some(generation) = self.scene.rotation.in_force() else {
            let actions = self.scene.act(Rotation::on_wanted);
            self.obey(actions);
            return self.sent_away.push(now);
        };
        if self.scene.rotation.open(now) == Some(generation) {
            return self.prove(session, generation);
        }
        let actions = self.scene.act(|rotation, now, actions| {
            rotation.on_permission_wanted(now, generation, session, actions);
        });
        self.obey(actions);
    }

    fn obey(&mut self, actions: Vec<Action<u32>>) {
        for action in actions {
            let now = self.now();
            match action {
                Fetch => self.ask(),
                Withdraw => self.held = None,
                Action::Answer(session, answer) => match answer {
                    super::Answer::GiveUp => self.sent_away.push(now),
                    super::Answer::Retry(generation) => self.prove(session, generation),
                    super::Answer::Proceed => {
                        let generation = self.scene.rotation.in_force().expect("it was let go on with one");
                        self.prove(session, generation);
                    }
                },
            }
        }
    }

    /// Does everything that is due until `end`; a client comes every few seconds.
    fn live_until(&mut self, end: Instant) {
        let mut client_at = self.now();
        while self.now() < end {
            let due = self.scene.rotation.next_deadline().map(|at| at.max(self.now()));
            let answer_at = self.answer.as_ref().map(|answer| answer.at);
            let next =
                [due, answer_at, Some(client_at)].into_iter().flatten().min().expect("there is a client");
            self.scene.now = self.now().max(next);
            if let Some(answer) = self.answer.take_if(|answer| answer.at <= next) {
                self.on_answer(answer.held);
            } else if due.is_some_and(|at| at <= next) {
                let actions = self.scene.time();
                self.obey(actions);
            } else {
                self.connect();
                client_at = self.now() + Duration::from_millis(1_000 + self.dice.roll(30_000));
            }
        }
    }
}

#[test]
fn leases_are_renewed_and_replaced_for_months_and_no_client_notices() {
    for seed in 0..4 {
        let mut life = Life::new(seed);
        let actions = life.scene.changed();
        life.obey(actions);
        let start = life.now();
        life.live_until(start + Duration::from_secs(60));
        life.sent_away.clear();
        while life.now() < start + 3 * MONTH {
            // What is away for a quarter of an hour comes back before a lease that was to be renewed is over.
            life.away_until = life.now() + Duration::from_secs(life.dice.roll(15 * 60));
            let until = life.now() + Duration::from_secs(3600 + life.dice.roll(48 * 3600));
            life.live_until(until);
        }
        assert_eq!((life.sent_away.len(), life.refused), (0, 0), "seed {seed}: {} were let in", life.let_in);
        assert!(life.let_in > 200_000, "{}", life.let_in);
        // A day for each account, and some minutes of its last hour are not used.
        assert!((90..=100).contains(&life.accounts.len()), "seed {seed}: {} accounts", life.accounts.len());
    }
}

#[test]
fn a_store_that_is_away_for_hours_is_asked_until_it_is_back_and_nobody_logs_in_with_a_lease_that_is_over() {
    let mut life = Life::new(7);
    let actions = life.scene.changed();
    life.obey(actions);
    let begin = life.now() + HOUR;
    life.live_until(begin);
    life.sent_away.clear();
    for _ in 0..50 {
        let begin = life.now();
        life.away_until = begin + 3 * HOUR;
        life.live_until(begin + 6 * HOUR);
        // Nobody was sent away while the lease lasted, nor once the store was back for as long as a pause and an answer take. The pause
        // is a minute here; the store's breaker, which is not in this, makes it five seconds.
        let early = life.sent_away.iter().filter(|at| **at < begin + HOUR / 3).count();
        let late =
            life.sent_away.iter().filter(|at| **at > begin + 3 * HOUR + Duration::from_secs(90)).count();
        assert_eq!((early, late), (0, 0));
        assert!(!life.sent_away.is_empty(), "its lease was over in between");
        life.sent_away.clear();
    }
    assert_eq!(life.refused, 0, "nobody logs in with a lease that is over");
}

#[test]
fn a_machine_that_sleeps_past_its_leases_end_wakes_with_another_one() {
    let mut life = Life::new(11);
    let actions = life.scene.changed();
    life.obey(actions);
    let begin = life.now() + HOUR;
    life.live_until(begin);
    life.sent_away.clear();
    for _ in 0..200 {
        // The clock goes on and nobody has done anything.
        life.scene.now += Duration::from_secs(life.dice.roll(12 * 3600));
        let woken = life.now();
        life.live_until(woken + HOUR);
        // Who comes while the store takes its seconds waits for what it says.
        let late = life.sent_away.iter().filter(|at| **at > woken + Duration::from_secs(12)).count();
        assert_eq!(late, 0);
        life.sent_away.clear();
    }
    assert_eq!(life.refused, 0);
}
