//! What a handshake costs, from the client's startup packet to the relay, without a socket.
//!
//! `cold` derives the SCRAM keys as the key thread does; `cached` is what a worker pays for every connection but
//! the first.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use protocol::auth::scram::{ScramDerivation, ScramKeys};
use protocol::{
    Credential, Entropy, Event, Generation, Handshake, Next, Output, Protocol, Route, Secret, Side,
    Transport, Want,
};

const STARTUP: &[u8] =
    b"\x00\x00\x00\x36\x00\x03\x00\x00user\0app\0database\0shop\0application_name\0psql\0\0";
const AUTHENTICATION_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0ASCRAM-SHA-256\0\0";
// The machine's nonce is made of zeros; salt `salt`, password `pencil`.
const SERVER_FIRST: &[u8] =
    b"R\0\0\0\x43\0\0\0\x0Br=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=4096";
const SERVER_FINAL: &[u8] = b"R\0\0\0\x36\0\0\0\x0Cv=nKxUABVsJN+0M0pu93mAwAQgiXMGIbu4FUedZWouLbk=";

struct Bench {
    protocol: &'static dyn Protocol,
    route: Arc<Route>,
    credential: Arc<Credential>,
}

impl Bench {
    fn new() -> Self {
        let fields: BTreeMap<_, _> = [("username", "svc"), ("password", "pencil")]
            .map(|(name, value)| (Box::from(name), Secret::from_heap(value.as_bytes().to_vec())))
            .into();
        Self {
            protocol: protocol::protocols::by_name("pg").expect("pg is a protocol"),
            route: Arc::new(Route::new("books".into())),
            credential: Arc::new(Credential::new(Generation(1), fields)),
        }
    }

    /// One connection: the target says each of `messages` when it is asked for more.
    fn connect(&self, messages: &[&[u8]], mut derive: impl FnMut(ScramDerivation) -> Arc<ScramKeys>) {
        let mut machine: Box<dyn Handshake> = self.protocol.handshake(Arc::clone(&self.route));
        let mut out = Output::default();
        let mut next = machine.start(Entropy { client: [0; 32], target: [0; 32] }, &mut out);
        let mut messages = messages.iter();
        loop {
            let event = match next.expect("this handshake succeeds") {
                Next::Relay => break,
                Next::Want(Side::Client, Want::Bytes) => {
                    next = machine.handle(Side::Client, Event::Bytes(STARTUP), &mut out);
                    continue;
                }
                Next::Want(_, Want::Credential) => Event::Credential(Arc::clone(&self.credential)),
                Next::Want(_, Want::Connection(_)) => Event::Connected(Transport::Unix),
                Next::Want(_, Want::Bytes) => {
                    Event::Bytes(messages.next().expect("the target has more to say"))
                }
                Next::Want(_, Want::Permission) => Event::Permitted,
                Next::Want(_, Want::Derive(job)) => Event::Derived(derive(job)),
                Next::Want(_, Want::Tls(_)) | Next::Refused | Next::Linger => {
                    unreachable!("a Unix socket has no TLS, and this target refuses nothing")
                }
            };
            next = machine.handle(Side::Target, event, &mut out);
        }
        black_box(&out);
    }
}

fn handshakes(criterion: &mut Criterion) {
    let bench = Bench::new();
    let mut group = criterion.benchmark_group("postgres");
    group.bench_function("trust", |bencher| {
        bencher.iter(|| bench.connect(&[AUTHENTICATION_OK], |_| unreachable!("trust needs no keys")));
    });
    let scram = [SASL, SERVER_FIRST, SERVER_FINAL, AUTHENTICATION_OK];
    group.bench_function("scram cold", |bencher| {
        bencher.iter(|| bench.connect(&scram, |job| Arc::new(job.derive())));
    });
    let job = ScramDerivation {
        credential: Arc::clone(&bench.credential),
        salt: Box::from(*b"salt"),
        iterations: 4096,
    };
    let keys = Arc::new(job.derive());
    group.bench_function("scram cached", |bencher| {
        bencher.iter(|| bench.connect(&scram, |_| Arc::clone(&keys)));
    });
    group.finish();
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
