//! Fetching all values of one service.
//!
//! Owns which provider is asked for what, the rounds of questions and how long their answers hold. Knows nothing of
//! when to fetch or what changed.

mod ask;
mod parameters;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ask::{Ask, Piece};
use dataplane::ServiceId;
use protocol::{Protocol, Secret};

use crate::clock;
use crate::config::{CredentialConfig, Source};
use crate::leases::{Holds, Leases};
use crate::providers::{FetchError, Item, Provider};
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
    leases: Leases,
}

/// Values to be fetched; the answer is `Store::on_fetched`.
pub(crate) struct Question {
    pub service: ServiceId,
    pub epoch: u64,
    pub sources: Arc<Sources>,
    /// The leases that there are.
    pub holds: Holds,
    /// Whether the target does not take their values.
    pub is_refused: bool,
}

/// What a round of questions has brought.
pub(crate) struct Answer {
    /// All values, or why each provider that failed did so.
    pub result: Result<Round, Vec<Failure>>,
    /// How it went with each provider.
    pub asked: Vec<Asked>,
    /// The leases that there are, also where something else failed: what was given or prolonged is not asked for again.
    pub holds: Holds,
}

/// A successful round.
#[derive(Default)]
pub(crate) struct Round {
    pub values: Values,
    pub schedule: Schedule,
    /// Which versions came, for people.
    pub versions: Vec<String>,
    /// See [`Fetched::notes`].
    pub notes: Vec<String>,
}

/// A provider that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub provider: Arc<str>,
    /// Who was asked there: the store, or one of its hosts.
    pub peer: Arc<str>,
    /// The values that it was asked for: their names in the service, and what the store calls them.
    pub asked: Vec<(String, String)>,
    pub error: FetchError,
}

/// What came of one ask, and how long that took.
type Answered = (Result<Piece, FetchError>, Duration);

/// One question, for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub provider: Arc<str>,
    /// Who was asked there: the store, or one of its hosts.
    pub peer: Arc<str>,
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
        let mut sources = Self {
            literals: Values::default(),
            asks: Vec::new(),
            unknown: None,
            refresh,
            leases: stores.leases().clone(),
        };
        for CredentialConfig { name, source, .. } in credentials {
            let is_public = protocol.fields().iter().any(|field| field.is_public && field.name == name);
            match source {
                Source::Literal(secret) => sources.literals.insert(&name, value(secret, is_public)),
                Source::Provider { store, id, raw, .. } => match stores.get(&store) {
                    Some(found) => sources.ask(found, Item { id, raw, is_public }, name),
                    None => sources.unknown = Some(store),
                },
                Source::Unknown(provider) => sources.unknown = Some(provider),
            }
        }
        sources
    }

    fn ask(&mut self, (store, provider): (&Arc<str>, &Arc<dyn Provider>), item: Item, name: String) {
        let place = provider.place(&item.id);
        let is_it = |ask: &Ask| ask.store == *store && ask.place == place;
        let known = self.asks.iter().position(is_it);
        let index = known.unwrap_or_else(|| {
            self.asks.push(Ask::new(store, provider, place));
            self.asks.len() - 1
        });
        let ask = &mut self.asks[index];
        let place = ask.request.items.iter().position(|known| *known == item).unwrap_or_else(|| {
            ask.request.items.push(item);
            ask.request.items.len() - 1
        });
        ask.names.push((name, place));
    }

    /// Who is asked, each at least once: stores, or hosts of theirs, each with its store.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.asks.iter().map(|ask| (&ask.peer, &ask.store))
    }

    /// Whether there is nobody to ask: the file itself holds every value.
    pub(crate) fn is_fixed(&self) -> bool {
        self.asks.is_empty() && self.unknown.is_none()
    }

    /// Whether every answer is the last word: there is no other to wait for.
    pub(crate) fn is_constant(&self) -> bool {
        self.asks.iter().all(|ask| ask.provider.is_constant())
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
        let round = Round { values, ..Round::default() };
        self.is_fixed().then(|| Answer { result: Ok(round), asked: Vec::new(), holds: Vec::new() })
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

    /// Asks every provider once, all at the same time, for what is not in `holds` or is due there. `is_refused` says that the
    /// target does not take what is in there.
    ///
    /// Files are watched before they are read: whatever changes after the reading is an event, so none is missed.
    pub(crate) async fn fetch(self: Arc<Self>, watch: Watch, holds: Holds, is_refused: bool) -> Answer {
        if let Some(provider) = &self.unknown {
            let words = format!("provider '{provider}' is not supported by this broker");
            let provider: Arc<str> = provider.as_str().into();
            let error = FetchError::Unsupported(words);
            let failure = Failure { peer: Arc::clone(&provider), provider, asked: Vec::new(), error };
            return Answer { result: Err(vec![failure]), asked: Vec::new(), holds };
        }
        let paths = self.watch_paths();
        if !paths.is_empty() {
            watch.attach(paths).await;
        }
        let mut answers: Vec<_> = self.asks.iter().map(|_| None).collect();
        let is_first = |ask: &Ask| ask.provider.parameters().is_empty();
        for round in [true, false] {
            let asks = (0..self.asks.len()).filter(|index| is_first(&self.asks[*index]) == round);
            // A task each: they run side by side, and a provider that panics fails alone.
            let asks: Vec<_> = asks
                .map(|index| {
                    let (sources, held) = (Arc::clone(&self), holds.get(index).cloned().flatten());
                    let parameters = self.parameters(&self.asks[index], &answers);
                    let task = tokio::spawn(async move {
                        let began = clock::now();
                        let Sources { asks, refresh, leases, .. } = &*sources;
                        let obtain =
                            |parameters| asks[index].obtain(held, is_refused, *refresh, leases, parameters);
                        let piece = match parameters {
                            Ok(parameters) => obtain(parameters).await,
                            Err(error) => Err(error),
                        };
                        (piece, clock::now().duration_since(began))
                    });
                    (index, task)
                })
                .collect();
            for (index, task) in asks {
                answers[index] = Some(task.await.unwrap_or_else(|_| {
                    let words = "the provider broke down: this is a bug".to_owned();
                    (Err(FetchError::Failing(words)), Duration::ZERO)
                }));
            }
        }
        self.join(answers.into_iter().flatten().collect(), holds)
    }

    fn join(&self, answers: Vec<Answered>, mut holds: Holds) -> Answer {
        holds.resize(self.asks.len(), None);
        let mut round = Round { values: self.literals.clone(), ..Round::default() };
        let (mut failures, mut asked) = (Vec::new(), Vec::new());
        for ((ask, held), (answer, took)) in self.asks.iter().zip(&mut holds).zip(answers) {
            let outcome = match &answer {
                Ok(piece) => piece.outcome,
                Err(FetchError::Unasked(_)) => None,
                Err(error) => Some(error.label()),
            };
            let (provider, peer) = (Arc::clone(&ask.store), Arc::clone(&ask.peer));
            asked.extend(outcome.map(|outcome| Asked { provider, peer, outcome, took }));
            match answer {
                Ok(piece) => {
                    round.schedule = round.schedule.earlier(piece.schedule);
                    round.notes.extend(piece.notes);
                    let version =
                        piece.version.map(|version| format!("{} is in version {version}", ask.place));
                    round.versions.extend(version);
                    for (name, item) in &ask.names {
                        round.values.insert(name, piece.values[*item].clone());
                    }
                    *held = piece.held;
                }
                Err(error) => {
                    let (provider, peer) = (Arc::clone(&ask.store), Arc::clone(&ask.peer));
                    let items = &ask.request.items;
                    let asked = ask.names.iter().map(|(name, item)| (name.clone(), items[*item].id.clone()));
                    failures.push(Failure { provider, peer, asked: asked.collect(), error });
                }
            }
        }
        Answer { result: if failures.is_empty() { Ok(round) } else { Err(failures) }, asked, holds }
    }
}

/// A value where it lies from now on: what anybody may see has no need of memory that is scarce.
fn value(secret: Secret, is_public: bool) -> Value {
    if is_public { Value::public(secret) } else { Value::new(secret) }
}

/// What failed, as one line: the Go broker's words for it.
pub(crate) fn describe(failures: &[Failure]) -> String {
    let mut by_provider: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for failure in failures {
        let words: &mut Vec<String> = by_provider.entry(&failure.provider).or_default();
        let error = failure.error.to_string();
        if !words.contains(&error) {
            words.push(error);
        }
    }
    let lines = by_provider.iter().map(|(provider, errors)| {
        format!("Resolving credentials from provider '{provider}' failed: {}", errors.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
}
