//! What is measured: the list of scenarios, and the figures that the broker is to reach in each.
//!
//! Knows no proxy by name: who takes part in a scenario is for the proxies to say.

mod mysql;
mod names;

use crate::sample::Figure;

/// One workload on one kind of connection. Everything that can carry it is measured side by side.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// What the clients do.
    pub(crate) work: Work,
    /// On what.
    pub(crate) road: Road,
    /// Whether the reference relays take part.
    pub(crate) with_references: bool,
    /// What is compared.
    pub(crate) goals: Vec<Goal>,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `pgbench --select-only` in open sessions, beside `idle` sessions that say nothing.
    Query {
        /// How pgbench sends its query.
        protocol: Protocol,
        /// How many sessions are at work, all on one thread.
        clients: u16,
        /// How many are not.
        idle: usize,
    },
    /// `pgbench --select-only --connect`: a session for each query.
    Connect {
        /// How many threads do so, each with one client.
        threads: u16,
    },
    /// COPY of many rows in one session.
    Copy(Direction),
    /// Bytes of no protocol in one session, after PostgreSQL's handshake.
    Stream(Direction),
    /// Sessions are opened and left alone.
    Hold {
        /// How many.
        sessions: usize,
    },
    /// sysbench's `oltp_point_select` in open sessions of MySQL.
    Points {
        /// Whether the query is prepared, once in each session; if not, it is sent as text.
        prepared: bool,
        /// How many sessions are at work, each on a thread.
        clients: u16,
    },
    /// `mariadb-slap --detach=1`: a session of MySQL for each query.
    Logins {
        /// How many threads do so, each with one client.
        clients: u16,
    },
    /// Rows in one session of MySQL: a SELECT, or LOAD DATA LOCAL.
    Rows(Direction),
    /// Commands of MySQL, to a stub that drops them, in one session.
    Commands {
        /// How many bytes each has, but for the header of its packet.
        len: usize,
        /// Whether a broker looks for the heads of commands in them. Where client and target have agreed on compression,
        /// there are none.
        watched: bool,
    },
}

/// pgbench's `--protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One message, planned each time.
    Simple,
    /// Parsed and planned each time.
    Extended,
    /// Prepared once in each session.
    Prepared,
}

/// Which way most bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the client.
    Download,
    /// To the server.
    Upload,
}

/// From where to where a proxy carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Road {
    /// How the client reaches the proxy.
    pub(crate) client: Leg,
    /// Whom the proxy reaches, and how.
    pub(crate) target: Target,
}

/// How a client is connected, in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// TCP on loopback.
    Tcp,
    /// A Unix socket.
    Unix,
}

/// What is behind a proxy, over TCP on loopback where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// PostgreSQL, in clear.
    Server,
    /// PostgreSQL over TLS, its certificate verified.
    ServerTls,
    /// The stub that stands for a server, in clear.
    Stub,
    /// The stub over TLS, its certificate verified.
    StubTls,
    /// MariaDB, in clear.
    MySql,
    /// MariaDB over TLS, its certificate verified.
    MySqlTls,
    /// MariaDB on its Unix socket.
    MySqlSocket,
    /// The stub that stands for a MySQL server, in clear.
    MySqlStub,
}

/// A figure of the broker's that is compared, and how it should come out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Which.
    pub(crate) figure: Figure,
    /// With what.
    pub(crate) against: Against,
    /// How it should come out; `None` where it is only told.
    pub(crate) bound: Option<Bound>,
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The peer that does best.
    BestPeer,
    /// A connection without a proxy, over TCP.
    Direct,
    /// Nothing: the figure itself counts.
    Itself,
}

/// How a comparison should come out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less.
    AtLeast(f64),
}

/// How many sessions are held open: "many" for one worker, few for its memory.
const MANY: usize = 2000;

/// How many of them are at work where some are.
const ACTIVE: u16 = 10;

/// Every scenario, in the order in which they are measured.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for protocol in [Protocol::Prepared, Protocol::Extended, Protocol::Simple] {
        for clients in [1, 16, 64] {
            all.push(queries(protocol, clients, road(Leg::Tcp, Target::Server)));
        }
    }
    for target in [Target::Server, Target::ServerTls] {
        let leg = if target == Target::Server { Leg::Unix } else { Leg::Tcp };
        all.extend([16, 64].map(|clients| queries(Protocol::Prepared, clients, road(leg, target))));
    }
    all.push(Scenario {
        work: Work::Query { protocol: Protocol::Prepared, clients: ACTIVE, idle: MANY - usize::from(ACTIVE) },
        road: road(Leg::Tcp, Target::Server),
        with_references: false,
        goals: vec![tell(Figure::ProxyCpu), tell(Figure::P99)],
    });
    let directions = [Direction::Download, Direction::Upload];
    for target in [Target::Stub, Target::StubTls] {
        all.extend(directions.map(|direction| bulk(Work::Stream(direction), target)));
    }
    for target in [Target::Server, Target::ServerTls] {
        all.extend(directions.map(|direction| bulk(Work::Copy(direction), target)));
    }
    all.push(Scenario {
        work: Work::Connect { threads: 8 },
        road: road(Leg::Tcp, Target::ServerTls),
        with_references: false,
        goals: vec![
            goal(Figure::Rate, Against::Direct, Bound::AtLeast(1.5)),
            goal(Figure::ProxyCpu, Against::Itself, Bound::AtMost(900.0)),
        ],
    });
    all.extend([Target::Stub, Target::StubTls].map(|target| Scenario {
        work: Work::Hold { sessions: MANY },
        road: road(Leg::Tcp, target),
        with_references: false,
        goals: vec![tell(Figure::SessionKib)],
    }));
    all.extend(mysql::all());
    all
}

/// Queries in open sessions, with what the broker may cost there.
fn queries(protocol: Protocol, clients: u16, road: Road) -> Scenario {
    let at_most = |figure, most| goal(figure, Against::BestPeer, Bound::AtMost(most));
    let goals = match (road.client, road.target) {
        _ if clients == 1 => vec![at_most(Figure::P50, 1.0), tell(Figure::ProxyCpu)],
        (Leg::Unix, _) => vec![
            at_most(Figure::ProxyCpu, 0.75),
            goal(Figure::MachineCpu, Against::Direct, Bound::AtMost(1.30)),
        ],
        (Leg::Tcp, target) if target.is_tls() => vec![at_most(Figure::ProxyCpu, 0.85)],
        (Leg::Tcp, _) => vec![at_most(Figure::ProxyCpu, 0.80)],
    };
    let with_references =
        protocol == Protocol::Prepared && road == self::road(Leg::Tcp, Target::Server) && clients > 1;
    Scenario { work: Work::Query { protocol, clients, idle: 0 }, road, with_references, goals }
}

/// Many bytes, with what a GB of them may cost.
fn bulk(work: Work, target: Target) -> Scenario {
    let most = if target.is_tls() { 0.85 } else { 0.70 };
    Scenario {
        work,
        road: road(Leg::Tcp, target),
        with_references: target == Target::Stub,
        goals: vec![goal(Figure::ProxyCpu, Against::BestPeer, Bound::AtMost(most))],
    }
}

const fn road(client: Leg, target: Target) -> Road {
    Road { client, target }
}

const fn goal(figure: Figure, against: Against, bound: Bound) -> Goal {
    Goal { figure, against, bound: Some(bound) }
}

/// A comparison with the best peer that has no goal: losing is shown like winning.
const fn tell(figure: Figure) -> Goal {
    Goal { figure, against: Against::BestPeer, bound: None }
}

impl Scenario {
    /// Whether a proxy that has served it is no longer as it was: held sessions leave memory behind.
    pub(crate) fn wears_out(&self) -> bool {
        match self.work {
            Work::Query { idle, .. } => idle > 0,
            Work::Hold { .. } => true,
            Work::Connect { .. } | Work::Copy(_) | Work::Stream(_) => false,
            Work::Points { .. } | Work::Logins { .. } | Work::Rows(_) | Work::Commands { .. } => false,
        }
    }

    /// Its name where only letters, digits and dashes are safe.
    pub(crate) fn slug(&self) -> String {
        let name = self.to_string().to_lowercase();
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }
}

impl Target {
    /// Whether it is reached over TLS.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::ServerTls | Self::StubTls | Self::MySqlTls)
    }

    /// Whether it is PostgreSQL.
    pub(crate) fn is_server(self) -> bool {
        matches!(self, Self::Server | Self::ServerTls)
    }

    /// Whether it speaks MySQL.
    pub(crate) fn is_mysql(self) -> bool {
        matches!(self, Self::MySql | Self::MySqlTls | Self::MySqlSocket | Self::MySqlStub)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let slugs: BTreeSet<String> = all().iter().map(Scenario::slug).collect();
        assert_eq!(slugs.len(), all().len());
        assert!(slugs.contains("prepared-16-clients-tcp-to-tcp"), "{slugs:?}");
    }

    #[test]
    fn every_scenario_compares_something() {
        assert!(all().iter().all(|scenario| !scenario.goals.is_empty()));
    }
}
