//! Leases of a store that counts what becomes of them.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use protocol::Secret;

use super::*;
use crate::providers::{
    FetchError, Fetched, Fetching, Granted, Provider, Renewing, Request, Revoke, Revoking,
};
use crate::testing::block_on;

/// A store whose leases are numbered, and what it was asked.
struct Numbered(Mutex<Vec<String>>);

impl Provider for Numbered {
    fn fetch(&self, _request: Request) -> Fetching {
        Box::pin(async { Ok(Fetched::new(Vec::new())) })
    }

    fn renew(&self, lease: &Lease, time: Duration) -> Renewing {
        self.0.lock().unwrap().push(format!("renew {} for {time:?}", lease.id));
        Box::pin(async { Ok(Granted { duration: Duration::from_secs(1), renewable: true, is_last: false }) })
    }

    fn revoke(&self, lease: &Lease) -> Revoking {
        self.0.lock().unwrap().push(format!("revoke {}", lease.id));
        let is_known = lease.id != "unknown";
        let error = || FetchError::Denied("no such lease".to_owned());
        Box::pin(async move { if is_known { Ok(()) } else { Err(error()) } })
    }
}

fn store() -> (Arc<Numbered>, Arc<dyn Provider>) {
    let store = Arc::new(Numbered(Mutex::default()));
    (Arc::clone(&store), store)
}

fn lease(id: &str, revoke: Revoke) -> Lease {
    Lease { id: id.to_owned(), duration: Duration::from_secs(60), renewable: true, login: 0, revoke }
}

fn take(leases: &Leases, provider: &Arc<dyn Provider>, id: &str, revoke: Revoke) -> Held {
    let value = Value::new(Secret::from_heap(id.as_bytes().to_vec()));
    leases.take((&"store".into(), provider), lease(id, revoke), Arc::new([value]), Instant::now())
}

fn asked(store: &Numbered) -> Vec<String> {
    store.0.lock().unwrap().clone()
}

#[test]
fn the_last_one_to_let_go_gives_a_lease_back_once() {
    block_on(async {
        let (leases, (store, provider)) = (Leases::default(), store());
        let held = take(&leases, &provider, "a", Revoke::Unused);
        // A session has begun with it.
        let hold = hold(&vec![None, Some(held.clone())]).expect("there is a lease");
        drop(held);
        tokio::task::yield_now().await;
        assert_eq!((asked(&store), leases.count()), (vec![], 1));
        // Sessions end on threads of their own.
        std::thread::spawn(move || drop(hold)).join().unwrap();
        leases.give_all_back(Duration::from_secs(5)).await;
        assert_eq!((asked(&store), leases.count()), (vec!["revoke a".to_owned()], 0));
    });
}

#[test]
fn at_the_end_all_go_back_whoever_has_them_and_none_twice() {
    block_on(async {
        let (leases, (store, provider)) = (Leases::default(), store());
        let held = [
            take(&leases, &provider, "unused", Revoke::Unused),
            take(&leases, &provider, "unknown", Revoke::Unused),
            take(&leases, &provider, "at stop", Revoke::AtStop),
            take(&leases, &provider, "never", Revoke::Never),
        ];
        leases.give_all_back(Duration::from_secs(5)).await;
        drop(held);
        leases.give_all_back(Duration::from_secs(5)).await;
        assert_eq!(asked(&store), ["revoke unused", "revoke unknown", "revoke at stop"]);
    });
}

#[test]
fn what_goes_back_at_the_end_stays_until_then_and_what_never_does_is_forgotten() {
    block_on(async {
        let (leases, (store, provider)) = (Leases::default(), store());
        drop(take(&leases, &provider, "at stop", Revoke::AtStop));
        drop(take(&leases, &provider, "never", Revoke::Never));
        tokio::task::yield_now().await;
        assert_eq!((asked(&store), leases.count()), (vec![], 1));
        leases.give_all_back(Duration::from_secs(5)).await;
        assert_eq!(asked(&store), ["revoke at stop"]);
    });
}

#[test]
fn what_comes_after_the_end_goes_back_at_once_and_holds_nothing_up() {
    block_on(async {
        let (leases, (store, provider)) = (Leases::default(), store());
        leases.give_all_back(Duration::from_secs(5)).await;
        let late = take(&leases, &provider, "late", Revoke::AtStop);
        assert!(!leases.are_held_of(&provider));
        leases.give_all_back(Duration::from_secs(5)).await;
        drop(late);
        assert_eq!(asked(&store), ["revoke late"]);
    });
}

#[test]
fn without_leases_there_is_nothing_to_hold() {
    assert!(hold(&vec![None, None]).is_none());
    assert_eq!(over_at(&vec![None]), None);
}

#[test]
fn sessions_end_before_the_lease_that_they_began_with() {
    let (now, left) = (Instant::now(), Duration::from_secs(30));
    let minute = Duration::from_secs(60);
    let mut leased = Leased::default();
    leased.put(Some(Generation(1)), Some((now + minute, left)));
    leased.put(Some(Generation(2)), None);
    leased.put(Some(Generation(3)), Some((now + 2 * minute, left)));
    // It was renewed.
    leased.put(Some(Generation(3)), Some((now + 3 * minute, left)));
    assert_eq!(leased.over_at(), Some(now + minute));
    assert_eq!(leased.take_over(now), None);
    assert_eq!(leased.take_over(now + minute), Some((Generation(1), left)));
    assert_eq!(leased.take_over(now + 2 * minute), None);
    assert_eq!(leased.take_over(now + 3 * minute), Some((Generation(3), left)));
    assert_eq!(leased.over_at(), None);
}
