//! Which listener is open for which service.
//!
//! Owns the way of a listener out: no connect that has succeeded is lost. First nothing new may begin, then
//! handshakes that were under way get a moment, then the workers serve what is queued and let go, then it is closed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataplane::{ListenerId, ListenerMail, ServiceId};
use tracing::debug;

use crate::config::ListenOn;
use crate::listeners::{Listener, describe};

/// Every listener.
pub(crate) struct Listening {
    workers: usize,
    entries: BTreeMap<ListenerId, Entry>,
    next_id: u32,
}

struct Entry {
    service: ServiceId,
    listen_on: ListenOn,
    listener: Listener,
    phase: Phase,
    /// Why it takes no connections at the moment.
    trouble: Option<String>,
    /// The trouble that was last spoken of, until its end is spoken of too.
    said: Option<String>,
    /// Since when it has had no trouble.
    calm_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing new may begin; until then, what has begun may end.
    Refusing(Instant),
    /// So many workers have not let go of it yet.
    Retiring(usize),
}

impl Listening {
    /// None, for a data plane of so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, entries: BTreeMap::new(), next_id: 0 }
    }

    /// The services of the open listeners, by where they listen.
    pub(crate) fn open(&self) -> HashMap<ListenOn, ServiceId> {
        let open = self.entries.values().filter(|entry| entry.phase == Phase::Open);
        open.map(|entry| (entry.listen_on.clone(), entry.service)).collect()
    }

    /// The paths of our Unix sockets: whatever is there may be replaced.
    pub(crate) fn unix_paths(&self) -> HashSet<PathBuf> {
        let unix = self.entries.values().filter_map(|entry| unix_path(&entry.listen_on));
        unix.map(Path::to_owned).collect()
    }

    /// Adds a listener: what to tell the workers.
    pub(crate) fn add(
        &mut self,
        service: ServiceId,
        listen_on: ListenOn,
        listener: Listener,
    ) -> ListenerMail {
        let id = ListenerId(self.next_id);
        self.next_id += 1;
        let mail = ListenerMail { id, service, socket: listener.socket() };
        let entry = Entry {
            service,
            listen_on,
            listener,
            phase: Phase::Open,
            trouble: None,
            said: None,
            calm_since: None,
        };
        self.entries.insert(id, entry);
        mail
    }

    /// Begins to retire all listeners but those of `kept`.
    pub(crate) fn retain(&mut self, kept: &BTreeSet<ServiceId>, now: Instant) {
        let gone = self.entries.values_mut().filter(|e| e.phase == Phase::Open && !kept.contains(&e.service));
        for entry in gone {
            if let Err(error) = entry.listener.refuse() {
                // Without the filter, connects of the last moments may be reset.
                debug!("{}: new connections cannot be held off: {error}", describe(&entry.listen_on));
            }
            entry.phase = Phase::Refusing(now + GRACE);
        }
    }

    /// Takes the listeners that the workers are to let go of now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<ListenerId> {
        let is_due = |phase| matches!(phase, Phase::Refusing(until) if until <= now);
        let due = self.entries.iter_mut().filter(|(_, entry)| is_due(entry.phase));
        due.map(|(id, entry)| {
            entry.phase = Phase::Retiring(self.workers);
            *id
        })
        .collect()
    }

    /// When [`Listening::take_due`] or [`Listening::take_calm`] has something next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let until = |entry: &Entry| match entry.phase {
            Phase::Refusing(until) => Some(until),
            Phase::Open | Phase::Retiring(_) => entry.calm_at(),
        };
        self.entries.values().filter_map(until).min()
    }

    /// A worker has let go of a listener; the last one closes it.
    pub(crate) fn on_retired(&mut self, id: ListenerId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Phase::Retiring(left) = &mut entry.phase {
            *left = left.saturating_sub(1);
            if *left == 0 {
                debug!("{}: Listener closed", describe(&entry.listen_on));
                self.entries.remove(&id);
            }
        }
    }

    /// A listener takes no connections: the service, if that is worth a word. A trouble that comes and goes is one.
    pub(crate) fn on_trouble(&mut self, id: ListenerId, trouble: &str) -> Option<ServiceId> {
        let entry = self.entries.get_mut(&id)?;
        entry.trouble = Some(trouble.to_owned());
        entry.calm_since = None;
        let is_news = entry.said.as_deref() != Some(trouble);
        entry.said = Some(trouble.to_owned());
        is_news.then_some(entry.service)
    }

    /// A listener takes connections again.
    pub(crate) fn on_resumed(&mut self, id: ListenerId, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.trouble = None;
            entry.calm_since = Some(now);
        }
    }

    /// The services whose listeners have been out of a trouble for so long that it is worth a word.
    pub(crate) fn take_calm(&mut self, now: Instant) -> Vec<ServiceId> {
        let is_calm = |entry: &Entry| entry.calm_at().is_some_and(|at| at <= now);
        let calm = self.entries.values_mut().filter(|entry| is_calm(entry));
        calm.map(|entry| {
            entry.said = None;
            entry.service
        })
        .collect()
    }

    /// Why the service's listener takes no connections, if it does not.
    pub(crate) fn trouble(&self) -> BTreeMap<ServiceId, &str> {
        let open = self.entries.values().filter(|entry| entry.phase == Phase::Open);
        open.filter_map(|entry| Some((entry.service, entry.trouble.as_deref()?))).collect()
    }

    /// Whether some are on their way out.
    pub(crate) fn is_retiring(&self) -> bool {
        self.entries.values().any(|entry| entry.phase != Phase::Open)
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    /// When the end of a trouble is worth a word.
    fn calm_at(&self) -> Option<Instant> {
        // Nobody waits for one that is on its way out.
        let is_spoken_of = self.said.is_some() && self.phase == Phase::Open;
        self.calm_since.filter(|_| is_spoken_of).map(|since| since + CALM)
    }
}

/// The path of a Unix socket.
pub(crate) fn unix_path(listen_on: &ListenOn) -> Option<&Path> {
    match listen_on {
        ListenOn::Unix { path, .. } => Some(path),
        ListenOn::Tcp(_) => None,
    }
}

/// A handshake of the kernel takes a round trip; the longest of those that matter for a sidecar is below.
const GRACE: Duration = Duration::from_millis(200);

/// Descriptors that run out are given back and taken again many times a second.
const CALM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::listeners::Bound;
    use crate::testing::TempDir;

    #[test]
    fn a_listener_leaves_step_by_step() {
        let dir = TempDir::new();
        let access = crate::config::SocketAccess { owner: None, group: None, mode: 0o600 };
        let listen_on = ListenOn::Unix { path: dir.path().join("s"), access };
        let open = || Bound::new(&listen_on, true).expect("binds").open(&listen_on).expect("listens");
        let (mut listening, now) = (Listening::new(2), Instant::now());
        let id = listening.add(ServiceId(1), listen_on.clone(), open()).id;
        assert_eq!(listening.open().get(&listen_on), Some(&ServiceId(1)));
        assert!(listening.unix_paths().contains(&dir.path().join("s")));

        listening.retain(&BTreeSet::new(), now);
        assert!(listening.open().is_empty());
        assert!(!dir.path().join("s").exists());
        assert!(listening.take_due(now).is_empty());
        assert_eq!(listening.next_deadline(), Some(now + GRACE));
        assert_eq!(listening.take_due(now + GRACE), [id]);
        listening.on_retired(id);
        assert!(listening.is_retiring() && !listening.is_empty(), "the other worker still serves it");
        listening.on_retired(id);
        assert!(listening.is_empty());
    }

    #[test]
    fn a_retired_tcp_listener_lets_nobody_in_and_loses_nobody() {
        let listen_on = ListenOn::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Bound::new(&listen_on, false).expect("binds").open(&listen_on).expect("listens");
        let socket = listener.socket();
        let address = rustix::net::getsockname(&socket).expect("it is bound");
        let address = std::net::SocketAddr::try_from(address).expect("it is TCP");
        let mut listening = Listening::new(1);
        listening.add(ServiceId(1), listen_on, listener);
        let _queued = TcpStream::connect(address).expect("it listens");
        listening.retain(&BTreeSet::new(), Instant::now());
        // A connect that is dropped is tried again by its kernel: it neither succeeds nor is refused.
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(50));
        assert_eq!(late.err().map(|error| error.kind()), Some(std::io::ErrorKind::TimedOut));
        rustix::net::accept(&socket).expect("the queued one is served");
    }

    #[test]
    fn trouble_is_known_until_it_is_over() {
        let listen_on = ListenOn::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Bound::new(&listen_on, false).expect("binds").open(&listen_on).expect("listens");
        let mut listening = Listening::new(1);
        let id = listening.add(ServiceId(7), listen_on, listener).id;
        assert_eq!(listening.on_trouble(id, "full"), Some(ServiceId(7)));
        assert_eq!(listening.trouble().get(&ServiceId(7)), Some(&"full"));
        listening.on_resumed(id, Instant::now());
        assert!(listening.trouble().is_empty());
    }

    #[test]
    fn trouble_that_comes_and_goes_is_spoken_of_once_and_so_is_its_end() {
        let listen_on = ListenOn::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Bound::new(&listen_on, false).expect("binds").open(&listen_on).expect("listens");
        let (mut listening, mut now) = (Listening::new(1), Instant::now());
        let id = listening.add(ServiceId(7), listen_on, listener).id;
        assert_eq!(listening.on_trouble(id, "full"), Some(ServiceId(7)));
        for _ in 0..100 {
            listening.on_resumed(id, now);
            assert_eq!(listening.next_deadline(), Some(now + CALM));
            now += Duration::from_millis(100);
            assert!(listening.take_calm(now).is_empty());
            assert_eq!(listening.on_trouble(id, "full"), None);
        }
        assert_eq!(listening.next_deadline(), None);
        assert_eq!(listening.on_trouble(id, "another"), Some(ServiceId(7)), "a new one is news");
        listening.on_resumed(id, now);
        assert_eq!(listening.take_calm(now + CALM), [ServiceId(7)]);
        assert!(listening.take_calm(now + CALM).is_empty());
        assert_eq!(listening.on_trouble(id, "another"), Some(ServiceId(7)), "and so is one after a calm");
    }
}
