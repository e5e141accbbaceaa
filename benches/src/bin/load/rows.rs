//! What is measured: the list of rows, and which of them are compared.

use std::fmt;

/// One row: a way from pgbench to PostgreSQL, and what pgbench does on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What stands in between.
    pub(crate) through: Through,
    /// How the client reaches what stands in between, or the server.
    pub(crate) client: Leg,
    /// How the server is reached.
    pub(crate) server: Leg,
    /// What each transaction is.
    pub(crate) work: Work,
}

/// What stands between pgbench and PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// Nothing.
    Nothing,
    /// The broker.
    Broker,
    /// PgBouncer with session pooling, which keeps its connections to the server for the next client.
    PgBouncer,
    /// PgBouncer told to use each of its connections once, so that it logs in as often as the others.
    PgBouncerUsedOnce,
}

/// How a connection is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// TCP on loopback, in clear.
    Tcp,
    /// TLS over TCP on loopback, the server's certificate verified.
    Tls,
    /// A Unix socket.
    Unix,
}

/// What one transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A query in an open session.
    Query,
    /// A session for one query.
    Connect,
}

/// Two rows whose costs are compared: the broker's and PgBouncer's.
#[derive(Debug)]
pub(crate) struct Pair {
    /// What they have in common.
    pub(crate) name: &'static str,
    /// The broker's row and its peer's.
    pub(crate) rows: [&'static Row; 2],
    /// What the broker's CPU per transaction may be, as a share of its peer's.
    pub(crate) goal: Option<f64>,
}

const fn query(through: Through, client: Leg, server: Leg) -> Row {
    Row { through, client, server, work: Work::Query }
}

const fn connect(through: Through, server: Leg) -> Row {
    Row { through, client: Leg::Tcp, server, work: Work::Connect }
}

/// Every row, in the order in which they take turns: rows that are compared stand next to each other.
pub(crate) static ALL: [Row; 17] = [
    query(Through::Nothing, Leg::Tcp, Leg::Tcp),
    query(Through::Broker, Leg::Tcp, Leg::Tcp),
    query(Through::PgBouncer, Leg::Tcp, Leg::Tcp),
    query(Through::Nothing, Leg::Unix, Leg::Unix),
    query(Through::Broker, Leg::Unix, Leg::Unix),
    query(Through::PgBouncer, Leg::Unix, Leg::Unix),
    query(Through::Broker, Leg::Unix, Leg::Tcp),
    query(Through::PgBouncer, Leg::Unix, Leg::Tcp),
    query(Through::Nothing, Leg::Tls, Leg::Tls),
    query(Through::Broker, Leg::Tcp, Leg::Tls),
    query(Through::PgBouncer, Leg::Tcp, Leg::Tls),
    connect(Through::Broker, Leg::Tcp),
    connect(Through::PgBouncerUsedOnce, Leg::Tcp),
    connect(Through::PgBouncer, Leg::Tcp),
    Row { through: Through::Nothing, client: Leg::Tcp, server: Leg::Tcp, work: Work::Connect },
    connect(Through::Broker, Leg::Tls),
    Row { through: Through::Nothing, client: Leg::Tls, server: Leg::Tls, work: Work::Connect },
];

/// Every comparison.
pub(crate) static PAIRS: [Pair; 6] = [
    Pair { name: "TCP to TCP", rows: [&ALL[1], &ALL[2]], goal: Some(0.90) },
    Pair { name: "Unix to Unix", rows: [&ALL[4], &ALL[5]], goal: Some(0.80) },
    Pair { name: "Unix to TCP", rows: [&ALL[6], &ALL[7]], goal: None },
    Pair { name: "TCP to TLS", rows: [&ALL[9], &ALL[10]], goal: None },
    Pair { name: "connects, both log in", rows: [&ALL[11], &ALL[12]], goal: None },
    Pair { name: "connects, PgBouncer pools", rows: [&ALL[11], &ALL[13]], goal: None },
];

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.work == Work::Connect {
            f.write_str("connects, ")?;
        }
        match self.through {
            Through::Nothing => write!(f, "direct, {}", self.server),
            Through::Broker => write!(f, "broker, {} to {}", self.client, self.server),
            Through::PgBouncer if self.work == Work::Connect => {
                write!(f, "PgBouncer pooling, {} to {}", self.client, self.server)
            }
            Through::PgBouncer | Through::PgBouncerUsedOnce => {
                write!(f, "PgBouncer, {} to {}", self.client, self.server)
            }
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Unix => "Unix",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: BTreeSet<String> = ALL.iter().map(Row::to_string).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn a_pair_differs_in_what_stands_between_alone() {
        for pair in &PAIRS {
            let [ours, peer] = pair.rows;
            assert_eq!(ours.through, Through::Broker, "{}", pair.name);
            assert!(matches!(peer.through, Through::PgBouncer | Through::PgBouncerUsedOnce), "{}", pair.name);
            assert_eq!((ours.client, ours.server, ours.work), (peer.client, peer.server, peer.work));
        }
    }
}
