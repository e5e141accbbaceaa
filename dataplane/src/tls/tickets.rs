//! What servers gave so that a TLS session may be resumed.
//!
//! Owns what is kept of it, for how long, and for whom: tickets belong to one set of settings, which is one service, one
//! generation of its credential and one policy, so nobody resumes what was agreed under others. Knows no connection.
//!
//! A resumed session checks no certificate: it stands on the check of the session that its ticket came from. So a
//! ticket remembers when that was, over any number of resumptions, and counts for [`CHECKED_MAX`] from then on. A
//! certificate that expires is thus refused that much later at the latest; other roots are other settings.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// How long after a certificate was checked its server's sessions may be resumed. What is saved by resuming is saved
/// where many connects come at once.
const CHECKED_MAX: Duration = Duration::from_secs(10 * 60);

/// Tickets of TLS 1.3 that are kept; each serves once. A server gives two or so with every full handshake.
const TICKETS_MAX: usize = 8;

/// What may be resumed under one set of settings. The trait of the TLS library demands a lock; one worker has the
/// settings, so nobody ever waits for it.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Store>);

#[derive(Default)]
struct Store {
    /// The settings are not in force any more: nothing is kept.
    ended: bool,
    /// The group that the server chose last.
    group: Option<NamedGroup>,
    tls12: Option<Kept<Tls12ClientSessionValue>>,
    /// Oldest first.
    tls13: VecDeque<Kept<Tls13ClientSessionValue>>,
}

struct Kept<T> {
    /// When the certificate was checked that all this stands on.
    checked_at: Instant,
    value: T,
}

impl<T> Kept<T> {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked_at) < CHECKED_MAX
    }
}

impl Tickets {
    /// Forgets everything; the library wipes the secrets.
    pub(super) fn forget(&self) {
        let mut store = lock(&self.0);
        store.tls12 = None;
        store.tls13 = VecDeque::new();
    }

    /// The settings are not in force any more. Sessions that were opened with them go on, and their servers may still
    /// send tickets.
    pub(super) fn end(&self) {
        lock(&self.0).ended = true;
        self.forget();
    }
}

/// The tickets as one session sees them, which begins now.
pub(super) struct SessionTickets {
    shared: Arc<Tickets>,
    /// When the certificate was checked that the session stands on: its own beginning, or that of the session that it
    /// tried to resume.
    checked_at: Mutex<Instant>,
}

impl SessionTickets {
    pub(super) fn new(shared: &Arc<Tickets>, now: Instant) -> Self {
        Self { shared: Arc::clone(shared), checked_at: Mutex::new(now) }
    }

    fn keep(&self, keep: impl FnOnce(&mut Store, Instant)) {
        let checked_at = *lock(&self.checked_at);
        let mut store = lock(&self.shared.0);
        if !store.ended {
            keep(&mut store, checked_at);
        }
    }

    fn resume<T>(&self, kept: Option<Kept<T>>, now: Instant) -> Option<T> {
        let kept = kept.filter(|kept| kept.counts(now))?;
        *lock(&self.checked_at) = kept.checked_at;
        Some(kept.value)
    }
}

impl ClientSessionStore for SessionTickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.keep(|store, _| store.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        lock(&self.shared.0).group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.keep(|store, checked_at| store.tls12 = Some(Kept { checked_at, value }));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let kept = lock(&self.shared.0)
            .tls12
            .as_ref()
            .map(|kept| Kept { checked_at: kept.checked_at, value: kept.value.clone() });
        self.resume(kept, Instant::now())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        lock(&self.shared.0).tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.keep(|store, checked_at| {
            if store.tls13.len() == TICKETS_MAX {
                store.tls13.pop_front();
            }
            store.tls13.push_back(Kept { checked_at, value });
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let kept = lock(&self.shared.0).tls13.pop_back();
        self.resume(kept, Instant::now())
    }
}

impl fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTickets")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::{CHECKED_MAX, Kept, SessionTickets, Tickets, lock};

    #[test]
    fn a_resumed_session_passes_on_the_age_of_the_check_that_it_stands_on() {
        let tickets = Arc::new(Tickets::default());
        let checked_at = Instant::now();
        let later = checked_at + CHECKED_MAX - std::time::Duration::from_secs(1);
        let session = SessionTickets::new(&tickets, later);
        assert_eq!(session.resume(Some(Kept { checked_at, value: 'x' }), later), Some('x'));
        // What it is given now is as old as what it was resumed from.
        assert_eq!(*lock(&session.checked_at), checked_at);
        session.keep(|_, kept_at| assert_eq!(kept_at, checked_at));
    }

    #[test]
    fn what_stands_on_an_old_check_is_not_resumed() {
        let tickets = Arc::new(Tickets::default());
        let checked_at = Instant::now();
        let now = checked_at + CHECKED_MAX;
        let session = SessionTickets::new(&tickets, now);
        assert_eq!(session.resume(Some(Kept { checked_at, value: 'x' }), now), None);
        assert_eq!(*lock(&session.checked_at), now, "it will check for itself");
    }

    #[test]
    fn nothing_is_kept_for_settings_that_are_not_in_force() {
        let tickets = Arc::new(Tickets::default());
        let session = SessionTickets::new(&tickets, Instant::now());
        tickets.end();
        session.keep(|_, _| unreachable!("nothing is kept"));
    }
}
