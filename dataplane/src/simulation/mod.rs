//! Whole workers on virtual time, between peers and under a control plane that behave as badly as a seed says.
//!
//! Owns a run: from a seed to the end of the last session, and what must hold then. The worker, its sessions and the
//! protocol's machines are those of production; only the driver below and the peers around are not.

mod control;
mod driver;
mod network;
mod peers;
mod random;
mod request;
mod socket;
mod talk;
mod town;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::context::{Context, EntropySource, Parts, Shared};
use crate::jobs::JobClient;
use crate::mailbox::Queue;
use crate::snapshot::{Address, Endpoint, Timeouts};
use crate::stats::ServiceRuntime;
use crate::tls::SystemRoots;
use crate::worker::Worker;
use control::{Control, Event};
use driver::Simulated;
use network::{Faults, Network};
use peers::Login;
use random::Random;
use talk::{Ending, Plan};
use town::Town;

/// By then whoever wanted to end has ended; the rest is closed.
const END: Duration = Duration::from_secs(2000);

/// Rounds of a worker at one moment of virtual time: more is a loop that does nothing.
const ROUNDS_AT_ONCE_MAX: usize = 100_000;

/// A run under way.
struct Run {
    worker: Worker<Simulated>,
    town: Rc<RefCell<Town>>,
    control: Control,
    shared: Arc<Shared>,
}

/// What a run came to: how long it took of virtual time, in how many rounds, and how much was read, written and ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    ended_at: Duration,
    rounds: usize,
    moves: u64,
}

/// Runs one seed to its end; panics where something does not hold.
pub(crate) fn run(seed: u64) -> Trace {
    let mut run = Run::new(seed);
    let mut rounds = 0;
    let mut last = (Duration::ZERO, 0);
    loop {
        let now = run.town.borrow().network.now;
        last = if last.0 == now { (now, last.1 + 1) } else { (now, 0) };
        assert!(last.1 < ROUNDS_AT_ONCE_MAX, "the worker goes round and round and does nothing");
        run.control.act(now);
        {
            let mut town = run.town.borrow_mut();
            town.password.clone_from(&run.control.password);
            town.control_at = run.control.next();
        }
        run.worker.round();
        rounds += 1;
        let trace = Trace { ended_at: now, rounds, moves: run.town.borrow().network.moves };
        if run.worker.is_stopping() {
            run.stop();
            return trace;
        }
        if run.town.borrow().is_quiet() && run.worker.is_idle() && run.control.is_done() {
            run.end();
            return trace;
        }
        assert!(now < END * 2, "something never ends: {}", run.describe());
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_tiny = random.permille(200);
        let town = Rc::new(RefCell::new(town(&mut random, is_tiny)));
        let runtime = Arc::new(ServiceRuntime::new(1));
        let shared = Arc::new(Shared {
            sessions_max: 1000,
            sessions: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            next_request: AtomicU64::new(seed),
            report_sessions: true,
        });
        let mailbox = Arc::new(Queue::new(4096).expect("an eventfd"));
        let reports = Arc::new(Queue::new(random.pick(&[1, 8, 4096])).expect("an eventfd"));
        let (client, jobs) = JobClient::detached();
        let addresses = [
            Address::Tcp(SocketAddr::from(([192, 0, 2, 1], 5432))),
            Address::Unix("/run/simulation".into()),
            Address::Tcp(SocketAddr::from(([192, 0, 2, 2], 5432))),
        ];
        let count = random.between(1, addresses.len());
        let first = random.below(addresses.len());
        let chosen = addresses.iter().cycle().skip(first).take(count);
        let listeners: Vec<_> = (0..2)
            .map(|number| {
                let stand_in = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
                town.borrow_mut().listeners.insert(stand_in.as_raw_fd(), number);
                Control::listener(number, Arc::new(stand_in))
            })
            .collect();
        let mut control = Control {
            random: Random::new(random.next()),
            mailbox: Arc::clone(&mailbox),
            reports: Arc::clone(&reports),
            jobs: Box::new(jobs),
            runtime,
            timeouts: Timeouts {
                dial: Duration::from_secs(10),
                handshake: Duration::from_secs(30),
                idle: random.pick(&[None, Some(Duration::from_secs(60))]),
            },
            endpoints: chosen.map(|address| Arc::new(Endpoint::new(address.clone()))).collect(),
            listeners,
            events: events(&mut random),
            answers: Vec::new(),
            password: b"the first password".to_vec(),
            credential: None,
            is_resolved: random.permille(800),
            retired: 0,
            has_cut: false,
        };
        if random.permille(700) {
            control.events.push((Duration::ZERO, Event::Publish));
        }
        control.publish();
        control.listen();
        let base = Instant::now();
        let parts = Parts {
            worker: 0,
            shared: Arc::clone(&shared),
            jobs: client,
            roots: SystemRoots::new(Vec::new()),
            reports,
            mailbox,
            // No run depends on the bytes, only on that they are the same each time.
            entropy: EntropySource::of(|page| {
                page.fill(7);
                true
            }),
        };
        let cx = Context::new(Simulated::new(Rc::clone(&town), base), parts);
        let worker = Worker::new(cx, Arc::new(AtomicU64::new(0)), base);
        Self { worker, town, control, shared }
    }

    fn describe(&self) -> String {
        let town = self.town.borrow();
        let clients = town.clients.iter().filter(|client| !client.is_over).count();
        let servers = town.servers.iter().filter(|server| !server.is_over).count();
        let Control { retired, events, answers, .. } = &self.control;
        format!(
            "{} arrivals, {clients} clients and {servers} servers are left, {} sockets of ours are open, {retired} listeners \
             are gone, {} events and {} answers are due",
            town.arrivals.len(),
            town.network.open,
            events.len(),
            answers.len()
        )
    }

    /// The worker was stopped with all that it had.
    fn stop(self) {
        self.town.borrow_mut().is_stopping = true;
        drop(self.worker);
        assert_eq!(self.town.borrow().network.open, 0, "a stopped worker holds no connection");
    }

    /// Everybody is done: what must hold now.
    fn end(mut self) {
        let totals = self.control.runtime.totals();
        assert_eq!(totals.opened, totals.closed, "every connection that was opened was closed");
        assert_eq!(self.control.runtime.sessions(), 0, "every place was given back");
        assert_eq!(self.shared.connections.load(Ordering::Relaxed), 0, "no connection is left");
        assert_eq!(self.shared.sessions.load(Ordering::Relaxed), 0, "every place was given back");
        assert!(self.control.endpoints.iter().all(|endpoint| endpoint.sessions() == 0));
        let io = self.worker.io();
        assert_eq!(io.lent, 0, "every conduit was given back");
        assert!(io.has_all_buffers(), "every buffer was given back");
        let town = self.town.borrow();
        assert_eq!(town.network.open, 0, "every socket of ours is closed");
        assert_eq!(self.control.retired, 2, "both listeners were let go of");
        if self.control.has_cut {
            return;
        }
        for client in &town.clients {
            let Some(said) = &client.talk else { continue };
            let mut servers = town.servers.iter().filter(|server| server.client == Some(client.number()));
            let Some(heard) = servers.find_map(|server| server.talk.as_ref()) else {
                unreachable!("a session is open whose server does not know of it")
            };
            if said.is_gentle() && heard.is_gentle() {
                assert!(said.has_everything_of(heard), "client {} misses something", client.number());
                assert!(heard.has_everything_of(said), "the server of {} misses something", client.number());
                let in_time = said.heard_in_time(heard) && heard.heard_in_time(said);
                assert!(in_time, "an end in session {} was long under way", client.number());
            }
        }
    }
}

fn town(random: &mut Random, is_tiny: bool) -> Town {
    let faults = match random.below(3) {
        0 => Faults::default(),
        _ => Faults {
            short_send: random.pick(&[0, 50, 500]),
            late: random.pick(&[0, 100, 700]),
            receive_ends: random.pick(&[0, 20, 300]),
            no_buffer: random.pick(&[0, 20, 300]),
            vain_poll: random.pick(&[0, 2, 20]),
            no_conduit: random.pick(&[0, 100, 500]),
            no_descriptor: random.pick(&[0, 20, 100]),
            bad_connect: random.pick(&[0, 50, 300]),
        },
    };
    let inboxes: &'static [usize] = if is_tiny { &[1, 3, 100] } else { &[4096, 65_536, 262_144] };
    let mut arrivals: Vec<_> = (0..random.between(1, 12))
        .map(|_| {
            let is_gentle = random.permille(600);
            let at = Duration::from_micros(random.below(200_000) as u64);
            let gives_up = (!is_gentle && random.permille(300))
                .then(|| Duration::from_micros(random.below(3_000_000) as u64));
            (at, random.below(2), pair(random, is_gentle, is_tiny), gives_up)
        })
        .collect();
    // Clients are numbered as they come, and the last one of the list comes first.
    arrivals.sort_by_key(|arrival| arrival.0);
    let plans = arrivals.iter().map(|arrival| arrival.2.1).collect();
    let arrivals = arrivals
        .into_iter()
        .rev()
        .map(|(at, listener, (client, _), gives_up)| (at, listener, client, gives_up))
        .collect();
    let logins = match random.below(4) {
        0 => vec![Login::Trust],
        1 => vec![Login::Cleartext, Login::Scram],
        2 => vec![Login::Scram],
        _ => vec![
            Login::Trust,
            Login::Cleartext,
            Login::Scram,
            Login::BreakOff(random.below(100)),
            Login::Silence,
            Login::Nonsense,
        ],
    };
    Town {
        network: Network::new(Random::new(random.next()), faults, inboxes),
        clients: Vec::new(),
        servers: Vec::new(),
        plans,
        listeners: BTreeMap::new(),
        arrivals,
        password: Vec::new(),
        logins,
        control_at: None,
        is_stopping: false,
    }
}

/// What a client and its server do.
fn pair(random: &mut Random, is_gentle: bool, is_tiny: bool) -> (Plan, Plan) {
    let mut plan = |ending| {
        let piece_max =
            if is_tiny { random.between(1, 100) } else { random.pick(&[1, 50, 1000, 20_000, 200_000]) };
        let len = random.below((piece_max * 40).min(if is_tiny { 300 } else { 600_000 }));
        Plan {
            len: len as u64,
            piece_max,
            read_max: piece_max,
            rests: random.pick(&[0, 0, 10, 200]),
            rest_max: Duration::from_micros(random.pick(&[10, 1000, 1_000_000])),
            ending,
            is_gentle,
        }
    };
    let (client, server) = (plan(Ending::Finish), plan(Ending::Finish));
    let mut ending = |len: u64| match random.below(5) {
        0 => Ending::Finish,
        1 => Ending::Close,
        2 => Ending::Wait,
        _ => Ending::Reset(random.next() % (len + 1)),
    };
    let mut endings = (ending(client.len), ending(server.len));
    if is_gentle {
        endings = random.pick(&[
            (Ending::Finish, Ending::Finish),
            (Ending::Finish, Ending::Wait),
            (Ending::Wait, Ending::Finish),
        ]);
    }
    // Whoever reads byte by byte what another sends by the hundred thousand is a test of our patience only.
    let read_max =
        |own: &Plan, other: &Plan| own.piece_max.max(usize::try_from(other.len / 50).unwrap_or(usize::MAX));
    (
        Plan { ending: endings.0, read_max: read_max(&client, &server), ..client },
        Plan { ending: endings.1, read_max: read_max(&server, &client), ..server },
    )
}

/// What happens to the broker meanwhile.
fn events(random: &mut Random) -> Vec<(Duration, Event)> {
    let mut events = Vec::new();
    for _ in 0..random.below(4) {
        let at = Duration::from_micros(random.below(300_000) as u64);
        events.push((at, Event::Rotate));
        events.push((at + Duration::from_micros(random.below(50_000) as u64), Event::Publish));
    }
    if random.permille(200) {
        let at = Duration::from_micros(random.below(200_000) as u64);
        events.push((at, Event::Resolve(false)));
        events.push((at + Duration::from_micros(random.below(2_000_000) as u64), Event::Resolve(true)));
    }
    let cuts = [Event::Drain, Event::CloseSessions, Event::Stop];
    if random.permille(300) {
        events.push((Duration::from_micros(random.below(400_000) as u64), random.pick(&cuts)));
    }
    // Whoever has not ended by then is waited for by nobody.
    events.push((END, Event::Retire(0)));
    events.push((END, Event::Retire(1)));
    events.push((END, Event::CloseSessions));
    events
}

#[cfg(test)]
mod tests;
