//! What reports and the command line call scenarios.

use std::fmt;

use super::{Direction, Leg, Protocol, Road, Scenario, Target, Work};

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.work, self.road)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query { protocol, clients: 1, .. } => write!(f, "{protocol}, 1 client"),
            Self::Query { protocol, clients, idle: 0 } => write!(f, "{protocol}, {clients} clients"),
            Self::Query { protocol, clients, idle } => {
                write!(f, "{protocol}, {clients} clients beside {idle} idle sessions")
            }
            Self::Connect { threads } => write!(f, "a connection each, {threads} clients"),
            Self::Copy(direction) => write!(f, "COPY {direction}"),
            Self::Stream(direction) => write!(f, "raw {direction}"),
            Self::Hold { sessions } => write!(f, "{sessions} idle sessions"),
            Self::Points { prepared, clients } => {
                let how = if *prepared { "prepared" } else { "plain" };
                let noun = if *clients == 1 { "client" } else { "clients" };
                write!(f, "MySQL {how}, {clients} {noun}")
            }
            Self::Logins { clients } => write!(f, "MySQL a connection each, {clients} clients"),
            Self::Rows(direction) => write!(f, "MySQL rows {direction}"),
            Self::Commands { len, watched } => {
                let how = if *watched { "watched" } else { "not watched" };
                match len.div_ceil(1024) {
                    kib @ ..1024 => write!(f, "MySQL commands of {kib} KiB, {how}"),
                    kib => write!(f, "MySQL commands of {} MiB, {how}", kib.div_ceil(1024)),
                }
            }
        }
    }
}

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.client {
            Leg::Tcp => "TCP",
            Leg::Unix => "Unix",
        })?;
        f.write_str(match self.target {
            Target::MySqlSocket => " to Unix",
            target if target.is_tls() => " to TLS",
            _ => " to TCP",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Simple => "simple",
            Self::Extended => "extended",
        })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Download => "download",
            Self::Upload => "upload",
        })
    }
}
