//! Sessions whose client is watched: order and completeness of all that passes, and each login the machine's own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use dataplane::IoChoice;
use protocol::Error;
use rustls::version::TLS13;

use crate::support::client_tls::Target;
use crate::support::frames::{GOODBYE, LOGIN, NO, WELCOME, YES, head, message};
use crate::support::tls::{self, TlsClient};
use crate::support::{Bed, Options, accept, await_that, connect};

on_both_drivers! {
    messages_of_every_size_and_logins_between_them_keep_their_order,
    a_head_that_comes_byte_by_byte_is_a_head,
    a_stream_that_ends_within_a_head_ends_there_for_the_target,
    a_login_that_is_refused_ends_the_session,
    a_client_that_goes_in_the_middle_of_a_login_leaves_nothing,
    an_answer_on_its_way_when_a_login_comes_is_not_lost,
    a_target_that_breaks_off_behind_a_goodbye_cuts_off_nothing,
}

/// A watched session's surroundings.
struct Stage {
    bed: Bed,
    listener: TcpListener,
    options: Options,
}

/// Either kind of client.
enum Client {
    Plain(TcpStream),
    Encrypted(Box<TlsClient>),
}

impl Stage {
    /// One for each combination of legs in clear and in TLS.
    fn all(io: IoChoice) -> impl Iterator<Item = Self> {
        [(false, false), (false, true), (true, false), (true, true)].into_iter().map(
            move |(is_encrypted, takes_tls)| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let options = Options { is_encrypted, takes_tls, is_watched: true, ..Options::on(io) };
                let bed = Bed::new(listener.local_addr().unwrap(), options.clone());
                Self { bed, listener, options }
            },
        )
    }

    fn session(&self) -> (Client, Target) {
        let client = if self.options.takes_tls {
            let mut client = tls::connect(self.bed.address, &TLS13);
            client.write_all(b"x").unwrap();
            Client::Encrypted(Box::new(client))
        } else {
            Client::Plain(connect(&self.bed, b""))
        };
        let target = if self.options.is_encrypted {
            Target::Encrypted(Box::new(tls::accept(&self.listener, &tls::server(&TLS13))))
        } else {
            Target::Plain(accept(&self.listener))
        };
        (client, target)
    }

    fn await_end(&self) {
        await_that("the session to end", || self.bed.plane.connections() == 0);
    }

    /// Why sessions failed, and how often.
    fn failed(&self) -> Vec<(&'static str, u64)> {
        let counts = Error::LABELS.iter().copied().zip(self.bed.runtime.totals().failed);
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Client {
    fn close(&mut self) {
        match self {
            Self::Plain(socket) => socket.shutdown(Shutdown::Write).unwrap(),
            Self::Encrypted(tls) => tls::close(tls),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(socket) => socket.write_all(bytes).unwrap(),
            Self::Encrypted(tls) => tls.write_all(bytes).unwrap(),
        }
    }
}

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Encrypted(tls) => tls.read(buf),
        }
    }
}

/// A sequence of numbers that is the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// A body in small letters, which begins with what looks like the head of a login.
    fn body(&mut self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next());
        let letters = words.flat_map(u64::to_le_bytes).map(|byte| b'a' + byte % 26);
        b"\x01\0\0L".iter().copied().chain(letters).take(len).collect()
    }
}

/// Reads one message.
fn receive(from: &mut impl Read) -> (u8, Vec<u8>) {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).unwrap();
    let (len, kind) = head(&bytes).unwrap();
    let mut body = vec![0; len];
    from.read_exact(&mut body).unwrap();
    (kind, body)
}

/// Answers each message with itself, and each login with consent. Says what came.
fn echo(target: &mut Target) -> Vec<(u8, Vec<u8>)> {
    let mut received = Vec::new();
    loop {
        let (kind, body) = receive(target);
        match kind {
            LOGIN => target.write_all(&[YES]).unwrap(),
            _ => target.write_all(&message(kind, &body)).unwrap(),
        }
        let is_last = kind == b'z';
        received.push((kind, body));
        if is_last {
            return received;
        }
    }
}

fn messages_of_every_size_and_logins_between_them_keep_their_order(io: IoChoice) {
    for (seed, stage) in (1..).zip(Stage::all(io)) {
        let (mut client, mut target) = stage.session();
        let answering = thread::spawn(move || (echo(&mut target), target));
        let mut dice = Dice(seed);
        let mut expected = Vec::new();
        for turn in 0..60 {
            // A large one goes alone, for its answer would meet what comes behind it; small ones in a row, the first of which
            // may be a login.
            let lens = match dice.below(8) {
                0 => vec![300_000 + dice.below(1_700_000)],
                1 => vec![60_000 + dice.below(10_000)],
                _ => (0..=dice.below(6)).map(|_| dice.below(40)).collect(),
            };
            let mut batch = Vec::new();
            for (i, len) in lens.into_iter().enumerate() {
                let is_login = i == 0 && len < 50_000 && dice.below(2) == 0;
                let body = dice.body(len);
                let kind = if is_login { LOGIN } else { b'm' };
                batch.push((kind, body));
            }
            if turn == 59 {
                batch = vec![(b'z', Vec::new())];
            }
            let bytes: Vec<u8> = batch.iter().flat_map(|(kind, body)| message(*kind, body)).collect();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let most = if dice.below(3) == 0 { 9 } else { 1_000_000 };
                let (piece, behind) = rest.split_at(rest.len().min(1 + dice.below(most)));
                client.send(piece);
                rest = behind;
            }
            for (kind, body) in batch {
                if kind == LOGIN {
                    let mut welcome = [0];
                    client.read_exact(&mut welcome).unwrap();
                    assert_eq!(welcome, [WELCOME], "in turn {turn}");
                    expected.push((kind, body.to_ascii_uppercase()));
                } else {
                    assert!(receive(&mut client) == (kind, body.clone()), "another answer in turn {turn}");
                    expected.push((kind, body));
                }
            }
        }
        let (received, mut target) = answering.join().unwrap();
        assert!(received.iter().any(|(kind, _)| *kind == LOGIN), "there was no login");
        assert!(received == expected, "messages were lost, doubled or changed on their way to the target");
        client.close();
        target.close();
        stage.await_end();
        assert_eq!(stage.failed(), []);
        assert_eq!(stage.bed.runtime.totals().established, 1, "it was one session");
    }
}

fn a_head_that_comes_byte_by_byte_is_a_head(io: IoChoice) {
    for stage in Stage::all(io) {
        let (mut client, mut target) = stage.session();
        for byte in message(b'm', b"one") {
            client.send(&[byte]);
        }
        assert_eq!(receive(&mut target), (b'm', b"one".to_vec()));
        for byte in message(LOGIN, b"two") {
            client.send(&[byte]);
        }
        assert_eq!(receive(&mut target), (LOGIN, b"TWO".to_vec()));
        target.write_all(&[YES]).unwrap();
        let mut welcome = [0];
        client.read_exact(&mut welcome).unwrap();
        assert_eq!(welcome, [WELCOME]);
    }
}

fn a_stream_that_ends_within_a_head_ends_there_for_the_target(io: IoChoice) {
    for stage in Stage::all(io) {
        let (mut client, mut target) = stage.session();
        client.send(&[message(b'm', b"one").as_slice(), &[1, 0, 0]].concat());
        client.close();
        let mut received = Vec::new();
        target.read_to_end(&mut received).unwrap();
        assert_eq!(received, [message(b'm', b"one").as_slice(), &[1, 0, 0]].concat());
        target.write_all(b"answer").unwrap();
        target.close();
        drop(target);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    }
}

fn a_login_that_is_refused_ends_the_session(io: IoChoice) {
    for stage in Stage::all(io) {
        let (mut client, mut target) = stage.session();
        client.send(&message(LOGIN, b"two"));
        assert_eq!(receive(&mut target), (LOGIN, b"TWO".to_vec()));
        target.write_all(&[NO]).unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).unwrap();
        assert!(said.starts_with(b"!"), "{said:?}");
        let mut rest = Vec::new();
        target.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
        drop((client, target));
        stage.await_end();
    }
}

fn a_client_that_goes_in_the_middle_of_a_login_leaves_nothing(io: IoChoice) {
    for stage in Stage::all(io) {
        for len in [4, 5, 7] {
            let (mut client, mut target) = stage.session();
            client.send(&message(LOGIN, b"two")[..len]);
            // What it has sent is there before its end is.
            client.close();
            let mut received = Vec::new();
            let whole = message(LOGIN, b"TWO");
            // In TLS it is cut off.
            let _ = target.read_to_end(&mut received);
            assert!(received.is_empty() || received == whole, "{received:?}");
            drop((client, target));
            stage.await_end();
        }
    }
}

fn an_answer_on_its_way_when_a_login_comes_is_not_lost(io: IoChoice) {
    for stage in Stage::all(io) {
        let (mut client, mut target) = stage.session();
        client.send(&message(b'm', b"a question"));
        assert_eq!(receive(&mut target), (b'm', b"a question".to_vec()));
        // Nothing in it looks like an answer to a login.
        let piece = Dice(7).body((1 << 20) + 1).to_ascii_uppercase();
        let copy = piece.clone();
        // It goes on until the session ends: there is no buffer that takes all of it.
        let sending = thread::spawn(move || while target.write_all(&copy).is_ok() {});
        let mut said = vec![0; 1000];
        client.read_exact(&mut said).unwrap();
        client.send(&message(LOGIN, b"two"));
        // What the broker had read before it saw the login comes; what it read behind that is taken for the answer to it.
        let end = client.read_to_end(&mut said);
        let words = said.iter().position(|byte| *byte == b'!').unwrap_or(said.len());
        let sent = piece.iter().cycle();
        assert!(said[..words].iter().eq(sent.take(words)), "what came is not what was sent");
        assert!(words < said.len(), "the client is told, and not {end:?}");
        drop(client);
        sending.join().unwrap();
        stage.await_end();
        assert_eq!(stage.failed(), [("target_refused", 1)]);
    }
}

fn a_target_that_breaks_off_behind_a_goodbye_cuts_off_nothing(io: IoChoice) {
    for stage in Stage::all(io) {
        let (mut client, mut target) = stage.session();
        client.send(&message(GOODBYE, b""));
        assert_eq!(receive(&mut target), (GOODBYE, Vec::new()));
        drop(target);
        let mut rest = Vec::new();
        assert_eq!(client.read_to_end(&mut rest).unwrap(), 0, "it is an end as any other");
        drop(client);
        stage.await_end();
        assert_eq!(stage.failed(), []);
    }
}
