//! HAProxy, relaying TCP with splice. It can speak TLS to a server, but not ask for it as PostgreSQL and MySQL want.

use std::process::Command;

use tests::broker::Listen;
use tests::failure::Result;
use tests::obtain::{Part, obtain};
use tests::places;

use super::{
    Kind, Lane, Proxy, Started, Targets, first_words, lanes, program, serves_bytes, spelled,
    write_configuration,
};
use crate::options::Options;
use crate::scenarios::{Road, Work};

pub(super) struct HaProxy;

impl Proxy for HaProxy {
    fn name(&self) -> &'static str {
        "HAProxy"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn serves(&self, road: Road, work: Work) -> bool {
        serves_bytes(road, work)
    }

    fn logs_in(&self) -> bool {
        false
    }

    fn obtain(&self, _: &Options) -> Result<String> {
        obtain(&[Part::HaProxy])?;
        // "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"
        let words = first_words(Command::new(program("haproxy")?).arg("-v"))?;
        Ok(format!("HAProxy {}", words.split(' ').nth(2).unwrap_or_default()))
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let lanes = lanes(targets, roads)?;
        let config = places::fresh("haproxy")?.join("haproxy.cfg");
        write_configuration(&config, &configuration(targets, &lanes))?;
        let mut command = targets.command(program("haproxy")?);
        // Without -db it may go to the background.
        command.arg("-db").arg("-f").arg(&config).current_dir("/");
        Started::one(targets, self.name(), &command, lanes)
    }
}

fn configuration(targets: &Targets, lanes: &[Lane]) -> String {
    let mut lines = [
        "global",
        "  nbthread 1",
        "  maxconn 4000",
        "defaults",
        "  mode tcp",
        "  option splice-auto",
        "  timeout connect 10s",
        "  timeout client 1h",
        "  timeout server 1h",
    ]
    .map(str::to_owned)
    .to_vec();
    for Lane { road, name, listen, to } in lanes {
        let tls = if road.target.is_tls() {
            format!(" ssl verify required verifyhost localhost ca-file {}", targets.authority.display())
        } else {
            String::new()
        };
        lines.push(format!("listen {name}"));
        lines.push(match listen {
            Listen::Tcp(port) => format!("  bind 127.0.0.1:{port}"),
            Listen::Unix(path) => format!("  bind unix@{} mode 777", path.display()),
        });
        lines.push(format!("  server target {}{tls}", spelled(to, "unix@")));
    }
    lines.join("\n") + "\n"
}
