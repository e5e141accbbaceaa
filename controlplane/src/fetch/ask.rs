//! What one store is asked for in one request, and what comes of it.
//!
//! Owns the choice between another answer, more time for a lease, and what is there already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::value;
use crate::clock;
use crate::leases::{Held, Leases, Step};
use crate::providers::{FetchError, Fetched, Provider, Request};
use crate::rotation::Schedule;
use crate::values::Value;

/// What one provider is asked for at once.
pub(super) struct Ask {
    pub(super) store: Arc<str>,
    /// Who answers: the store, or one of its hosts.
    pub(super) peer: Arc<str>,
    pub(super) provider: Arc<dyn Provider>,
    /// See [`Provider::place`].
    pub(super) place: String,
    pub(super) request: Request,
    /// The values' names, and which item of the request each is.
    pub(super) names: Vec<(String, usize)>,
}

/// What came of it.
pub(super) struct Piece {
    /// One for each item of the request, in its order.
    pub(super) values: Arc<[Value]>,
    pub(super) schedule: Schedule,
    pub(super) held: Option<Held>,
    /// See [`Fetched::version`].
    pub(super) version: Option<u64>,
    /// See [`Fetched::notes`].
    pub(super) notes: Vec<String>,
    /// What the store has done, as one word: a metric label.
    pub(super) outcome: Option<&'static str>,
}

impl Ask {
    pub(super) fn new(store: &Arc<str>, provider: &Arc<dyn Provider>, place: &str) -> Self {
        let host = provider.host(place).map(|host| format!("{store} {host}").into());
        Self {
            store: Arc::clone(store),
            peer: host.unwrap_or_else(|| Arc::clone(store)),
            provider: Arc::clone(provider),
            place: place.to_owned(),
            request: Request::of(Vec::new()),
            names: Vec::new(),
        }
    }

    /// The values: those of the lease that is `held`, as long as it has time or gets more, and else another answer of the store.
    pub(super) async fn obtain(
        &self,
        held: Option<Held>,
        is_refused: bool,
        refresh: Option<Duration>,
        leases: &Leases,
        parameters: BTreeMap<&'static str, String>,
    ) -> Result<Piece, FetchError> {
        let began = clock::now();
        if let Some(held) = held {
            match held.term.step(began, is_refused) {
                Step::Keep => return Ok(Piece::of_lease(held, None)),
                Step::Renew => match self.provider.renew(held.lease(), held.term.asked()).await {
                    Ok(granted) => {
                        let term = held.term.renewed(began, granted);
                        return Ok(Piece::of_lease(held.renewed(term), Some("renewed")));
                    }
                    Err(error) if error.is_for_now() => return Err(error),
                    // The store will not: another lease is to be had all the same.
                    Err(_) => {}
                },
                Step::Replace => {}
            }
        }
        let began = clock::now();
        let fetched = self.provider.fetch(Request { parameters, ..self.request.clone() }).await?;
        let items = &self.request.items;
        if fetched.values.len() != items.len() {
            let words = "the provider gave another number of values: this is a bug".to_owned();
            return Err(FetchError::Unusable(words));
        }
        let Fetched { values, version, lease, refetch_at, usable_until, notes } = fetched;
        let values: Arc<[Value]> =
            values.into_iter().zip(items).map(|(it, item)| value(it, item.is_public)).collect();
        if usable_until.is_some_and(|until| until < clock::now() + LEASE_MIN) {
            let words =
                "its values were over when they came, or will be in a moment: give them a longer life";
            return Err(FetchError::Unusable(format!("{}: {words}", self.store)));
        }
        let said = Schedule { refetch_at, due_at: None, usable_until };
        if let Some(lease) = lease {
            let lasts = lease.duration;
            let held = leases.take((&self.store, &self.provider), lease, values, began);
            if lasts < LEASE_MIN {
                // Each would be a new account at the target, hardly used before the next. This one goes back with `held`.
                return Err(FetchError::Unusable(format!(
                    "{}: its values live for {} s, which is less than the {} s that a login may take: give its role a longer time",
                    self.place,
                    lasts.as_secs(),
                    LEASE_MIN.as_secs()
                )));
            }
            let piece = Piece::of_lease(held, Some("ok"));
            return Ok(Piece { schedule: piece.schedule.earlier(said), version, notes, ..piece });
        }
        // A store that must be asked may know that it has to be sooner.
        let due = refresh.filter(|_| self.provider.must_be_asked());
        let due = due.map(|interval| refetch_at.into_iter().fold(began + interval, Instant::min));
        let schedule = said.earlier(Schedule { refetch_at: due, due_at: due, usable_until: None });
        Ok(Piece { values, schedule, held: None, version, notes, outcome: Some("ok") })
    }
}

/// A lease that ends earlier is no use.
const LEASE_MIN: Duration = Duration::from_secs(2);

impl Piece {
    fn of_lease(held: Held, outcome: Option<&'static str>) -> Self {
        let (refetch_at, due_at) = (Some(held.term.due_at()), Some(held.term.stale_at()));
        let schedule = Schedule { refetch_at, due_at, usable_until: Some(held.term.over_at().0) };
        let values = Arc::clone(&held.values);
        Self { values, schedule, held: Some(held), version: None, notes: Vec::new(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use protocol::Secret;

    use super::*;
    use crate::providers::{Fetching, Item, Lease, Revoke, Revoking};
    use crate::testing::block_on;

    /// A store whose leases are short, and how many of them have been given back.
    struct Short(Duration, Arc<AtomicU32>);

    impl Provider for Short {
        fn fetch(&self, _request: Request) -> Fetching {
            let lease =
                Lease { id: "a".into(), duration: self.0, renewable: true, login: 0, revoke: Revoke::Unused };
            let value = Secret::from_heap(b"s3".to_vec());
            let fetched = Fetched { lease: Some(lease), ..Fetched::new(vec![value]) };
            Box::pin(std::future::ready(Ok(fetched)))
        }

        fn revoke(&self, _lease: &Lease) -> Revoking {
            self.1.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[test]
    fn a_lease_that_ends_before_anybody_could_log_in_is_given_back_and_said() {
        for (millis, is_taken) in [(1_999, false), (2_000, true)] {
            let returned = Arc::new(AtomicU32::new(0));
            let provider: Arc<dyn Provider> =
                Arc::new(Short(Duration::from_millis(millis), Arc::clone(&returned)));
            let mut ask = Ask::new(&"vault".into(), &provider, "database/creds/app");
            ask.request.items.push(Item {
                id: "database/creds/app#password".into(),
                raw: false,
                is_public: false,
            });
            let leases = Leases::default();
            block_on(async {
                let piece = ask.obtain(None, false, None, &leases, BTreeMap::new()).await;
                let words = piece.as_ref().err().map(ToString::to_string);
                assert_eq!(words.is_none(), is_taken, "{words:?}");
                assert!(
                    words
                        .is_none_or(|words| words.starts_with("database/creds/app: its values live for 1 s"))
                );
                assert_eq!(leases.count(), usize::from(is_taken));
                drop(piece);
                leases.give_all_back(Duration::from_secs(5)).await;
            });
            assert_eq!(returned.load(Ordering::Relaxed), 1);
        }
    }

    /// A store whose values are over at once.
    struct Over;

    impl Provider for Over {
        fn fetch(&self, _request: Request) -> Fetching {
            let value = Secret::from_heap(b"s3".to_vec());
            let usable_until = Some(clock::now() + Duration::from_secs(1));
            let fetched = Fetched { usable_until, ..Fetched::new(vec![value]) };
            Box::pin(std::future::ready(Ok(fetched)))
        }
    }

    #[test]
    fn values_that_are_over_when_they_come_are_a_failure() {
        let provider: Arc<dyn Provider> = Arc::new(Over);
        let mut ask = Ask::new(&"tokens".into(), &provider, "x");
        ask.request.items.push(Item { id: "x".into(), raw: false, is_public: false });
        let piece = block_on(ask.obtain(None, false, None, &Leases::default(), BTreeMap::new()));
        assert!(piece.is_err_and(|error| error.to_string().starts_with("tokens: its values were over")));
    }
}
