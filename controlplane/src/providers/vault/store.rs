//! One store: its settings and what was learned about it.
//!
//! Owns a round of questions, from a token to values, and the verdict on a secret that is not there any more. Blocks: it
//! runs on threads that may. Knows nothing of logins.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::Secret;

use super::answer::{Leased, Terms};
use super::client::Client;
use super::id::{Id, Place};
use super::read::{Reader, Routes, Trouble};
use super::session::Session;
use super::site::Site;
use super::token::{Token, given};
use crate::clock;
use crate::providers::{FetchError, Fetched, Lease, Request, Settings};
use crate::web::json::Json;
use crate::web::tries::Host;

/// One store.
pub(super) struct Store {
    pub(super) settings: Settings,
    /// Its logins. Whoever logs in holds it meanwhile, so that nobody else does.
    pub(super) session: tokio::sync::Mutex<Session>,
    routes: Routes,
    suspects: Suspects,
    /// Whether it has told nothing about a token that it had just given.
    is_mute: AtomicBool,
    is_hurried: AtomicBool,
    pub(super) host: Host,
}

/// Why there are no values.
pub(super) enum Failed {
    /// The store does not know the token, or not any more.
    Token(String),
    Fetch(FetchError),
}

impl Store {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            session: tokio::sync::Mutex::default(),
            routes: Routes::default(),
            suspects: Suspects::default(),
            is_mute: AtomicBool::new(false),
            is_hurried: AtomicBool::new(false),
            host: Host::default(),
        }
    }

    /// Cuts the rest that follows refused logins to a minute, as of the next question.
    pub(super) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has been in a hurry since the last question.
    pub(super) fn take_hurry(&self) -> bool {
        self.is_hurried.swap(false, Ordering::Relaxed)
    }

    /// Whether it does not say which tokens it knows.
    pub(super) fn is_mute(&self) -> bool {
        self.is_mute.load(Ordering::Relaxed)
    }

    /// Whether it is the secret that this token may not have, or the token that nobody knows: the store says "permission
    /// denied" to both. A token `is_fresh` that a login has given a moment ago: it is known.
    fn judge(
        &self,
        client: &Client,
        (token, is_fresh): (&Token, bool),
        words: String,
    ) -> Result<Trouble, Failed> {
        match client.get("auth/token/lookup-self", "", &token.secret) {
            Ok(answer) if answer.status == 200 => Ok(Trouble::Forbidden(words)),
            Ok(answer) if answer.status == 403 && is_fresh => {
                self.is_mute.store(true, Ordering::Relaxed);
                Ok(Trouble::Forbidden(words))
            }
            Ok(answer) if answer.status == 403 => Err(Failed::Token(words)),
            Ok(answer) => {
                Ok(Trouble::Outage(format!("{words}; about the token it answers {}", answer.status)))
            }
            Err(reason) => Ok(Trouble::Outage(reason)),
        }
    }

    /// Reads every value of `request`, by `deadline`. A token `is_fresh` that a login has given a moment ago: it is known.
    pub(super) fn read(
        &self,
        site: &Site,
        (token, is_fresh): (&Token, bool),
        request: &Request,
        deadline: Instant,
    ) -> Result<Fetched, Failed> {
        let ids = request.items.iter().map(|item| Id::parse(&item.id)).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(|words| Failed::Fetch(FetchError::Unusable(words)))?;
        let client = Client::new(site, deadline);
        let client = client.map_err(|words| Failed::Fetch(FetchError::Failing(words)))?;
        let reader = Reader { client: &client, token: &token.secret, routes: &self.routes };

        let mut places: BTreeMap<Place<'_>, Vec<usize>> = BTreeMap::new();
        for (index, id) in ids.iter().enumerate() {
            places.entry(id.place).or_default().push(index);
        }
        let mut values: Vec<Option<Secret>> = ids.iter().map(|_| None).collect();
        let mut outlook = Outlook::default();
        let mut version = None;
        for (place, indexes) in places {
            let fields: Vec<&str> = indexes.iter().map(|index| ids[*index].field).collect();
            let trouble = match reader.read(place, &fields) {
                Ok(read) => {
                    self.suspects.clear(place);
                    outlook.add(read.terms);
                    version = read.version;
                    for (index, value) in indexes.into_iter().zip(read.values) {
                        values[index] = Some(value);
                    }
                    continue;
                }
                Err(Trouble::Forbidden(words)) => self.judge(&client, (token, is_fresh), words)?,
                Err(trouble) => trouble,
            };
            self.host.rest(client.rest());
            return Err(Failed::Fetch(self.suspects.verdict(place, trouble, Instant::now())));
        }
        let mut fetched = Fetched::new(values.into_iter().flatten().collect());
        // A request is for one place.
        fetched.version = version;
        fetched.refetch_at = outlook.refetch_after().map(|after| clock::now() + after);
        let is_given = token.login().is_none();
        fetched.lease = outlook.lease.map(|Leased { id, lasts, is_renewable }| Lease {
            id,
            // Whoever has got the token for us may put another in its place, but what hangs on this one ends with it.
            duration: if is_given { lasts.min(life_of(&client, token).unwrap_or(lasts)) } else { lasts },
            renewable: is_renewable,
            login: token.login().unwrap_or_else(|| given(&token.secret)),
            revoke: site.revoke,
        });
        Ok(fetched)
    }
}

/// How long a token lives that we know nothing else about, if the store tells.
fn life_of(client: &Client, token: &Token) -> Option<Duration> {
    let answer = client.get("auth/token/lookup-self", "", &token.secret).ok()?;
    let seconds = Json::parse(&answer.body)?.member("data")?.member("ttl")?.number()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(YEAR_SECONDS)))
}

/// How long all values of a fetch are good for.
#[derive(Default)]
struct Outlook {
    /// The lease that they hang on.
    lease: Option<Leased>,
    /// When the first of the others should be looked at.
    look_after: Option<Duration>,
}

impl Outlook {
    fn add(&mut self, terms: Terms) {
        let after = match terms {
            // A request is for one place, and one place has one lease.
            Terms::Leased(lease) => return self.lease = Some(lease),
            Terms::Open { seconds: 0 } => return,
            // What whoever wrote a secret of KV version 1 said, in a field `ttl`.
            Terms::Open { seconds } => Duration::from_secs(seconds.min(YEAR_SECONDS)).max(REFETCH_AFTER_MIN),
            // The store counts whole seconds, and may be late: then every second, until there is a new time.
            Terms::Rotated { seconds } => Duration::from_secs(seconds.min(YEAR_SECONDS) + 1),
        };
        self.look_after = Some(self.look_after.map_or(after, |known| known.min(after)));
    }

    /// Each fetch makes a lease anew, and with it an account at the target: so only its end is a reason for one.
    fn refetch_after(&self) -> Option<Duration> {
        self.look_after.filter(|_| self.lease.is_none())
    }
}

/// Secrets that a store has denied once. One that it still denies some seconds later is gone: a store that is being set up
/// or changed denies what is there.
#[derive(Default)]
struct Suspects(Mutex<BTreeMap<(String, Option<u32>), Instant>>);

impl Suspects {
    fn clear(&self, place: Place<'_>) {
        self.lock().remove(&key(place));
    }

    fn verdict(&self, place: Place<'_>, trouble: Trouble, now: Instant) -> FetchError {
        let (words, is_missing) = match trouble {
            Trouble::Missing(words) => (words, true),
            Trouble::Forbidden(words) => (words, false),
            Trouble::Unusable(words) => return FetchError::Unusable(words),
            Trouble::Empty(words) => return FetchError::Empty(words),
            Trouble::Failing(words) => return FetchError::Failing(words),
            Trouble::Outage(words) => return FetchError::Unavailable(words),
        };
        let since = *self.lock().entry(key(place)).or_insert(now);
        match (now.duration_since(since) >= SECOND_LOOK_AFTER, is_missing) {
            (true, _) => FetchError::Gone(words),
            (false, true) => FetchError::NotFound(words),
            (false, false) => FetchError::Denied(words),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, Option<u32>), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(place: Place<'_>) -> (String, Option<u32>) {
    (place.path.to_owned(), place.version)
}

/// A hint may be shorter than what anybody needs.
const REFETCH_AFTER_MIN: Duration = Duration::from_secs(10);

/// No time of a store's makes a clock overflow.
const YEAR_SECONDS: u64 = 365 * 24 * 3600;

const SECOND_LOOK_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_gone_when_the_store_denies_it_twice_five_seconds_apart() {
        let suspects = Suspects::default();
        let start = Instant::now();
        let place = Place { path: "kv/db", version: None };
        let missing = |seconds| {
            let trouble = Trouble::Missing("m".into());
            suspects.verdict(place, trouble, start + Duration::from_secs(seconds)).label()
        };
        assert_eq!([missing(0), missing(4), missing(5)], ["not_found", "not_found", "gone"]);
        // An outage says nothing either way; a value that is there again does.
        let outage = suspects.verdict(place, Trouble::Outage("o".into()), start + Duration::from_secs(6));
        assert_eq!((outage.label(), missing(7)), ("unavailable", "gone"));
        suspects.clear(place);
        assert_eq!([missing(8), missing(12), missing(13)], ["not_found", "not_found", "gone"]);

        let other = Place { path: "kv/db", version: Some(1) };
        let denied = |seconds| {
            let trouble = Trouble::Forbidden("f".into());
            suspects.verdict(other, trouble, start + Duration::from_secs(seconds)).label()
        };
        assert_eq!([denied(0), denied(5)], ["denied", "gone"]);
    }

    fn outlook(all: impl IntoIterator<Item = Terms>) -> Outlook {
        let mut outlook = Outlook::default();
        all.into_iter().for_each(|terms| outlook.add(terms));
        outlook
    }

    #[test]
    fn the_stores_hint_is_taken_within_reason() {
        let after = |terms| outlook([terms]).refetch_after().map(|after| after.as_secs());
        let open = |seconds| after(Terms::Open { seconds });
        assert_eq!([open(1), open(60), open(u64::MAX)], [10, 60, YEAR_SECONDS].map(Some));
        assert_eq!(open(0), None, "then the service says how often");
        let rotated = |seconds| after(Terms::Rotated { seconds });
        assert_eq!([rotated(0), rotated(3600)], [1, 3601].map(Some));
        assert!(rotated(u64::MAX).is_some_and(|after| after < 1 << 32));
    }

    #[test]
    fn where_there_is_a_lease_only_its_end_is_a_reason_to_ask() {
        let lease = Leased { id: "a".to_owned(), lasts: Duration::from_secs(60), is_renewable: true };
        let outlook = outlook([Terms::Open { seconds: 10 }, Terms::Leased(lease.clone())]);
        assert_eq!(outlook.refetch_after(), None);
        assert_eq!(outlook.lease, Some(lease));
    }
}
