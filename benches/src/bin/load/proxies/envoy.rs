//! Envoy's TCP proxy. It can speak TLS to a server, but not ask for it as PostgreSQL and MySQL want: no filter of this
//! build can.

use std::fmt::Write;
use std::process::Command;

use tests::broker::Listen;
use tests::failure::Result;
use tests::obtain::{self, Part, obtain};
use tests::places;

use super::{Kind, Lane, Proxy, Started, Targets, first_words, lanes, serves_bytes, write_configuration};
use crate::options::Options;
use crate::scenarios::{Road, Target, Work};

pub(super) struct Envoy;

impl Proxy for Envoy {
    fn name(&self) -> &'static str {
        "Envoy"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    /// Not every machine has a wheel of it.
    fn is_optional(&self) -> bool {
        true
    }

    fn serves(&self, road: Road, work: Work) -> bool {
        serves_bytes(road, work)
    }

    fn logs_in(&self) -> bool {
        false
    }

    fn obtain(&self, _: &Options) -> Result<String> {
        obtain(&[Part::Envoy])?;
        // "…/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
        let words = first_words(Command::new(obtain::envoy()?).arg("--version"))?;
        Ok(format!("Envoy {}", words.split('/').rev().nth(3).unwrap_or_default()))
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let lanes = lanes(targets, roads)?;
        let config = places::fresh("envoy")?.join("envoy.yaml");
        write_configuration(&config, &configuration(targets, &lanes))?;
        let mut command = targets.command(obtain::envoy()?);
        command
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"])
            .arg(&config)
            .current_dir("/");
        Started::one(targets, self.name(), &command, lanes)
    }
}

/// YAML in JSON's manner, so that nothing depends on how far a line is indented.
fn configuration(targets: &Targets, lanes: &[Lane]) -> String {
    let mut listeners = String::new();
    let mut clusters = String::new();
    for Lane { road, name, listen, to } in lanes {
        let (address, to) = (place(listen, ", mode: 511"), place(to, ""));
        let tcp_proxy = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
        // Writing to a String cannot fail.
        let _ = writeln!(
            listeners,
            "  - {{name: {name}, address: {address}, filter_chains: [{{filters: [{{name: tcp, typed_config: \
             {{\"@type\": type.googleapis.com/{tcp_proxy}, stat_prefix: {name}, cluster: {name}, idle_timeout: 0s}}}}]}}]}}"
        );
        let transport = transport(targets, road.target);
        let _ = writeln!(
            clusters,
            "  - {{name: {name}, type: STATIC, connect_timeout: 10s, {transport}\
             circuit_breakers: {{thresholds: [{{max_connections: 4000, max_pending_requests: 4000, \
             max_requests: 4000}}]}}, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: \
             [{{endpoint: {{address: {to}}}}}]}}]}}}}"
        );
    }
    format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}")
}

/// An address, and what is to be said beside the path of a socket.
fn place(listen: &Listen, beside: &str) -> String {
    match listen {
        Listen::Tcp(port) => format!("{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}"),
        Listen::Unix(path) => format!("{{pipe: {{path: {:?}{beside}}}}}", path.display().to_string()),
    }
}

/// How a cluster speaks to its target, ended by a comma.
fn transport(targets: &Targets, target: Target) -> String {
    let sockets = "type.googleapis.com/envoy.extensions.transport_sockets";
    let tls = format!(
        "{{\"@type\": {sockets}.tls.v3.UpstreamTlsContext, sni: localhost, common_tls_context: \
         {{validation_context: {{trusted_ca: {{filename: {:?}}}, match_typed_subject_alt_names: \
         [{{san_type: DNS, matcher: {{exact: localhost}}}}]}}}}}}",
        targets.authority.display().to_string()
    );
    if target.is_tls() {
        format!("transport_socket: {{name: tls, typed_config: {tls}}}, ")
    } else {
        String::new()
    }
}
