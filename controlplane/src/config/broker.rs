//! The section `broker:`: our own settings, and what services take over from it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dataplane::{IoChoice, Timeouts};
use protocol::Protocol;

use super::cores;
use super::listen;
use super::model::BrokerConfig;
use super::section::{Field, Reader, Section, Unknown};
use super::values::{Bound, read_word};

/// What `broker:` says.
pub(super) struct BrokerSection {
    /// Our own settings.
    pub(super) config: BrokerConfig,
    /// The timeouts of services that say nothing else.
    pub(super) timeouts: SaidTimeouts,
    /// Whether services may listen beyond this machine.
    pub(super) allow_remote: bool,
}

/// What a section says about timeouts.
#[derive(Clone, Copy, Default)]
pub(super) struct SaidTimeouts {
    dial: Option<Duration>,
    handshake: Option<Duration>,
    idle: Option<Option<Duration>>,
}

impl SaidTimeouts {
    /// These, and `others` where they say nothing.
    pub(super) fn over(self, others: Self) -> Self {
        Self {
            dial: self.dial.or(others.dial),
            handshake: self.handshake.or(others.handshake),
            idle: self.idle.or(others.idle),
        }
    }

    /// These, and the defaults of a service that speaks `protocol`.
    pub(super) fn of_service(self, protocol: &dyn Protocol) -> Timeouts {
        Timeouts {
            dial: self.dial.unwrap_or(Duration::from_secs(10)),
            handshake: self.handshake.unwrap_or(protocol.handshake_timeout()),
            idle: self.idle.flatten(),
        }
    }
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self {
            config: BrokerConfig {
                workers: cores::available(),
                io: IoChoice::default(),
                admin: Some(ADMIN),
                drain_timeout: Duration::from_secs(8),
                sessions_max: 10_000,
            },
            timeouts: SaidTimeouts::default(),
            allow_remote: false,
        }
    }
}

/// Reads `broker:`. What is wrong keeps its default, so that the services can be read too.
pub(super) fn read<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> BrokerSection {
    let mut broker = BrokerSection::default();
    let Some(section) = reader.section(field) else { return broker };
    section.finish(reader, KEYS, Unknown::Refused);

    if let Some(workers) = section.take(reader, "workers").and_then(|field| reader.count(&field, WORKERS_MAX))
    {
        broker.config.workers = workers as usize;
    }
    broker.config.io = read_word(reader, &section, "io", IO_WORDS, IO_HELP);
    if let Some(field) = section.take(reader, "admin") {
        broker.config.admin = read_admin(reader, &field);
    }
    if let Some(field) = section.take(reader, "drainTimeout") {
        broker.config.drain_timeout = reader.duration_or_zero(&field).unwrap_or(broker.config.drain_timeout);
    }
    if let Some(field) = section.take(reader, "allowRemote") {
        broker.allow_remote = reader.boolean(&field).unwrap_or(false);
    }
    broker.config.sessions_max = read_limits(reader, &section, broker.config.sessions_max);
    broker.timeouts = read_timeouts(reader, &section);
    broker
}

/// Reads `limits:` of a service or of the broker: how many sessions.
pub(super) fn read_limits<'d>(reader: &mut Reader<'d>, section: &Section<'d>, default: u32) -> u32 {
    let Some(field) = section.take(reader, "limits") else { return default };
    let Some(limits) = reader.section(&field) else { return default };
    limits.finish(reader, &["sessions"], Unknown::Refused);
    limits.take(reader, "sessions").and_then(|field| reader.count(&field, SESSIONS_MAX)).unwrap_or(default)
}

/// Reads `timeouts:` of a service or of the broker.
pub(super) fn read_timeouts<'d>(reader: &mut Reader<'d>, section: &Section<'d>) -> SaidTimeouts {
    let mut timeouts = SaidTimeouts::default();
    let Some(field) = section.take(reader, "timeouts") else { return timeouts };
    let Some(section) = reader.section(&field) else { return timeouts };
    section.finish(reader, &["dial", "handshake", "idle"], Unknown::Refused);
    if let Some(field) = section.take(reader, "dial") {
        timeouts.dial = reader.duration(&field);
    }
    if let Some(field) = section.take(reader, "handshake") {
        timeouts.handshake = reader.duration(&field);
    }
    if let Some(field) = section.take(reader, "idle") {
        timeouts.idle = reader.duration_or_off(&field).map(|bound| match bound {
            Bound::After(duration) => Some(duration),
            Bound::Off => None,
        });
    }
    timeouts
}

fn read_admin<'d>(reader: &mut Reader<'d>, field: &Field<'d>) -> Option<SocketAddr> {
    const EXPECTED: &str = "host:port or `off`";
    const HELP: &str = "write it like `127.0.0.1:5335`, or `0.0.0.0:5335` to be reached from other machines";
    let found = reader.text(field, EXPECTED, HELP)?;
    if reader.is_off(field) {
        return None;
    }
    match listen::parse_tcp(found, reader.system()) {
        Ok(address) => Some(address),
        Err(_) => {
            reader.unexpected(field, EXPECTED, found, HELP);
            None
        }
    }
}

/// Where the Go broker answers, but not to other machines.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5335);

/// What bytes may be moved with, here and on the command line.
pub(crate) const IO_WORDS: &[(&str, IoChoice)] =
    &[("auto", IoChoice::Auto), ("uring", IoChoice::Uring), ("epoll", IoChoice::Epoll)];

const IO_HELP: &str = "`auto`: io_uring where the kernel has it, else epoll; `uring`: io_uring or no start";

/// More than any machine has cores; each worker costs a thread, a driver and its buffers.
const WORKERS_MAX: u32 = 1024;

/// A session has two descriptors, and a process at most 1,048,576 (`fs.nr_open`) unless that was raised.
const SESSIONS_MAX: u32 = 1_000_000;

const KEYS: &[&str] = &["workers", "io", "admin", "drainTimeout", "limits", "timeouts", "allowRemote"];
