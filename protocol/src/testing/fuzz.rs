//! Fuzz entry points: what a hostile peer may do, and what must hold whatever it does.
//!
//! Owns the reading of a fuzzer's input and the invariants. A unit test plays the seeds, so that an entry point
//! that no longer works fails the build and not a long run.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use std::sync::OnceLock;

use super::{Driver, ScramServer, credential, describe, route};
use crate::auth::channel_binding::end_point;
use crate::auth::scram::{self, ScramKeys};
use crate::protocols::ALL;
use crate::tls::TlsPeer;
use crate::{
    BrokerFailed, CleartextPassword, ClientMisbehaved, ClientTls, Error, Event, Next, Protocol, Route,
    Secret, Side, Transport, Want,
};

/// Nothing that a fuzzer writes by accident.
const PASSWORD: &[u8] = b"correct horse battery staple";

/// Arbitrary bytes of a client. The first byte of `data` says where they are cut.
///
/// No client talks itself in without a target, and how its bytes are cut makes no difference.
pub fn handshake_client(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let modes = [ClientTls::Auto, ClientTls::Required];
    for (&protocol, mode) in ALL.iter().flat_map(|protocol| modes.map(|mode| (protocol, mode))) {
        let whole = client_alone(protocol, mode, bytes, bytes.len().max(1));
        let pieces = client_alone(protocol, mode, bytes, usize::from(cut).max(1));
        // What a client sends behind a request for encryption is refused only while it can be seen to be early.
        let is_about_time =
            |outcome: &ClientAlone| outcome.error == Some(ClientMisbehaved::BytesBehindTlsRequest.into());
        if !is_about_time(&whole) && !is_about_time(&pieces) {
            assert_eq!((whole.to_client, whole.next), (pieces.to_client, pieces.next), "cut at {cut}");
        }
    }
}

struct ClientAlone {
    to_client: Vec<u8>,
    next: String,
    error: Option<Error>,
}

fn client_alone(protocol: &dyn Protocol, client_tls: ClientTls, bytes: &[u8], cut: usize) -> ClientAlone {
    let route = Route { client_tls, ..(*route(CleartextPassword::Always)).clone() };
    let mut driver = Driver::start(protocol, &Arc::new(route), [0; 32]);
    for piece in bytes.chunks(cut) {
        driver.receive(Side::Client, piece);
        answer_without_a_target(&mut driver);
    }
    let next = describe(&driver.next);
    let error = driver.next.as_ref().err().cloned();
    driver.fail(&error.clone().unwrap_or(BrokerFailed::Shutdown.into()));
    assert!(!protocol.lets_client_in(&driver.to_client), "no target has spoken");
    let to_client = mem::take(&mut driver.to_client);
    driver.fail(&BrokerFailed::Shutdown.into());
    assert!(driver.to_client.is_empty(), "a farewell is said once");
    ClientAlone { to_client, next, error }
}

/// Gives the machine what it wants, but no word of a target.
fn answer_without_a_target(driver: &mut Driver) {
    loop {
        match &driver.next {
            Ok(Next::Want(Side::Target, Want::Credential)) => {
                driver.answer(Event::Credential(credential(&[("username", b"svc"), ("password", PASSWORD)])));
            }
            Ok(Next::Want(Side::Target, Want::Connection(_))) => {
                driver.answer(Event::Connected(Transport::Unix));
            }
            // A TLS handshake of one byte: what comes behind it is inside.
            Ok(Next::Want(Side::Client, Want::AcceptTls)) => driver.accept_tls(1),
            next => {
                assert!(!matches!(next, Ok(Next::Relay | Next::Refused)), "no target has spoken");
                return;
            }
        }
    }
}

/// Arbitrary bytes of a target, which answers a client that has said all it has to say. The first byte of `data`
/// chooses the line; the rest is a program for a target that is honest where it likes to be.
///
/// No target lets a client in that has begun SCRAM and not proved that it knows the password, no password leaves
/// in clear on a line where it may not, and no client is told a secret of ours.
pub fn handshake_target(data: &[u8]) {
    let Some((&line, program)) = data.split_first() else { return };
    for (&protocol, opening) in ALL.iter().zip(openings()) {
        target_of(protocol, opening, line, program);
    }
}

/// For each protocol, what the client of its first transcript sends.
fn openings() -> &'static [Vec<Vec<u8>>] {
    static OPENINGS: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    OPENINGS.get_or_init(|| {
        let first = |protocol: &dyn Protocol| protocol.transcripts().into_iter().next();
        let opening = |protocol: &&dyn Protocol| {
            first(*protocol)
                .iter()
                .flat_map(|transcript| transcript.sent(Side::Client))
                .map(<[u8]>::to_vec)
                .collect()
        };
        ALL.iter().map(opening).collect()
    })
}

/// What the target's side of a session can be seen doing.
struct Observed {
    /// All that the target has been sent on this connection.
    received: Vec<u8>,
    server: ScramServer,
    /// It has sent a `server-final-message` that proves what it knows.
    proved: bool,
    /// The line may carry a password in clear.
    may_see_password: bool,
}

/// Plays one program, and says what the machine said last.
fn target_of(protocol: &dyn Protocol, opening: &[Vec<u8>], line: u8, program: &[u8]) -> String {
    let rule = match line & 3 {
        0 => CleartextPassword::Tls,
        1 => CleartextPassword::Always,
        _ => CleartextPassword::Verified,
    };
    let transport = if line & 4 == 0 { Transport::Tcp } else { Transport::Unix };
    let sslmode: &[u8] = if line & 8 == 0 { b"disable" } else { b"require" };
    let verified = line & 16 != 0;
    let end_point = (line & 32 != 0).then(|| Box::from([7; 32]));
    let peer = TlsPeer { verified, end_point };
    let may_see_password = transport == Transport::Unix
        || rule == CleartextPassword::Always
        || sslmode == b"require" && (verified || rule == CleartextPassword::Tls);

    let mut driver = Driver::start(protocol, &route(rule), [0; 32]);
    let mut retries = 0;
    let new_connection = || Observed {
        received: Vec::new(),
        server: ScramServer::new(PASSWORD, b"salt", 1),
        proved: false,
        may_see_password,
    };
    let mut observed = new_connection();
    let mut all_sent = Vec::new();
    for bytes in opening {
        driver.receive(Side::Client, bytes);
    }
    let mut program = program.iter().copied();
    loop {
        observe(protocol, &mut driver, &mut observed, &all_sent);
        match mem::replace(&mut driver.next, Ok(Next::Linger)) {
            Ok(Next::Want(Side::Target, Want::Credential)) => {
                let fields: [(&str, &[u8]); 3] =
                    [("username", b"svc"), ("password", PASSWORD), ("sslmode", sslmode)];
                driver.answer(Event::Credential(credential(&fields)));
            }
            Ok(Next::Want(Side::Target, Want::Connection(_))) => driver.answer(Event::Connected(transport)),
            Ok(Next::Want(Side::Target, Want::Tls(_))) => driver.answer(Event::Encrypted(peer.clone())),
            Ok(Next::Want(Side::Target, Want::Derive(job))) => {
                assert!(
                    (1..=crate::limits::SCRAM_ITERATIONS_MAX).contains(&job.iterations)
                        && !job.salt.is_empty()
                );
                // A million rounds of hashing are not worth a fuzzer's time: then the keys are others.
                let keys = if job.iterations < 16 { job.derive() } else { some_keys() };
                driver.answer(Event::Derived(Arc::new(keys)));
            }
            Ok(Next::Want(Side::Target, Want::Bytes)) => {
                driver.next = Ok(Next::Want(Side::Target, Want::Bytes));
                let Some(message) = next_message(&mut program, &mut observed) else { break };
                all_sent.extend_from_slice(&message);
                driver.receive(Side::Target, &message);
            }
            Ok(Next::Refused) if retries < 2 => {
                retries += 1;
                observed = new_connection();
                driver.retry([retries; 32]);
            }
            Ok(Next::Refused) => driver.give_up(None),
            other => {
                driver.next = other;
                break;
            }
        }
    }
    if let Err(error) = &driver.next {
        let error = error.clone();
        driver.fail(&error);
        observe(protocol, &mut driver, &mut observed, &all_sent);
    }
    describe(&driver.next)
}

fn observe(protocol: &dyn Protocol, driver: &mut Driver, observed: &mut Observed, all_sent: &[u8]) {
    if !driver.to_target.is_empty() {
        observed.received.append(&mut driver.to_target);
        let in_clear = !observed.may_see_password && contains(&observed.received, PASSWORD);
        assert!(!in_clear, "the password is sent in clear");
    }
    let relays = matches!(driver.next, Ok(Next::Relay));
    assert_eq!(protocol.lets_client_in(&driver.to_client), relays, "a client is in where both legs are up");
    if relays {
        assert!(
            !contains(&observed.received, b"SCRAM-SHA-256") || observed.proved,
            "the target has proved nothing"
        );
    }
    // A target that has been told the password may repeat it in its own words.
    assert!(
        !contains(&driver.to_client, PASSWORD) || contains(all_sent, PASSWORD),
        "the client sees the password"
    );
}

/// The next thing that the target says: a raw piece, or something that makes sense.
fn next_message(program: &mut impl Iterator<Item = u8>, observed: &mut Observed) -> Option<Vec<u8>> {
    let operation = program.next()?;
    let mut byte = || program.next().unwrap_or(0);
    Some(match operation {
        0 => authentication(u32::from(byte()), &[]),
        1 => {
            let offered = byte();
            let names = [(1, "SCRAM-SHA-256-PLUS\0"), (2, "SCRAM-SHA-256\0"), (4, "OAUTHBEARER\0")];
            let list: String =
                names.iter().filter(|(bit, _)| offered & bit != 0).map(|(_, name)| *name).collect();
            authentication(10, format!("{list}\0").as_bytes())
        }
        2 => authentication(
            11,
            scram_said(&observed.received, false, |said| observed.server.first(said)).as_bytes(),
        ),
        3 => {
            let last = scram_said(&observed.received, true, |said| observed.server.last(said));
            observed.proved |= !last.is_empty();
            authentication(12, last.as_bytes())
        }
        4 => authentication(5, &[byte(), byte(), byte(), byte()]),
        5 => {
            let sqlstate = match byte() & 3 {
                0 => "28P01",
                1 => "28000",
                2 => "53300",
                _ => "",
            };
            message(b'E', format!("SFATAL\0C{sqlstate}\0Mno\0\0").as_bytes())
        }
        6 => message(b'N', b"Mhello\0\0"),
        7 => message(b'v', &[0, 3, 0, byte(), 0, 0, 0, 0]),
        8 => b"S".to_vec(),
        9 => b"N".to_vec(),
        10 => message(byte(), &[]),
        _ => {
            let len = usize::from(byte());
            program.by_ref().take(len).collect()
        }
    })
}

/// What the honest server answers to the last SCRAM message in `received`; nothing if there is none.
fn scram_said(received: &[u8], last: bool, answer: impl FnOnce(&str) -> Option<String>) -> String {
    let text = String::from_utf8_lossy(received);
    // A client-final-message begins with the base64 of a gs2-header.
    let beginnings = if last {
        ["c=biws,", "c=eSws,", "c=cD10"]
    } else {
        ["n,,n=", "y,,n=", "p=tls-server-end-point,,n="]
    };
    let said = beginnings.iter().filter_map(|beginning| text.rfind(beginning)).max();
    said.and_then(|at| text.get(at..)).and_then(answer).unwrap_or_default()
}

fn authentication(method: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&method.to_be_bytes(), data].concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).expect("a fuzzer's message is short");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

fn some_keys() -> ScramKeys {
    ScramKeys {
        client_key: Secret::from_heap([1; 32].to_vec()),
        server_key: Secret::from_heap([2; 32].to_vec()),
    }
}

/// Arbitrary messages of a SCRAM server: `data` up to its first NUL is the first, the rest the last. A `%` at the
/// front of the first stands for an `r=` and our nonce.
///
/// Nothing but the right signature proves anything, and what is derived from is within its limits.
pub fn scram_server_messages(data: &[u8]) {
    let mut messages = data.splitn(2, |byte| *byte == 0);
    let (first, last) = (messages.next().unwrap_or_default(), messages.next().unwrap_or_default());
    scram::fuzz(first, last, &some_keys());
}

/// Arbitrary bytes for a certificate: its hash is one of the lengths there are, or there is none.
pub fn certificate_hash(data: &[u8]) {
    if let Some(hash) = end_point(data) {
        assert!([28, 32, 48, 64].contains(&hash.len()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{certificate_hash, handshake_client, handshake_target, scram_server_messages, target_of};
    use crate::protocols::by_name;

    fn seeds(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
    }

    fn play_seeds(target: &str, entry: fn(&[u8])) {
        let folder = seeds(target);
        let mut played = 0;
        for seed in std::fs::read_dir(&folder).unwrap() {
            let seed = std::fs::read(seed.unwrap().path()).unwrap();
            // Each prefix too: a fuzzer tries them first.
            (0..=seed.len()).for_each(|len| entry(&seed[..len]));
            played += 1;
        }
        assert!(played >= 3, "{played} seeds in {}", folder.display());
    }

    #[test]
    fn a_program_goes_as_far_as_it_says() {
        for (seed, outcome) in [
            ("trust", "relays"),
            ("cleartext-unix", "relays"),
            ("cleartext-tcp", "failed: Denied(CleartextPassword)"),
            ("md5", "relays"),
            ("scram", "relays"),
            ("scram-plus", "relays"),
            ("scram-refused-then-right", "relays"),
            ("scram-without-proof", "failed: Server(NoProof)"),
            ("refused", "failed: Denied(ByTarget)"),
            ("tls-refused", "failed: Target(TlsNotOffered)"),
            ("tls-stuffed", "failed: Server(BytesBehindTlsAnswer)"),
            ("notice-and-version", "relays"),
            ("raw", "relays"),
        ] {
            let seed = std::fs::read(seeds("handshake_target").join(seed)).unwrap();
            let opening = [b"\0\0\0\x09\0\x03\0\0\0".to_vec()];
            let said = target_of(by_name("pg").unwrap(), &opening, seed[0], &seed[1..]);
            assert_eq!(said, outcome);
        }
    }

    #[test]
    fn a_hostile_client_meets_the_seeds() {
        play_seeds("handshake_client", handshake_client);
    }

    #[test]
    fn a_hostile_target_meets_the_seeds() {
        play_seeds("handshake_target", handshake_target);
    }

    #[test]
    fn a_hostile_scram_server_meets_the_seeds() {
        play_seeds("scram_server_messages", scram_server_messages);
    }

    #[test]
    fn a_hostile_certificate_meets_the_seeds() {
        play_seeds("certificate_hash", certificate_hash);
    }
}
