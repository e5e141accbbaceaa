//! MySQL and MariaDB through the broker: real servers, clients and drivers of every kind, none of which has the password.

mod change_user;
mod clients;
mod compression;
mod drivers;
mod failures;
mod methods;
mod rotation;
mod secrecy;
mod sessions;
mod suites;

use tests::broker::{Broker, Listen, Service, mysql};
use tests::mysql::{Account, Client, Endpoint, Kind, Plugin, Server, Which, shared};

use super::support::broker;

/// Every shared server that there is.
fn servers() -> impl Iterator<Item = &'static Server> {
    Which::ALL.into_iter().filter_map(shared)
}

/// A broker in front of one account of `server`, which it talks to in TLS where the server is not the oldest one.
struct Front {
    broker: Broker,
    account: Account,
    /// How clients get there: in clear over TCP, without a password, as somebody else.
    endpoint: Endpoint,
}

impl Front {
    /// An account of the server's usual kind, on a free port.
    #[track_caller]
    fn of(server: &Server) -> Self {
        Self::with(server, Plugin::usual(server.kind()), |service| service)
    }

    /// An account of this plugin, with a service that differs from the plain one.
    #[track_caller]
    fn with(server: &Server, plugin: Plugin, differ: impl FnOnce(Service) -> Service) -> Self {
        let account = server.user(plugin).unwrap();
        let service = differ(service(server, &account));
        let listen = service.listen.clone();
        let broker = broker([service]);
        let endpoint = Endpoint::broker(&listen, &account);
        Self { broker, account, endpoint }
    }

    /// A client that has all that it needs in its command line.
    #[track_caller]
    fn client(&self) -> Client {
        Client::new(&self.endpoint).unwrap()
    }

    /// The broker ends well.
    #[track_caller]
    fn end(self) {
        assert!(self.broker.stop().unwrap().success(), "{}", self.broker.said());
    }
}

/// The plain service for `account`.
fn service(server: &Server, account: &Account) -> Service {
    let service = mysql("db", server, account);
    let is_oldest = server.kind() == Kind::MariaDb && server.version() < (11, 0);
    service.literal("sslmode", if is_oldest { "disable" } else { "require" })
}

/// A Unix socket of a name that any client takes.
fn unix() -> Listen {
    Listen::Unix(tests::places::fresh("socket").unwrap().join("mysqld.sock"))
}
