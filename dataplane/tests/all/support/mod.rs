//! A data plane under test: a protocol whose handshake is as short as can be, and real sockets around it.

pub(crate) mod client_tls;
pub(crate) mod frames;
pub(crate) mod tls;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dataplane::{
    Address, CredentialState, Dataplane, Endpoint, IoChoice, ListenerId, ListenerMail, Service, ServiceId,
    ServiceOptions, ServiceRuntime, Settings, Snapshot, Target, Timeouts,
};
use frames::Frames;
use protocol::tls::{TlsPolicy, Verification};
use protocol::{
    Bug, ClientTls, Credential, Destination, Dial, Entropy, Error, Event, Failure, Generation, Handshake,
    Next, Output, Protocol, Route, Side, Transport, Want, Watch,
};

/// Makes a test of each function for each driver.
macro_rules! on_both_drivers {
    ($($name:ident,)*) => {
        mod on_uring {
            $(#[test] fn $name() { super::$name(dataplane::IoChoice::Uring) })*
        }
        mod on_epoll {
            $(#[test] fn $name() { super::$name(dataplane::IoChoice::Epoll) })*
        }
    };
}

/// Long enough that only a hang meets it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Test double of a protocol: the client sends one byte, which is swallowed, then both legs are up, the target's in TLS
/// if that is wanted; and a byte before that one if the client's leg is to be in TLS, which begins right behind it. Failures are told to the client as `!` and their words.
/// What comes next may be watched, in the messages of [`frames`].
#[derive(Clone, Copy)]
pub(crate) struct OneByte {
    is_encrypted: bool,
    takes_tls: bool,
    is_watched: bool,
}

impl Protocol for OneByte {
    fn name(&self) -> &'static str {
        "one-byte"
    }

    fn default_port(&self) -> u16 {
        1
    }

    fn destination(&self, _: &Credential) -> Result<Destination, Error> {
        Err(Bug::UnexpectedEvent.into())
    }

    fn fields(&self) -> &'static [protocol::KnownField] {
        &[]
    }

    fn check(&self, _: &Credential) -> Vec<protocol::Doubt> {
        Vec::new()
    }

    fn handshake(&self, _: Arc<Route>, _: Transport) -> Box<dyn Handshake> {
        Box::new(OneByteHandshake(*self))
    }

    fn offers_client_tls(&self, _: ClientTls, _: Transport) -> bool {
        self.takes_tls
    }
}

struct OneByteHandshake(OneByte);

impl Handshake for OneByteHandshake {
    fn start(&mut self, _: Entropy, _: &mut Output) -> Result<Next, Error> {
        Ok(Next::Want(Side::Client, Want::Bytes))
    }

    fn handle(&mut self, side: Side, event: Event<'_>, out: &mut Output) -> Result<Next, Error> {
        match (side, event) {
            (Side::Client, Event::Encrypted(_)) => Ok(Next::Want(Side::Client, Want::Bytes)),
            (Side::Client, Event::Bytes(bytes)) if self.0.takes_tls && !bytes.is_empty() => {
                out.used = 1;
                self.0.takes_tls = false;
                Ok(Next::Want(Side::Client, Want::AcceptTls))
            }
            (Side::Client, Event::Bytes(bytes)) if !bytes.is_empty() => {
                out.used = 1;
                Ok(Next::Want(Side::Target, Want::Credential))
            }
            (_, Event::Credential(_)) => Ok(Next::Want(Side::Target, Want::Connection(Dial::Service))),
            (_, Event::Connected(_)) if self.0.is_encrypted => {
                let policy = TlsPolicy {
                    verification: Verification::Nothing,
                    server_name: "localhost".into(),
                    alpn: None,
                };
                Ok(Next::Want(Side::Target, Want::Tls(policy)))
            }
            (_, Event::Connected(_) | Event::Encrypted(_)) => {
                Ok(Next::Relay(self.0.is_watched.then(|| Box::new(Frames::default()) as Box<dyn Watch>)))
            }
            _ => Err(Bug::UnexpectedEvent.into()),
        }
    }

    fn retry(&mut self, _: [u8; 32], _: &mut Output) -> Result<Next, Error> {
        Err(Bug::UnexpectedEvent.into())
    }

    fn refusal_is_certain(&self) -> bool {
        false
    }

    fn refusal(&self) -> Option<Arc<[u8]>> {
        None
    }

    fn give_up(&mut self, _: Option<Arc<[u8]>>, _: &mut Output) -> Error {
        Bug::UnexpectedEvent.into()
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        out.client.extend_from_slice(format!("!{}", failure.error).as_bytes());
    }
}

/// Leaves `listener` no room: the kernel answers nobody who connects to it from now on.
pub(crate) fn fill(listener: &TcpListener, address: SocketAddr) -> Vec<TcpStream> {
    rustix::net::listen(listener, 0).unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
    }
    queued
}

/// Gives it room again.
pub(crate) fn take_all(listener: &TcpListener) {
    rustix::net::listen(listener, 128).unwrap();
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    listener.set_nonblocking(false).unwrap();
}

/// A data plane with one service on a free loopback port.
pub(crate) struct Bed {
    pub(crate) plane: Dataplane,
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Arc<ServiceRuntime>,
    /// The target's address.
    pub(crate) endpoint: Arc<Endpoint>,
    options: Options,
}

/// What a test may change about the service.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) io: IoChoice,
    pub(crate) workers: usize,
    pub(crate) sessions_max: u32,
    pub(crate) timeouts: Timeouts,
    pub(crate) with_credential: bool,
    pub(crate) is_encrypted: bool,
    pub(crate) takes_tls: bool,
    pub(crate) is_watched: bool,
}

impl Options {
    /// The usual, on a driver.
    pub(crate) fn on(io: IoChoice) -> Self {
        Self {
            io,
            workers: 1,
            sessions_max: 1000,
            timeouts: Timeouts {
                dial: Duration::from_secs(10),
                handshake: Duration::from_secs(30),
                idle: None,
            },
            with_credential: true,
            is_encrypted: false,
            takes_tls: false,
            is_watched: false,
        }
    }

    /// One for each bed lasts as long as the test's process.
    fn protocol(&self) -> &'static OneByte {
        let Self { is_encrypted, takes_tls, is_watched, .. } = *self;
        Box::leak(Box::new(OneByte { is_encrypted, takes_tls, is_watched }))
    }
}

impl Bed {
    /// Relays to `target`.
    pub(crate) fn new(target: SocketAddr, options: Options) -> Self {
        Self::to(Address::Tcp(target), options)
    }

    /// Relays to a target that may be a Unix socket.
    pub(crate) fn to(target: Address, options: Options) -> Self {
        let plane = Dataplane::start(Settings {
            workers: options.workers,
            io: options.io,
            sessions_max: options.sessions_max + 100,
            system_roots: Vec::new(),
            report_sessions: false,
        })
        .expect("the kernel lets us have what the driver needs");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let runtime = Arc::new(ServiceRuntime::new(options.workers));
        let endpoint = Arc::new(Endpoint::new(target));
        let bed = Self { plane, address, runtime, endpoint, options };
        bed.publish(bed.options.with_credential);
        bed.plane.listen(&ListenerMail {
            id: ListenerId(1),
            service: ServiceId(1),
            socket: Arc::new(OwnedFd::from(listener)),
        });
        bed
    }

    /// Listens on a Unix socket too.
    pub(crate) fn listen_on(&self, path: &Path) {
        let listener = UnixListener::bind(path).expect("nothing is at the path");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        self.plane.listen(&ListenerMail {
            id: ListenerId(2),
            service: ServiceId(1),
            socket: Arc::new(OwnedFd::from(listener)),
        });
    }

    /// Puts a snapshot in force, with or without the credential.
    pub(crate) fn publish(&self, with_credential: bool) {
        self.publish_generation(with_credential.then_some(Generation(1)));
    }

    /// Puts a snapshot in force, with this generation of the credential.
    pub(crate) fn publish_generation(&self, generation: Option<Generation>) {
        let route = Route::new("bed".into());
        let mut service = Service::new(ServiceOptions {
            id: ServiceId(1),
            protocol: self.options.protocol(),
            route: Arc::new(route),
            sessions_max: self.options.sessions_max,
            timeouts: self.options.timeouts,
            client_tls: self.options.takes_tls.then(tls::shown_to_clients),
            runtime: Arc::clone(&self.runtime),
        });
        if let Some(generation) = generation {
            let credential = Credential::new(generation, BTreeMap::new());
            service.credential = CredentialState::Here(Arc::new(credential));
        }
        service.target = Target::Resolved(vec![Arc::clone(&self.endpoint)]);
        let services = BTreeMap::from([(ServiceId(1), Arc::new(service))]);
        self.plane.publish(&Arc::new(Snapshot { services }));
    }
}

/// A target that listens, and where.
pub(crate) fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A client whose handshake byte has been sent together with `residue`.
pub(crate) fn connect(bed: &Bed, residue: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(bed.address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_write_timeout(Some(DEADLINE)).unwrap();
    client.write_all(&[b"x", residue].concat()).unwrap();
    client
}

/// The connection that the broker makes to the target.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (target, _) = listener.accept().unwrap();
    target.set_read_timeout(Some(DEADLINE)).unwrap();
    target.set_write_timeout(Some(DEADLINE)).unwrap();
    target
}

/// Waits for something to become true.
#[track_caller]
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        thread::yield_now();
    }
}

/// Runs this very test once more in a process of its own, where nobody else's memory counts; `false` if this is that process.
pub(crate) fn moves_out() -> bool {
    const ALONE: &str = "RELAY_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return false;
    }
    let name = thread::current().name().unwrap().to_owned();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([&name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}
