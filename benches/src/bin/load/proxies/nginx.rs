//! nginx's stream module. It can speak TLS to a server, but not ask for it as PostgreSQL and MySQL want.

use std::path::Path;
use std::process::Command;

use tests::failure::Result;
use tests::obtain::{Part, obtain};
use tests::places;

use super::{
    Kind, Lane, Proxy, Started, Targets, first_words, lanes, program, serves_bytes, spelled,
    write_configuration,
};
use crate::options::Options;
use crate::scenarios::{Road, Work};

pub(super) struct Nginx;

impl Proxy for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
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
        obtain(&[Part::Nginx])?;
        // "nginx version: nginx/1.22.1"
        let words = first_words(Command::new(program("nginx")?).arg("-v"))?;
        Ok(format!("nginx {}", words.split('/').nth(1).unwrap_or_default()))
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let lanes = lanes(targets, roads)?;
        let directory = places::fresh("nginx")?;
        let config = directory.join("nginx.conf");
        write_configuration(&config, &configuration(targets, &directory, &lanes))?;
        let mut command = targets.command(program("nginx")?);
        command.arg("-e").arg(directory.join("errors")).arg("-c").arg(&config).current_dir("/");
        Started::one(targets, self.name(), &command, lanes)
    }
}

fn configuration(targets: &Targets, directory: &Path, lanes: &[Lane]) -> String {
    let mut lines = vec![
        // Where the distribution puts the module.
        "load_module modules/ngx_stream_module.so;".to_owned(),
        "daemon off;".to_owned(),
        "worker_processes 1;".to_owned(),
        "worker_rlimit_nofile 16000;".to_owned(),
        format!("pid {};", directory.join("pid").display()),
        format!("error_log {} warn;", directory.join("errors").display()),
        "events { worker_connections 8192; }".to_owned(),
        "stream {".to_owned(),
        "  proxy_timeout 1h;".to_owned(),
    ];
    for Lane { road, listen, to, .. } in lanes {
        let (listen, to) = (spelled(listen, "unix:"), spelled(to, "unix:"));
        lines.push(format!("  server {{ listen {listen}; proxy_pass {to};"));
        if road.target.is_tls() {
            lines.push("    proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name localhost;".to_owned());
            lines.push(format!("    proxy_ssl_trusted_certificate {};", targets.authority.display()));
        }
        lines.push("  }".to_owned());
    }
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}
