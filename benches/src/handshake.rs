//! PostgreSQL's handshake without a socket: both halves of the machine, driven from the client's startup packet to the
//! relay, or to the error that the client is told.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use protocol::auth::scram::ScramDerivation;
use protocol::work::{Product, Work};
use protocol::{
    Credential, Denied, Entropy, Event, Failure, Generation, Handshake, Next, Output, Protocol, RequestId,
    Route, Secret, Side, Transport, Want,
};

const STARTUP: &[u8] =
    b"\x00\x00\x00\x36\x00\x03\x00\x00user\0app\0database\0shop\0application_name\0psql\0\0";
const AUTHENTICATION_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const SASL: &[u8] = b"R\0\0\0\x17\0\0\0\x0ASCRAM-SHA-256\0\0";
// The machine's nonce is made of zeros; salt `salt`, password `pencil`.
const SERVER_FIRST: &[u8] =
    b"R\0\0\0\x43\0\0\0\x0Br=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%server,s=c2FsdA==,i=4096";
const SERVER_FINAL: &[u8] = b"R\0\0\0\x36\0\0\0\x0Cv=nKxUABVsJN+0M0pu93mAwAQgiXMGIbu4FUedZWouLbk=";

const SERVICE: &str = "books";

/// Makes handshakes of one service. The target lets it in without a password, or by SCRAM.
pub struct Handshakes {
    protocol: &'static dyn Protocol,
    route: Arc<Route>,
    credential: Arc<Credential>,
}

impl Handshakes {
    /// Of a service whose credential is `svc` and `pencil`.
    ///
    /// # Panics
    /// If PostgreSQL is no longer called `pg`.
    #[expect(clippy::new_without_default, reason = "there is nothing plain about this credential")]
    pub fn new() -> Self {
        let fields: BTreeMap<_, _> = [("username", "svc"), ("password", "pencil")]
            .map(|(name, value)| (Box::from(name), Secret::from_heap(value.as_bytes().to_vec())))
            .into();
        Self {
            protocol: protocol::protocols::by_name("pg").expect("pg is a protocol"),
            route: Arc::new(Route::new(SERVICE.into())),
            credential: Arc::new(Credential::new(Generation(1), fields)),
        }
    }

    /// What the target's SCRAM has us derive.
    pub fn derivation(&self) -> ScramDerivation {
        ScramDerivation {
            credential: Arc::clone(&self.credential),
            salt: Box::from(*b"salt"),
            iterations: 4096,
        }
    }

    /// One connection up to the point where the client's startup packet has been read.
    ///
    /// # Panics
    /// If the machine refuses it.
    pub fn start_up(&self) {
        black_box(self.started());
    }

    /// The same connection, refused: the client is told so.
    ///
    /// # Panics
    /// If the machine refuses the startup packet.
    pub fn refuse(&self) {
        let (mut machine, _, mut out) = self.started();
        let error = Denied::CredentialRefused.into();
        let failure = Failure { service: SERVICE, error: &error, request_id: RequestId(1) };
        machine.farewell(&failure, &mut out);
        black_box(&out);
    }

    /// One connection to a target that wants no password.
    ///
    /// # Panics
    /// If the handshake fails.
    pub fn trust(&self) {
        self.connect(&[AUTHENTICATION_OK], |_| unreachable!("trust needs no keys"));
    }

    /// One connection to a target that wants SCRAM.
    ///
    /// # Panics
    /// If the handshake fails.
    pub fn scram(&self, compute: impl FnMut(Work) -> Arc<Product>) {
        self.connect(&[SASL, SERVER_FIRST, SERVER_FINAL, AUTHENTICATION_OK], compute);
    }

    fn started(&self) -> (Box<dyn Handshake>, Next, Output) {
        let mut machine = self.protocol.handshake(Arc::clone(&self.route), Transport::Unix);
        let mut out = Output::default();
        let next = machine.start(Entropy { client: [0; 32], target: [0; 32] }, &mut out);
        let Ok(Next::Want(Side::Client, Want::Bytes)) = next else {
            unreachable!("a client of PostgreSQL speaks first")
        };
        let next = machine.handle(Side::Client, Event::Bytes(STARTUP), &mut out);
        (machine, next.expect("the startup packet is a good one"), out)
    }

    /// One connection: the target says each of `messages` when it is asked for more.
    fn connect(&self, messages: &[&[u8]], mut compute: impl FnMut(Work) -> Arc<Product>) {
        let (mut machine, mut next, mut out) = self.started();
        let mut messages = messages.iter();
        loop {
            let event = match next {
                Next::Relay(_) => break,
                Next::Want(_, Want::Credential) => Event::Credential(Arc::clone(&self.credential)),
                Next::Want(_, Want::Connection(_)) => Event::Connected(Transport::Unix),
                Next::Want(_, Want::Bytes) => {
                    Event::Bytes(messages.next().expect("the target has more to say"))
                }
                Next::Want(_, Want::Permission) => Event::Permitted,
                Next::Want(_, Want::Compute(work)) => Event::Computed(compute(work)),
                Next::Want(_, Want::Tls(_) | Want::AcceptTls) | Next::Refused | Next::Linger => {
                    unreachable!("a Unix socket has no TLS, and this target refuses nothing")
                }
            };
            next = machine.handle(Side::Target, event, &mut out).expect("this handshake succeeds");
        }
        black_box(&out);
    }
}
