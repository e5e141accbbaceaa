//! The reference relays: our own program, told to relay.

use std::process;

use tests::broker::Listen;
use tests::failure::Result;

use super::{Kind, Proxy, Started, Targets, lanes, serves_bytes, spelled};
use crate::options::Options;
use crate::relays::Runtime;
use crate::scenarios::{Leg, Road, Target, Work};

/// The relay on tokio.
pub(super) const TOKIO: Reference = Reference { name: "relay on tokio", runtime: Runtime::Tokio };

/// The relay on tokio-uring.
pub(super) const TOKIO_URING: Reference =
    Reference { name: "relay on tokio-uring", runtime: Runtime::TokioUring };

/// The relay on monoio.
pub(super) const MONOIO: Reference = Reference { name: "relay on monoio", runtime: Runtime::Monoio };

pub(super) struct Reference {
    name: &'static str,
    runtime: Runtime,
}

impl Proxy for Reference {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Reference
    }

    fn serves(&self, road: Road, work: Work) -> bool {
        let is_tcp = road.client == Leg::Tcp && road.target != Target::MySqlSocket;
        is_tcp && !road.target.is_tls() && serves_bytes(road, work)
    }

    fn logs_in(&self) -> bool {
        false
    }

    fn obtain(&self, _: &Options) -> Result<String> {
        Ok(self.runtime.version())
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let lanes = lanes(targets, roads)?;
        // Not its path: whoever builds it anew meanwhile replaces the file, but not what runs.
        let mut command = targets.command(format!("/proc/{}/exe", process::id()));
        command.arg("relay").arg(self.runtime.to_string()).current_dir("/");
        for lane in &lanes {
            if let Listen::Tcp(port) = lane.listen {
                command.arg(format!("127.0.0.1:{port}={}", spelled(&lane.to, "")));
            }
        }
        Started::one(targets, self.name, &command, lanes)
    }
}
