//! What speaks MySQL on the stage: MariaDB, and the stub that stands for a server.
//!
//! Owns the processes and what is in the database. Knows no scenario.

mod packets;
mod stub;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use ::tests::broker::Listen;
use ::tests::certificates::{Authority, Identity};
use ::tests::failure::{Doing, Result};
use ::tests::mysql::{self, Options, Plugin, Server, sysbench};
use ::tests::postgres::Login;
use ::tests::process;
use ::tests::say::say;

pub(crate) use packets::Packets;

use crate::proxies::MySqlTargets;

/// What is running.
pub(crate) struct MySql {
    server: Server,
    stub: SocketAddr,
    login: Login,
}

/// A table for rows that are dropped.
pub(crate) const SINK: &str = "sink";

/// The script of sysbench that is measured.
pub(crate) const SCRIPT: &str = "oltp_point_select";

/// What sysbench's table is like. The server's own work is not what is measured: it stays in the processors' caches
/// and in MariaDB's.
pub(crate) const TABLE: [&str; 2] = ["--tables=1", "--table-size=100000"];

impl MySql {
    /// Starts the distribution's MariaDB and the stub; `directory` is where sysbench is run.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        say("Starting MariaDB …");
        let installation = mysql::Installation::of_distribution()?;
        let settings =
            ["--max-connections=600", "--plugin-load-add=ha_blackhole"].map(str::to_owned).to_vec();
        let server = Server::start(&installation, &Options { settings, ..Options::with_tls() })?;
        let account = server.user(Plugin::NativePassword)?;
        let endpoint = server.endpoint(&account);
        process::run(sysbench(&endpoint).arg(SCRIPT).args(TABLE).arg("prepare"))?.succeeded()?;
        server.sql(&format!("CREATE TABLE {}.{SINK} (line TEXT) ENGINE = BLACKHOLE;", account.name))?;
        write_identity(directory)?;
        let login = Login { name: account.name, password: account.password };
        Ok(Self { server, stub: stub::start()?, login })
    }

    /// What the server says of its version.
    pub(crate) fn version(&self) -> Result<String> {
        let version = self.server.sql("SELECT VERSION()")?;
        Ok(format!("MariaDB {}", version.split('-').next().unwrap_or_default()))
    }

    /// How many connections the server has taken.
    pub(crate) fn connections(&self) -> Result<u64> {
        self.server.status("Connections")
    }

    /// What proxies reach.
    pub(crate) fn targets(&self) -> MySqlTargets {
        MySqlTargets {
            server: Listen::Tcp(self.server.port),
            socket: Listen::Unix(self.server.socket()),
            stub: Listen::Tcp(self.stub.port()),
            login: self.login.clone(),
        }
    }
}

/// sysbench speaks TLS only with a certificate of its own, in files of these names where it is run.
fn write_identity(directory: &Path) -> Result<()> {
    let Identity { certificate, key } = Authority::shared().client("sysbench");
    let authority = Authority::shared().certificate.clone();
    for (name, content) in
        [("client-cert.pem", certificate), ("client-key.pem", key), ("cacert.pem", authority)]
    {
        fs::write(directory.join(name), content).doing(format_args!("write {name}"))?;
    }
    Ok(())
}
