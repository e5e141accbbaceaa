//! Names of targets and the addresses behind them.
//!
//! Owns when each name is looked up: once for all services that use it, again every half minute and after a failed
//! dial. Has no clock and makes no look-up itself: [`look_up`] does, and [`Names::on_answer`] is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::offload::{Lost, offload};
use crate::timers::Timers;

/// Where a name leads, or why that is not known. Ports are zero.
pub(crate) type Resolution = Result<Vec<SocketAddr>, String>;

/// Every name that a target has.
pub(crate) struct Names {
    names: BTreeMap<String, Name>,
    due: Timers<String>,
}

struct Name {
    /// What was learned last. A failure does not take the place of addresses: they may still be right.
    resolution: Option<Resolution>,
    is_under_way: bool,
    answered_at: Option<Instant>,
    retry_after: Duration,
}

/// A host that needs no resolver: an address.
pub(crate) fn numeric(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { names: BTreeMap::new(), due: Timers::new() }
    }

    /// What is known of `host`. From now on it is looked up.
    pub(crate) fn resolution(&mut self, host: &str, now: Instant) -> Option<&Resolution> {
        if !self.names.contains_key(host) {
            let name =
                Name { resolution: None, is_under_way: false, answered_at: None, retry_after: RETRY_FIRST };
            self.names.insert(host.to_owned(), name);
            self.due.set(host.to_owned(), Some(now));
        }
        self.names.get(host)?.resolution.as_ref()
    }

    /// No address of `host` took a connection.
    pub(crate) fn on_dial_failed(&mut self, host: &str, now: Instant) {
        let Some(name) = self.names.get(host).filter(|name| !name.is_under_way) else { return };
        // A target that is down fails every dial; the resolver is asked once a second for it.
        let at = name.answered_at.map_or(now, |answered_at| now.max(answered_at + DIAL_FAILED_INTERVAL));
        self.due.set(host.to_owned(), Some(at));
    }

    /// The names to look up now; each one's answer is [`Names::on_answer`].
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut hosts = Vec::new();
        while let Some(host) = self.due.pop(now) {
            if let Some(name) = self.names.get_mut(&host) {
                name.is_under_way = true;
                hosts.push(host);
            }
        }
        hosts
    }

    /// When [`Names::take_due`] has something next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.next()
    }

    /// A look-up is over. Whether something else is known of the name now.
    pub(crate) fn on_answer(&mut self, host: &str, answer: Resolution, now: Instant) -> bool {
        let Some(name) = self.names.get_mut(host) else { return false };
        name.is_under_way = false;
        name.answered_at = Some(now);
        let next = match &answer {
            Ok(_) => {
                name.retry_after = RETRY_FIRST;
                INTERVAL
            }
            Err(_) => {
                let retry_after = name.retry_after;
                name.retry_after = (retry_after * 2).min(INTERVAL);
                retry_after
            }
        };
        self.due.set(host.to_owned(), Some(now + next));
        if answer.is_err() && matches!(name.resolution, Some(Ok(_))) {
            return false;
        }
        let is_news = name.resolution.as_ref() != Some(&answer);
        name.resolution = Some(answer);
        is_news
    }

    /// Forgets names that no service has any more.
    pub(crate) fn retain(&mut self, used: &BTreeSet<String>) {
        let unused: Vec<String> = self.names.keys().filter(|host| !used.contains(*host)).cloned().collect();
        for host in unused {
            self.names.remove(&host);
            self.due.set(host, None);
        }
    }
}

/// Asks the system's resolver, on a thread that may block.
pub(crate) async fn look_up(host: String) -> Resolution {
    let name = host.clone();
    match offload(&format!("look up {host}"), PATIENCE, move || addresses(&name)).await {
        Ok(resolution) => resolution,
        Err(Lost::TooSlow | Lost::StillStuck) => Err("i/o timeout".to_owned()),
        Err(Lost::Died) => Err("the look-up was interrupted".to_owned()),
    }
}

fn addresses(host: &str) -> Resolution {
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut distinct: Vec<SocketAddr> = Vec::new();
            for address in addresses {
                if !distinct.contains(&address) {
                    distinct.push(address);
                }
            }
            if distinct.is_empty() { Err(NO_SUCH_HOST.to_owned()) } else { Ok(distinct) }
        }
        Err(error) => Err(reason(&error.to_string())),
    }
}

/// Go's words where its users know them, the resolver's elsewhere.
fn reason(error: &str) -> String {
    let reason = error.rsplit_once("information: ").map_or(error, |(_, reason)| reason);
    match reason {
        // glibc's two, and musl's.
        "Name or service not known"
        | "No address associated with hostname"
        | "Name does not resolve"
        | "Name has no usable address" => NO_SUCH_HOST.to_owned(),
        _ => reason.to_owned(),
    }
}

const NO_SUCH_HOST: &str = "no such host";

/// Between two look-ups of a name that resolves: a change of addresses is noticed within it.
const INTERVAL: Duration = Duration::from_secs(30);

/// After a failed dial, since the last answer.
const DIAL_FAILED_INTERVAL: Duration = Duration::from_secs(1);

/// After a failed look-up; doubles up to [`INTERVAL`].
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The system's resolver gives up after 5 s for each server and try (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 0).into()
    }

    #[test]
    fn a_name_is_looked_up_once_for_all_who_ask() {
        let (mut names, now) = (Names::new(), Instant::now());
        for _ in 0..3 {
            assert_eq!(names.resolution("db", now), None);
        }
        assert_eq!(names.take_due(now), ["db"]);
        assert!(names.take_due(now).is_empty());
        assert!(names.on_answer("db", Ok(vec![address(1)]), now));
        assert_eq!(names.resolution("db", now), Some(&Ok(vec![address(1)])));
        assert_eq!(names.next_deadline(), Some(now + INTERVAL));
        assert!(!names.on_answer("db", Ok(vec![address(1)]), now), "nothing new");
        assert!(names.on_answer("db", Ok(vec![address(2), address(1)]), now));
    }

    #[test]
    fn a_failure_does_not_take_the_place_of_addresses() {
        let (mut names, now) = (Names::new(), Instant::now());
        names.resolution("db", now);
        assert!(names.on_answer("db", Err("i/o timeout".into()), now));
        assert_eq!(names.next_deadline(), Some(now + RETRY_FIRST));
        assert!(names.on_answer("db", Ok(vec![address(1)]), now));
        assert!(!names.on_answer("db", Err("i/o timeout".into()), now));
        assert_eq!(names.resolution("db", now), Some(&Ok(vec![address(1)])));
    }

    #[test]
    fn a_failed_dial_hurries_the_next_look_up_to_once_a_second() {
        let (mut names, now) = (Names::new(), Instant::now());
        names.resolution("db", now);
        names.take_due(now);
        names.on_dial_failed("db", now);
        assert_eq!(names.next_deadline(), None, "it is under way");
        names.on_answer("db", Ok(vec![address(1)]), now);
        names.on_dial_failed("db", now + Duration::from_millis(10));
        assert_eq!(names.next_deadline(), Some(now + DIAL_FAILED_INTERVAL));
        let later = now + Duration::from_secs(5);
        names.on_dial_failed("db", later);
        assert_eq!(names.take_due(later), ["db"]);
        names.on_dial_failed("unknown", later);
    }

    #[test]
    fn forgets_names_that_nobody_uses() {
        let (mut names, now) = (Names::new(), Instant::now());
        names.resolution("old", now);
        names.resolution("new", now);
        names.retain(&BTreeSet::from(["new".to_owned()]));
        assert_eq!(names.take_due(now), ["new"]);
        assert!(!names.on_answer("old", Ok(vec![address(1)]), now), "an answer that came too late");
    }

    #[test]
    fn says_no_such_host_as_go_does() {
        let said = "failed to lookup address information: Name or service not known";
        assert_eq!(reason(said), "no such host");
        let said = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(reason(said), "Temporary failure in name resolution");
        assert_eq!(reason("invalid socket address"), "invalid socket address");
    }

    #[test]
    fn knows_this_machine() {
        let found = block_on(look_up("localhost".to_owned())).expect("every machine has it");
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn tells_addresses_from_names() {
        assert_eq!(numeric("::1"), Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        assert!(numeric("db.example").is_none());
    }
}
