//! Everybody but the broker: the network, who is on it, and when they act.
//!
//! Owns the peers. Knows no driver and no worker.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::time::Duration;

use super::network::{EndId, Network};
use super::peers::{Client, Login, Server};
use super::talk::Plan;

/// The network and who is on it.
pub(crate) struct Town {
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    /// What the server of each client has to say.
    pub(crate) plans: Vec<Plan>,
    /// Listeners by the descriptor that stands for them.
    pub(crate) listeners: BTreeMap<RawFd, usize>,
    /// When the next clients come, and to which listener: the last one comes first.
    pub(crate) arrivals: Vec<(Duration, usize, Plan, Option<Duration>)>,
    /// The password that servers want now.
    pub(crate) password: Vec<u8>,
    /// How servers may let in.
    pub(crate) logins: Vec<Login>,
    /// When the control plane has something to do.
    pub(crate) control_at: Option<Duration>,
    /// The worker is going away with all that it has.
    pub(crate) is_stopping: bool,
}

impl Town {
    /// Which listener a descriptor stands for.
    pub(crate) fn listener(&self, descriptor: RawFd) -> usize {
        self.listeners[&descriptor]
    }

    /// We have connected to a server: it is at the other end.
    pub(crate) fn serve(&mut self, end: EndId) {
        let login = self.network.random.pick(&self.logins);
        self.servers.push(Server::new(end, login, self.password.clone()));
    }

    /// Everybody does what can be done now. Whether anybody did something, and may do more in a moment.
    pub(crate) fn act(&mut self) -> bool {
        let moves = self.network.moves;
        while let Some((at, listener, plan, gives_up)) = self.arrivals.pop() {
            if at > self.network.now {
                self.arrivals.push((at, listener, plan, gives_up));
                break;
            }
            let end = self.network.dial_us(listener);
            let number = self.clients.len() as u64;
            self.clients.push(Client::new(end, number, plan, gives_up.map(|after| at + after)));
        }
        for client in &mut self.clients {
            client.act(&mut self.network);
        }
        let plans = &self.plans;
        for server in &mut self.servers {
            server.act(&mut self.network, |client| plans[usize::try_from(client).expect("a small number")]);
        }
        self.network.moves > moves
    }

    /// When somebody does something by himself.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        let clients = self.clients.iter().filter_map(Client::next);
        let servers = self.servers.iter().filter_map(Server::next);
        let arrival = self.arrivals.last().map(|arrival| arrival.0);
        let next = clients.chain(servers).chain(arrival).chain(self.control_at);
        next.filter(|at| *at > self.network.now).min()
    }

    /// Whether it is the control plane's turn.
    pub(crate) fn is_control_due(&self) -> bool {
        self.control_at.is_some_and(|at| at <= self.network.now)
    }

    /// Whether nothing more will happen by itself.
    pub(crate) fn is_quiet(&self) -> bool {
        let clients_are_over = self.clients.iter().all(|client| client.is_over);
        self.arrivals.is_empty() && clients_are_over && self.servers.iter().all(|server| server.is_over)
    }
}
