//! A driver in memory: what the data plane does with a machine, without sockets.
//!
//! Owns the contract of the crate's documentation, and insists on it after every call.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use zeroize::Zeroizing;

use crate::tls::TlsPeer;
use crate::work::Work;
use crate::{
    Alone, Credential, Dial, Entropy, Error, Event, Failure, Handshake, Look, Next, Output, Protocol,
    RequestId, Route, Side, Transport, Want, Watch,
};

/// More than any handshake says at once: a refusal that is passed on is the longest.
const OUTPUT_MAX: usize = 128 * 1024;

/// A machine and what it has said so far.
pub struct Driver {
    machine: Box<dyn Handshake>,
    service: String,
    out: Output,
    client_in: Vec<u8>,
    target_in: Vec<u8>,
    /// How many bytes of the client are still the TLS handshake's, and not the machine's.
    hello_left: usize,
    /// How many bytes the machine has been shown and could not use.
    seen: Option<(Side, usize)>,
    /// Whether the machine is told at once that it may prove the credential.
    permits: bool,
    /// What the client has been sent and nobody has looked at.
    pub to_client: Vec<u8>,
    /// What the target has been sent and nobody has looked at.
    pub to_target: Vec<u8>,
    /// What the machine said last.
    pub next: Result<Next, Error>,
}

impl Driver {
    /// A machine for a client that comes over TCP. It has been started with `entropy` for both halves.
    pub fn start(protocol: &dyn Protocol, route: &Arc<Route>, entropy: [u8; 32]) -> Self {
        Self::start_over(Transport::Tcp, protocol, route, entropy)
    }

    /// The same for a client that comes over `client`.
    pub fn start_over(
        client: Transport,
        protocol: &dyn Protocol,
        route: &Arc<Route>,
        entropy: [u8; 32],
    ) -> Self {
        let mut driver = Self {
            machine: protocol.handshake(Arc::clone(route), client),
            service: route.service.clone(),
            out: Output::default(),
            client_in: Vec::new(),
            target_in: Vec::new(),
            hello_left: 0,
            seen: None,
            permits: true,
            to_client: Vec::new(),
            to_target: Vec::new(),
            next: Ok(Next::Linger),
        };
        let next = driver.machine.start(Entropy { client: entropy, target: entropy }, &mut driver.out);
        driver.obey(next);
        driver
    }

    /// From now on [`Want::Permission`] waits for an answer.
    pub fn hold_permission(&mut self) {
        self.permits = false;
    }

    /// `side` sends something.
    pub fn receive(&mut self, side: Side, mut bytes: &[u8]) {
        match side {
            Side::Client => {
                let hello = bytes.split_off(..self.hello_left.min(bytes.len())).unwrap_or_default();
                self.hello_left -= hello.len();
                self.client_in.extend_from_slice(bytes);
            }
            Side::Target => self.target_in.extend_from_slice(bytes),
        }
        let wants_it = matches!(self.next, Ok(Next::Want(wanted, Want::Bytes)) if wanted == side);
        if wants_it && !bytes.is_empty() {
            let next = mem::replace(&mut self.next, Ok(Next::Linger));
            self.obey(next);
        }
    }

    /// Answers the want of the target's side.
    pub fn answer(&mut self, event: Event<'_>) {
        self.seen = None;
        let next = self.machine.handle(Side::Target, event, &mut self.out);
        self.obey(next);
    }

    /// TLS with the client is up, after `hello` bytes that it has sent or will send. All others stand for what is
    /// inside TLS.
    pub fn accept_tls(&mut self, hello: usize) {
        let there = hello.min(self.client_in.len());
        self.client_in.drain(..there);
        self.hello_left = hello - there;
        self.seen = None;
        let next = self.machine.handle(Side::Client, Event::Encrypted(TlsPeer::UNKNOWN), &mut self.out);
        self.obey(next);
    }

    /// Repeats the target's half on a new connection.
    pub fn retry(&mut self, entropy: [u8; 32]) {
        self.target_in.clear();
        self.seen = None;
        let next = self.machine.retry(entropy, &mut self.out);
        self.obey(next);
    }

    /// The client is not waited for any longer: whether the target's half goes on without it.
    pub fn go_on_alone(&mut self, entropy: [u8; 32]) -> bool {
        self.seen = None;
        match self.machine.go_on_alone(entropy, &mut self.out) {
            Ok(Alone::No) => return false,
            Ok(Alone::UnderWay) => self.collect(),
            Ok(Alone::Next(next)) => self.obey(Ok(next)),
            Err(error) => self.obey(Err(error)),
        }
        true
    }

    /// The client goes on after all.
    pub fn go_on_with_client(&mut self) {
        self.target_in.clear();
        self.seen = None;
        self.obey(Ok(Next::Want(Side::Client, Want::Bytes)));
    }

    /// Whether the machine takes another credential for the one that it has not proven.
    pub fn renew(&mut self, credential: &Arc<Credential>) -> bool {
        self.machine.renew(credential)
    }

    /// Lets the client have the target's refusal, or what was said to somebody else.
    pub fn give_up(&mut self, said_before: Option<&[u8]>) {
        let error = self.machine.give_up(said_before.map(Arc::from), &mut self.out);
        self.obey(Err(error));
    }

    /// See [`Handshake::refusal_is_certain`].
    pub fn refusal_is_certain(&self) -> bool {
        self.machine.refusal_is_certain()
    }

    /// Ends the connection for `error`.
    pub fn fail(&mut self, error: &Error) {
        let failure = Failure { service: &self.service, error, request_id: RequestId(0x0123_4567_89AB_CDEF) };
        self.machine.farewell(&failure, &mut self.out);
        self.collect();
    }

    /// The client sends something in a session that is watched by `watch`: what of it passes. If something is held back, the
    /// machine that goes on from there has begun.
    pub fn relay(&mut self, mut watch: Box<dyn Watch>, bytes: &[u8]) -> Vec<u8> {
        self.client_in.extend_from_slice(bytes);
        match watch.look(&self.client_in) {
            Look::Pass(len) => {
                self.next = Ok(Next::Relay(Some(watch)));
                self.client_in.drain(..len).collect()
            }
            Look::Hold(len) => {
                let passed = self.client_in.drain(..len).collect();
                self.machine = watch.begin();
                self.seen = None;
                let entropy = Entropy { client: [0; 32], target: [0; 32] };
                let next = self.machine.start(entropy, &mut self.out);
                self.obey(next);
                passed
            }
        }
    }

    /// The target says something in a session that is relayed.
    pub fn answer_relayed(&mut self) {
        if let Ok(Next::Relay(Some(watch))) = &mut self.next {
            watch.on_answer();
        }
    }

    /// What `side` has sent and the machine has not used.
    pub fn unused(&self, side: Side) -> &[u8] {
        match side {
            Side::Client => &self.client_in,
            Side::Target => &self.target_in,
        }
    }

    /// Shows input for as long as the machine wants what is there already.
    fn obey(&mut self, mut next: Result<Next, Error>) {
        self.collect();
        loop {
            let side = match next {
                Ok(Next::Want(side, Want::Bytes)) => side,
                Ok(Next::Want(side, Want::Permission)) if self.permits => {
                    next = self.machine.handle(side, Event::Permitted, &mut self.out);
                    self.seen = None;
                    self.collect();
                    continue;
                }
                _ => break,
            };
            let input = match side {
                Side::Client => &mut self.client_in,
                Side::Target => &mut self.target_in,
            };
            let shown = input.len();
            if shown == 0 || self.seen == Some((side, shown)) {
                break;
            }
            self.out.used = 0;
            next = self.machine.handle(side, Event::Bytes(input), &mut self.out);
            assert!(self.out.used <= shown, "used {} of {shown} bytes", self.out.used);
            input.drain(..self.out.used);
            // What is left behind something used has not been shown by itself.
            self.seen = (self.out.used == 0).then_some((side, shown));
            self.collect();
        }
        self.next = next;
    }

    fn collect(&mut self) {
        assert!(self.out.client.len() <= OUTPUT_MAX, "{} bytes for the client", self.out.client.len());
        assert!(self.out.target.len() <= OUTPUT_MAX, "{} bytes for the target", self.out.target.len());
        self.to_client.append(&mut self.out.client);
        let target: Zeroizing<Vec<u8>> = mem::take(&mut self.out.target);
        self.to_target.extend_from_slice(&target);
    }
}

/// What a machine said, for a test that expected something else.
pub fn describe(next: &Result<Next, Error>) -> String {
    match next {
        Ok(Next::Want(side, Want::Bytes)) => format!("wants bytes of {side:?}"),
        Ok(Next::Want(_, Want::Credential)) => "wants the credential".to_owned(),
        Ok(Next::Want(_, Want::Connection(Dial::Service))) => "wants a connection".to_owned(),
        Ok(Next::Want(_, Want::Connection(Dial::OpenSessions))) => {
            "wants connections of open sessions".to_owned()
        }
        Ok(Next::Want(_, Want::Tls(policy))) => format!("wants TLS: {policy:?}"),
        Ok(Next::Want(side, Want::AcceptTls)) => format!("wants TLS of {side:?}"),
        Ok(Next::Want(_, Want::Permission)) => "wants permission".to_owned(),
        Ok(Next::Want(_, Want::Compute(Work::Scram(job)))) => {
            format!("wants keys: {} iterations", job.iterations)
        }
        Ok(Next::Want(_, Want::Compute(Work::Parsec(job)))) => {
            format!("wants a key: {} iterations", job.iterations)
        }
        Ok(Next::Want(_, Want::Compute(Work::Rsa(_)))) => "wants RSA".to_owned(),
        Ok(Next::Refused) => "was refused".to_owned(),
        Ok(Next::Relay(_)) => "relays".to_owned(),
        Ok(Next::Linger) => "lingers".to_owned(),
        Err(error) => format!("failed: {error:?}"),
    }
}
