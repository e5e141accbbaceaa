//! Which leases there are, and their return to their stores.
//!
//! Owns that each is given back once: when the last one who has it lets go, or when the process ends. A lease that cannot be given
//! back ends by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::{Held, Term};
use crate::clock;
use crate::providers::{Lease, Provider, Revoke};
use crate::values::Value;

/// All leases of a process. A clone is the same.
#[derive(Clone)]
pub(crate) struct Leases(Arc<Shared>);

struct Shared {
    live: Mutex<Live>,
    /// How many are being given back.
    under_way: watch::Sender<usize>,
    /// How many could not be.
    lost: AtomicUsize,
}

#[derive(Default)]
struct Live {
    next: u64,
    /// The end has come: what is given now goes back at once.
    is_over: bool,
    leases: BTreeMap<u64, Returnable>,
}

/// What a lease is given back with.
struct Returnable {
    store: Arc<str>,
    provider: Arc<dyn Provider>,
    lease: Arc<Lease>,
    ends_at: Instant,
    /// Of the control plane: the last one to let go may be a worker.
    handle: Handle,
}

/// A lease. It is given back when this is dropped.
pub(super) struct Guard {
    number: u64,
    lease: Arc<Lease>,
    leases: Leases,
}

impl Default for Leases {
    fn default() -> Self {
        Self(Arc::new(Shared {
            live: Mutex::default(),
            under_way: watch::Sender::new(0),
            lost: AtomicUsize::new(0),
        }))
    }
}

impl Leases {
    /// Takes a lease that was asked for at `began`, with its values.
    ///
    /// # Panics
    /// Outside the control plane's runtime.
    pub(crate) fn take(
        &self,
        (store, provider): (&Arc<str>, &Arc<dyn Provider>),
        lease: Lease,
        values: Arc<[Value]>,
        began: Instant,
    ) -> Held {
        let term = Term::new(began, lease.duration, lease.renewable);
        let lease = Arc::new(lease);
        let mut live = self.live();
        live.leases.retain(|_, known| known.lease.revoke != Revoke::AtStop || known.ends_at > began);
        let number = live.next;
        live.next += 1;
        let returnable = Returnable {
            store: Arc::clone(store),
            provider: Arc::clone(provider),
            lease: Arc::clone(&lease),
            ends_at: term.ends_at(),
            handle: Handle::current(),
        };
        if live.is_over {
            drop(live);
            if returnable.lease.revoke != Revoke::Never {
                self.give_back(returnable);
            }
        } else {
            live.leases.insert(number, returnable);
        }
        let guard = Arc::new(Guard { number, lease, leases: self.clone() });
        Held { values, term, guard }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.live().leases.len()
    }

    /// Whether anybody still has a lease of this store that has not ended.
    pub(crate) fn are_held_of(&self, provider: &Arc<dyn Provider>) -> bool {
        let now = clock::now();
        let is_held = |it: &Returnable| Arc::ptr_eq(&it.provider, provider) && now < it.ends_at;
        self.live().leases.values().any(is_held)
    }

    /// Gives back every lease that is to be given back, whoever still has it, and waits for that as long as `patience`. How many
    /// could not be given back so far.
    pub(crate) async fn give_all_back(&self, patience: Duration) -> usize {
        let leases = {
            let mut live = self.live();
            live.is_over = true;
            std::mem::take(&mut live.leases)
        };
        for returnable in leases.into_values().filter(|it| it.lease.revoke != Revoke::Never) {
            self.give_back(returnable);
        }
        let mut under_way = self.0.under_way.subscribe();
        let all = under_way.wait_for(|count| *count == 0);
        let mut left = 0;
        if tokio::time::timeout(patience, all).await.is_err() {
            left = *self.0.under_way.borrow();
            warn!("not every lease could be given back in time: the {left} that are left end by themselves");
        }
        left + self.0.lost.load(Ordering::Relaxed)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, returnable: Returnable) {
        self.0.under_way.send_modify(|count| *count += 1);
        let under_way = UnderWay(Arc::clone(&self.0));
        let handle = returnable.handle.clone();
        handle.spawn(async move {
            if !returnable.give_back().await {
                under_way.0.lost.fetch_add(1, Ordering::Relaxed);
            }
            drop(under_way);
        });
    }
}

/// One that is being given back, until this is dropped.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

impl Returnable {
    /// Tries until the store has it or it has ended. Whether the store has it.
    async fn give_back(self) -> bool {
        let Self { store, provider, lease, ends_at, .. } = self;
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match provider.revoke(&lease).await {
                Ok(()) => {
                    debug!("store '{store}': a lease was given back");
                    return true;
                }
                Err(error) => error,
            };
            let again = clock::now() + pause;
            if !error.is_for_now() || again >= ends_at {
                warn!("store '{store}': a lease could not be given back, and ends by itself: {error}");
                return false;
            }
            tokio::time::sleep(clock::until(again)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Guard {
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// It has been renewed: it ends later.
    pub(super) fn ends_at(&self, at: Instant) {
        if let Some(known) = self.leases.live().leases.get_mut(&self.number) {
            known.ends_at = at;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.lease.revoke {
            Revoke::Unused => {
                let returnable = self.leases.live().leases.remove(&self.number);
                if let Some(returnable) = returnable {
                    self.leases.give_back(returnable);
                }
            }
            Revoke::AtStop => {}
            Revoke::Never => _ = self.leases.live().leases.remove(&self.number),
        }
    }
}

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
