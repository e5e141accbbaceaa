//! MySQL Router, which knows MySQL's handshake: it passes on what client and server say, and can ask the server for TLS
//! that the client knows nothing of.

use tests::broker::Listen;
use tests::failure::{Failure, Result};
use tests::obtain::{self, Part, obtain};
use tests::places;

use super::{Kind, Lane, Proxy, Started, Targets, first_words, lanes, spelled, write_configuration};
use crate::options::Options;
use crate::scenarios::{Road, Target, Work};

pub(super) struct Router;

impl Proxy for Router {
    fn name(&self) -> &'static str {
        "MySQL Router"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    /// Only an unstable release has it.
    fn is_optional(&self) -> bool {
        true
    }

    /// Its destinations have ports.
    fn serves(&self, road: Road, _: Work) -> bool {
        road.target.is_mysql() && road.target != Target::MySqlSocket
    }

    fn logs_in(&self) -> bool {
        false
    }

    fn asks_for_tls(&self) -> bool {
        true
    }

    fn obtain(&self, _: &Options) -> Result<String> {
        obtain(&[Part::MySqlRouter])?;
        // "MySQL Router  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"
        let (mut command, _) = obtain::mysql_router().map_err(|_| Failure::new("it cannot be had"))?;
        let words = first_words(command.arg("--version"))?;
        Ok(format!("MySQL Router {}", words.split_whitespace().nth(3).unwrap_or_default()))
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let lanes = lanes(targets, roads)?;
        let directory = places::fresh("router")?;
        let (router, plugins) = obtain::mysql_router()?;
        let mut lines = vec!["[DEFAULT]".to_owned(), format!("plugin_folder = {}", plugins.display())];
        lines.extend(
            ["runtime", "data", "config"].map(|name| format!("{name}_folder = {}", directory.display())),
        );
        lines.extend(["[logger]", "level = ERROR", "[io]", "threads = 1"].map(str::to_owned));
        lines.extend(lanes.iter().flat_map(|lane| section(targets, lane)));
        let config = directory.join("router.conf");
        write_configuration(&config, &(lines.join("\n") + "\n"))?;
        let mut command = targets.command(router.get_program());
        command.args(router.get_args()).arg("-c").arg(&config).current_dir("/");
        Started::one(targets, self.name(), &command, lanes)
    }
}

fn section(targets: &Targets, lane: &Lane) -> Vec<String> {
    let Lane { road, name, listen, to } = lane;
    let listens = match listen {
        Listen::Tcp(port) => format!("bind_address = 127.0.0.1:{port}"),
        Listen::Unix(path) => format!("socket = {}", path.display()),
    };
    let mut lines = vec![
        format!("[routing:{name}]"),
        listens,
        format!("destinations = {}", spelled(to, "")),
        "routing_strategy = first-available".to_owned(),
        "protocol = classic".to_owned(),
        "max_connections = 4000".to_owned(),
        // A client that only looks whether anybody listens must not shut others out.
        "max_connect_errors = 1000000".to_owned(),
    ];
    if road.target.is_tls() {
        lines.extend(
            [
                "client_ssl_mode = DISABLED",
                "server_ssl_mode = REQUIRED",
                "server_ssl_verify = VERIFY_IDENTITY",
            ]
            .map(str::to_owned),
        );
        lines.push(format!("server_ssl_ca = {}", targets.authority.display()));
    } else {
        lines.extend(["client_ssl_mode = PASSTHROUGH", "server_ssl_mode = AS_CLIENT"].map(str::to_owned));
    }
    lines
}
