//! What MySQL's client sends behind its login, looked at for a change of its user, without a socket.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use protocol::{
    Credential, Entropy, Event, Generation, Look, Next, Output, Route, Secret, Side, Transport, Want, Watch,
};

const GREETING: &[u8] =
    b"\x49\0\0\0\x0A8.0.0\0\x01\0\0\0challeng\0\x09\xA2\x2D\x02\0\x08\x01\x15\0\0\0\0\0\0\0\0\0\0\
    e of twenty.\0mysql_native_password\0";
const RESPONSE: &[u8] =
    b"\x3C\0\0\x01\x09\xA2\x08\x01\0\0\0\x01\x2D\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
    x\0\0db\0mysql_native_password\0";
const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";

/// What sysbench says for each of its queries: `COM_STMT_EXECUTE` with an integer.
const EXECUTE: &[u8] = b"\x12\0\0\0\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x03\0\x2A\0\0\0";

/// What is sent of a file in one packet.
const OF_A_FILE: usize = 4096;

/// As much as a worker reads at once.
const READ: usize = 64 * 1024;

/// A client that is watched, and what it sends.
pub struct Commands {
    watch: RefCell<Box<dyn Watch>>,
    /// Whole packets, about as many as are read at once.
    file: Vec<u8>,
}

impl Commands {
    /// Of a client that has just logged in.
    ///
    /// # Panics
    /// If the login fails, or its client is not watched.
    #[expect(clippy::new_without_default, reason = "there is nothing plain about a login")]
    pub fn new() -> Self {
        let length = u32::try_from(OF_A_FILE).expect("a page fits").to_le_bytes();
        let [a, b, c, _] = length;
        let packet = [&[a, b, c, 1][..], &[b'x'; OF_A_FILE]].concat();
        Self { watch: RefCell::new(log_in()), file: packet.repeat(READ / packet.len()) }
    }

    /// A query.
    pub fn query(&self) {
        self.look(EXECUTE);
    }

    /// As much of a file as a worker reads at once, in packets of 4 KiB.
    pub fn file(&self) {
        self.look(&self.file);
    }

    /// The same of a value so long that its head has passed long ago.
    pub fn long(&self) {
        self.watch.borrow_mut().pass(black_box(READ));
    }

    fn look(&self, bytes: &[u8]) {
        let look = self.watch.borrow_mut().look(black_box(bytes));
        assert!(look == Look::Pass(bytes.len()), "nobody changes its user here");
    }
}

/// Logs in; gives who watches from then on.
fn log_in() -> Box<dyn Watch> {
    let fields: BTreeMap<_, _> = [("username", "svc"), ("password", "pencil")]
        .map(|(name, value)| (Box::from(name), Secret::from_heap(value.as_bytes().to_vec())))
        .into();
    let credential = Arc::new(Credential::new(Generation(1), fields));
    let protocol = protocol::protocols::by_name("mysql").expect("mysql is a protocol");
    let mut machine = protocol.handshake(Arc::new(Route::new("books".into())), Transport::Unix);
    let mut out = Output::default();
    let mut target = [GREETING, OK].into_iter();
    let mut next = machine.start(Entropy { client: [1; 32], target: [1; 32] }, &mut out);
    loop {
        let (side, event) = match next.expect("this login succeeds") {
            Next::Relay(watch) => return watch.expect("what is not compressed is watched"),
            Next::Want(side, Want::Credential) => (side, Event::Credential(Arc::clone(&credential))),
            Next::Want(side, Want::Connection(_)) => (side, Event::Connected(Transport::Unix)),
            Next::Want(Side::Client, Want::Bytes) => (Side::Client, Event::Bytes(RESPONSE)),
            Next::Want(Side::Target, Want::Bytes) => {
                (Side::Target, Event::Bytes(target.next().expect("the target has more to say")))
            }
            Next::Want(side, Want::Permission) => (side, Event::Permitted),
            Next::Want(_, Want::Compute(_) | Want::Tls(_) | Want::AcceptTls)
            | Next::Refused
            | Next::Linger => {
                unreachable!("a Unix socket has no TLS, and this method computes nothing")
            }
        };
        next = machine.handle(side, event, &mut out);
    }
}
