//! Fetching all values of one service.
//!
//! Owns which provider is asked for what, the rounds of questions and how long their answers hold. Knows nothing of
//! when to fetch or what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::ServiceId;
use protocol::Protocol;

use crate::config::{CredentialConfig, Source};
use crate::providers::{FetchError, Fetched, Item, Lease, Provider, Request};
use crate::rotation::Schedule;
use crate::stores::Stores;
use crate::values::{Value, Values};
use crate::watch::Watch;

/// Where the values of one service come from.
pub(crate) struct Sources {
    literals: Values,
    asks: Vec<Ask>,
    /// A provider of the Go broker that is not in this one.
    unknown: Option<String>,
    /// How often stores are asked that do not say when a value changes.
    refresh: Option<Duration>,
}

/// Values to be fetched; the answer is `Store::on_fetched`.
pub(crate) struct Question {
    pub service: ServiceId,
    pub epoch: u64,
    pub sources: Arc<Sources>,
}

/// What one provider is asked for.
struct Ask {
    store: Arc<str>,
    provider: Arc<dyn Provider>,
    request: Request,
    /// The values' names, and which item of the request each is.
    names: Vec<(String, usize)>,
}

/// What a round of questions has brought.
pub(crate) struct Answer {
    /// All values, or why each provider that failed did so.
    pub result: Result<Round, Vec<Failure>>,
    /// How it went with each provider.
    pub asked: Vec<Asked>,
}

/// A successful round.
pub(crate) struct Round {
    pub values: Values,
    pub schedule: Schedule,
    /// See [`Fetched::notes`].
    pub notes: Vec<String>,
}

/// A provider that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub provider: String,
    pub error: FetchError,
}

/// One question, for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub provider: Arc<str>,
    pub outcome: &'static str,
    pub took: Duration,
}

impl Sources {
    /// The sources that the file names, which `stores` has. Its literals move into wiped memory of our own.
    pub(crate) fn new(
        credentials: Vec<CredentialConfig>,
        protocol: &dyn Protocol,
        refresh: Option<Duration>,
        stores: &Stores,
    ) -> Self {
        let mut sources = Self { literals: Values::default(), asks: Vec::new(), unknown: None, refresh };
        for CredentialConfig { name, source, .. } in credentials {
            match source {
                Source::Literal(secret) => sources.literals.insert(&name, Value::new(secret)),
                Source::Provider { store, id, raw, .. } => {
                    let is_public =
                        protocol.fields().iter().any(|field| field.is_public && field.name == name);
                    match stores.get(&store) {
                        Some(found) => sources.ask(found, Item { id, raw, is_public }, name),
                        None => sources.unknown = Some(store),
                    }
                }
                Source::Unknown(provider) => sources.unknown = Some(provider),
            }
        }
        sources
    }

    fn ask(&mut self, (store, provider): (&Arc<str>, &Arc<dyn Provider>), item: Item, name: String) {
        let known = self.asks.iter().position(|ask| ask.store == *store);
        let index = known.unwrap_or_else(|| {
            let (store, provider) = (Arc::clone(store), Arc::clone(provider));
            self.asks.push(Ask {
                store,
                provider,
                request: Request { items: Vec::new() },
                names: Vec::new(),
            });
            self.asks.len() - 1
        });
        let ask = &mut self.asks[index];
        let place = ask.request.items.iter().position(|known| *known == item).unwrap_or_else(|| {
            ask.request.items.push(item);
            ask.request.items.len() - 1
        });
        ask.names.push((name, place));
    }

    /// Whether there is nobody to ask: the file itself holds every value.
    pub(crate) fn is_fixed(&self) -> bool {
        self.asks.is_empty() && self.unknown.is_none()
    }

    /// Whether another fetch would fail as this one did: the file names a provider that this broker does not have, or one
    /// whose answers never change.
    pub(crate) fn is_hopeless(&self, failures: &[Failure]) -> bool {
        let is_constant = |failure: &Failure| {
            let asked = self.asks.iter().find(|ask| *ask.store == *failure.provider);
            asked.is_some_and(|ask| ask.provider.is_constant())
        };
        self.unknown.is_some() || failures.iter().any(is_constant)
    }

    /// The values, if all are in the file.
    pub(crate) fn literals(&self) -> Option<Answer> {
        let values = self.literals.clone();
        let round = Round { values, schedule: Schedule::default(), notes: Vec::new() };
        self.is_fixed().then(|| Answer { result: Ok(round), asked: Vec::new() })
    }

    /// Whether both ask the same for the same, and hold the same literals.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |(mine, theirs): (&Ask, &Ask)| {
            Arc::ptr_eq(&mine.provider, &theirs.provider)
                && mine.request == theirs.request
                && mine.names == theirs.names
        };
        self.unknown == other.unknown
            && self.refresh == other.refresh
            && self.asks.len() == other.asks.len()
            && self.asks.iter().zip(&other.asks).all(is_same)
            && self.literals.is_same(&other.literals)
    }

    /// The files whose change means that a value may have changed.
    pub(crate) fn watch_paths(&self) -> Vec<PathBuf> {
        let items = self.asks.iter().flat_map(|ask| ask.request.items.iter().map(move |item| (ask, item)));
        items.filter_map(|(ask, item)| ask.provider.watch_path(&item.id)).collect()
    }

    /// Asks every provider once, all at the same time.
    ///
    /// Files are watched before they are read: whatever changes after the reading is an event, so none is missed.
    pub(crate) async fn fetch(self: Arc<Self>, watch: Watch) -> Answer {
        if let Some(provider) = &self.unknown {
            let words = format!("provider '{provider}' is not supported by this broker");
            let failure = Failure { provider: provider.clone(), error: FetchError::Unsupported(words) };
            return Answer { result: Err(vec![failure]), asked: Vec::new() };
        }
        let paths = self.watch_paths();
        if !paths.is_empty() {
            watch.attach(paths).await;
        }
        // A task each: they run side by side, and a provider that panics fails alone.
        let rounds: Vec<_> = self
            .asks
            .iter()
            .map(|ask| {
                let fetching = ask.provider.fetch(ask.request.clone());
                tokio::spawn(async move {
                    let began = Instant::now();
                    (fetching.await, began.elapsed())
                })
            })
            .collect();
        let mut answers = Vec::with_capacity(rounds.len());
        for round in rounds {
            answers.push(round.await.unwrap_or_else(|_| {
                let words = "the provider broke down: this is a bug".to_owned();
                (Err(FetchError::Unavailable(words)), Duration::ZERO)
            }));
        }
        self.join(answers, Instant::now())
    }

    fn join(&self, answers: Vec<(Result<Fetched, FetchError>, Duration)>, now: Instant) -> Answer {
        let mut round =
            Round { values: self.literals.clone(), schedule: Schedule::default(), notes: Vec::new() };
        let mut failures = Vec::new();
        let mut asked = Vec::new();
        for (ask, (answer, took)) in self.asks.iter().zip(answers) {
            let provider = &ask.store;
            let outcome = match &answer {
                Ok(_) => "ok",
                Err(error) => error.label(),
            };
            asked.push(Asked { provider: Arc::clone(provider), outcome, took });
            match answer {
                Ok(fetched) if fetched.values.len() == ask.request.items.len() => {
                    let refresh = self.refresh.filter(|_| ask.provider.must_be_asked());
                    round.schedule = earlier(round.schedule, schedule(&fetched, refresh, now));
                    round.notes.extend(fetched.notes);
                    let values: Vec<Value> = fetched.values.into_iter().map(Value::new).collect();
                    for (name, item) in &ask.names {
                        round.values.insert(name, values[*item].clone());
                    }
                }
                Ok(_) => {
                    let words = "the provider gave another number of values: this is a bug".to_owned();
                    let error = FetchError::Unusable(words);
                    failures.push(Failure { provider: provider.to_string(), error });
                }
                Err(error) => failures.push(Failure { provider: provider.to_string(), error }),
            }
        }
        Answer { result: if failures.is_empty() { Ok(round) } else { Err(failures) }, asked }
    }
}

/// What failed, as one line: the Go broker's words for it.
pub(crate) fn describe(failures: &[Failure]) -> String {
    let mut by_provider: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for failure in failures {
        by_provider.entry(&failure.provider).or_default().push(failure.error.to_string());
    }
    let lines = by_provider.iter().map(|(provider, errors)| {
        format!("Resolving credentials from provider '{provider}' failed: {}", errors.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// A lease that can be prolonged is asked about when a third of it is left, so that an outage of that length does no
/// harm; one that cannot is replaced late, for each replacement makes an account at the target.
fn schedule(fetched: &Fetched, refresh: Option<Duration>, now: Instant) -> Schedule {
    let Fetched { refetch_at, usable_until, .. } = *fetched;
    let said = Schedule { refetch_at, due_at: None, usable_until };
    if let Some(Lease { duration, renewable, .. }) = &fetched.lease {
        let due = now + if *renewable { *duration * 2 / 3 } else { *duration * 17 / 20 };
        let lease =
            Schedule { refetch_at: Some(due), due_at: Some(due), usable_until: Some(now + *duration) };
        return earlier(lease, said);
    }
    let due = refresh.map(|interval| now + interval);
    earlier(
        said,
        Schedule { refetch_at: due.filter(|_| refetch_at.is_none()), due_at: due, usable_until: None },
    )
}

/// What comes first of each.
fn earlier(a: Schedule, b: Schedule) -> Schedule {
    let first = |a: Option<Instant>, b: Option<Instant>| a.into_iter().chain(b).min();
    Schedule {
        refetch_at: first(a.refetch_at, b.refetch_at),
        due_at: first(a.due_at, b.due_at),
        usable_until: first(a.usable_until, b.usable_until),
    }
}
