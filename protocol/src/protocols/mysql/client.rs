//! The half that speaks to the application: any user, any proof.
//!
//! Owns what the client is told, under which number, and when it can read it. Knows nothing of credentials.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::capabilities::{COMPRESS, Capabilities, ZSTD};
use super::change_user::Facts;
use super::greeting::{Greeting, nonce};
use super::plugin::{CACHING_SHA2, CLIENT_ED25519, NATIVE, PARSEC};
use super::response::{Login, Response};
use super::result::{error_with_state, error_without_state, ok_for_client};
use super::watch::CommandWatch;
use super::{Accepted, Reply, Request, errors, offers_client_tls};
use crate::auth::mysql_native::Nonce;
use crate::limits::MYSQL_PACKET_MAX;
use crate::wire::{Writer, numbered_packet};
use crate::{
    Bug, ClientHalf, ClientMisbehaved, ClientStep, ClientTls, Denied, Error, Event, Failure, Output, Route,
    ServerMisbehaved, Transport, Want, Watch,
};

pub(super) struct MysqlClient {
    route: Arc<Route>,
    transport: Transport,
    nonce: Nonce,
    state: State,
    /// The target was connected to again, so what the client takes for its connection's id is another's.
    has_stale_id: bool,
}

/// ```text
///   start: Greet ──► ExpectGreeting ── Greeting: 0 greeting ──► ExpectResponse ◄── TLS is up ── ExpectTls
///                         │                                          │   └─ 1 SSLRequest ──────────▲
///       Early: 0 ERR ◄────┘                                          │ HandshakeResponse
///                                    client_ed25519, parsec          ▼
///      ExpectSwitched ◄── n AuthSwitchRequest ─────────────── Login, or first …
///            └── n+1 whatever: Login ──────────────────────────► ExpectSession
///                                                                    │ Accepted: n [01 03], n+1 OK ──► relay
///                                                                    └ refused: n ERR
/// ```
/// A client without a word on what is wrong ends in Ended.
enum State {
    ExpectGreeting,
    ExpectResponse(Greeted),
    ExpectTls(Greeted),
    ExpectSwitched(Answered),
    ExpectSession(Answered),
    /// Somebody broke the protocol, and the client has not been told yet under this number.
    Violated(u8),
    /// The client has been told, or has its session: there is nothing more for us to say.
    Ended,
}

type Step = ClientStep<Request>;

/// The client has been told what the target is.
struct Greeted {
    greeting: Arc<Greeting>,
    announced: Capabilities,
    is_inside_tls: bool,
}

impl Greeted {
    /// The number of the client's next packet.
    fn expected(&self) -> u8 {
        if self.is_inside_tls { 2 } else { 1 }
    }
}

/// The client has said what it wants.
struct Answered {
    greeted: Greeted,
    login: Arc<Login>,
    /// The number of the client's last packet.
    sequence: u8,
    /// Whether its method waits for a word of its own before OK.
    awaits_fast_success: bool,
}

impl ClientHalf for MysqlClient {
    type Request = Request;
    type Reply = Reply;

    fn new(route: &Arc<Route>, client: Transport, entropy: [u8; 32]) -> Self {
        Self {
            route: Arc::clone(route),
            transport: client,
            nonce: nonce(&entropy),
            state: State::ExpectGreeting,
            has_stale_id: false,
        }
    }

    fn start(&mut self, _out: &mut Output) -> Result<Step, Error> {
        Ok(ClientStep::Give(Request::Greet))
    }

    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<Step, Error> {
        match (mem::replace(&mut self.state, State::Ended), event) {
            (State::ExpectResponse(greeted), Event::Bytes(input)) => self.on_response(greeted, input, out),
            (State::ExpectTls(greeted), Event::Encrypted(_)) => {
                self.state = State::ExpectResponse(Greeted { is_inside_tls: true, ..greeted });
                Ok(ClientStep::Want(Want::Bytes))
            }
            (State::ExpectSwitched(answered), Event::Bytes(input)) => self.on_switched(answered, input, out),
            (state, _) => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    fn take(&mut self, reply: Reply, out: &mut Output) -> Result<Step, Error> {
        match (mem::replace(&mut self.state, State::Ended), reply) {
            (State::ExpectGreeting, Reply::Greeting(greeting)) => Ok(self.greet(greeting, out)),
            (State::ExpectGreeting, Reply::Early(words)) => {
                write_payload(0, &error_without_state(&words), &mut out.client);
                Err(Denied::ByTarget.into())
            }
            (State::ExpectGreeting, Reply::CredentialRefused(Some(words))) => {
                write_payload(0, &error_without_state(&words), &mut out.client);
                Err(Denied::CredentialRefused.into())
            }
            (State::ExpectSession(answered), Reply::Greeting(greeting)) => {
                self.on_second_greeting(answered, &greeting)
            }
            (State::ExpectSession(answered), Reply::Accepted(accepted)) => {
                self.state = State::Violated(answered.sequence.wrapping_add(1));
                let watch = answered.let_in(&self.route, accepted, out)?;
                self.state = State::Ended;
                Ok(ClientStep::Relay(watch))
            }
            (State::ExpectSession(answered), Reply::SessionRefused(words) | Reply::Early(words)) => {
                answered.refuse(&words, &mut out.client);
                Err(Denied::ByTarget.into())
            }
            (State::ExpectSession(answered), Reply::CredentialRefused(Some(words))) => {
                answered.refuse(&words, &mut out.client);
                Err(Denied::CredentialRefused.into())
            }
            // It reads this behind the packet that it is about to send.
            (State::ExpectResponse(greeted), Reply::CredentialRefused(Some(words))) => {
                write_payload(greeted.expected() + 1, &error_with_state(&words), &mut out.client);
                Err(Denied::CredentialRefused.into())
            }
            (state, Reply::CredentialRefused(_)) => {
                // Nobody knows the target's own words any more, or the client is in the middle of something: the farewell
                // says it for it.
                self.state = state;
                Err(Denied::CredentialRefused.into())
            }
            (state, _) => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    fn remark(&self) -> Option<&'static str> {
        self.has_stale_id.then_some(
            "the target was connected to again, for a newer credential or a client that took its time: the connection id \
             that the client knows is not its session's, and KILL with it does nothing",
        )
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        let (sequence, with_state) = match (mem::replace(&mut self.state, State::Ended), failure.error) {
            (_, Error::Client(ClientMisbehaved::Closed)) => return,
            // Nobody knows yet what the client understands.
            (State::ExpectGreeting, _) => (0, false),
            // It reads this behind the packet that it is about to send.
            (State::ExpectResponse(greeted), _) => (greeted.expected() + 1, true),
            (State::ExpectSwitched(answered), _) => (answered.sequence.wrapping_add(3), true),
            (State::ExpectSession(answered), _) => (answered.sequence.wrapping_add(1), true),
            (State::Violated(sequence), _) => (sequence, true),
            (State::ExpectTls(_) | State::Ended, _) => return,
        };
        errors::write_failure(&mut out.client, sequence, with_state, failure);
    }
}

impl MysqlClient {
    /// Tells the client what the target is.
    fn greet(&mut self, greeting: Arc<Greeting>, out: &mut Output) -> Step {
        let offers_tls = offers_client_tls(self.route.client_tls, self.transport);
        let announced = greeting.capabilities.announced(offers_tls, self.route.compression);
        greeting.write(announced, &self.nonce, &mut out.client);
        self.state = State::ExpectResponse(Greeted { greeting, announced, is_inside_tls: false });
        ClientStep::Want(Want::Bytes)
    }

    fn on_response(&mut self, greeted: Greeted, input: &[u8], out: &mut Output) -> Result<Step, Error> {
        let expected = greeted.expected();
        self.state = State::Violated(expected + 1);
        let Some((payload, len)) = read_packet(input, expected)? else {
            self.state = State::ExpectResponse(greeted);
            return Ok(ClientStep::Want(Want::Bytes));
        };
        out.used = len;
        let login = match Response::read(payload, greeted.announced)? {
            Response::Tls if greeted.is_inside_tls => return Err(ClientMisbehaved::SecondTlsRequest.into()),
            Response::Tls => {
                self.state = State::ExpectTls(greeted);
                return Ok(ClientStep::Want(Want::AcceptTls));
            }
            Response::Login(login) => login,
        };
        if self.route.client_tls == ClientTls::Required
            && self.transport == Transport::Tcp
            && !greeted.is_inside_tls
        {
            return Err(Denied::PlaintextClient.into());
        }
        let plugin = login.plugin.as_deref();
        let is_switched = matches!(plugin, Some(CLIENT_ED25519 | PARSEC));
        let awaits_fast_success = awaits_fast_success(plugin, login.proof_len);
        let answered = Answered { greeted, login: Arc::new(login), sequence: expected, awaits_fast_success };
        if !is_switched {
            return Ok(self.ask(answered));
        }
        // These would not take OK for an answer to what they have said.
        Writer::new(&mut out.client).numbered_packet(expected + 1, |body| {
            body.u8(0xFE);
            body.cstr(NATIVE);
            body.cstr(&self.nonce);
        });
        self.state = State::ExpectSwitched(answered);
        Ok(ClientStep::Want(Want::Bytes))
    }

    /// The answer to our request for another method, which nobody reads.
    fn on_switched(&mut self, answered: Answered, input: &[u8], out: &mut Output) -> Result<Step, Error> {
        let expected = answered.sequence.wrapping_add(2);
        self.state = State::Violated(expected.wrapping_add(1));
        let Some((_, len)) = read_packet(input, expected)? else {
            self.state = State::ExpectSwitched(answered);
            return Ok(ClientStep::Want(Want::Bytes));
        };
        out.used = len;
        Ok(self.ask(Answered { sequence: expected, ..answered }))
    }

    fn ask(&mut self, answered: Answered) -> Step {
        let login = Arc::clone(&answered.login);
        self.state = State::ExpectSession(answered);
        ClientStep::Give(Request::Login(login))
    }

    /// The target was connected to again. The client has been promised what the first one said.
    fn on_second_greeting(&mut self, answered: Answered, greeting: &Greeting) -> Result<Step, Error> {
        let Greeted { greeting: first, announced, .. } = &answered.greeted;
        let is_same_kind = first.version == greeting.version && greeting.capabilities.covers(*announced);
        let step = self.ask(answered);
        self.has_stale_id = true;
        if is_same_kind { Ok(step) } else { Err(ServerMisbehaved::OtherKind.into()) }
    }
}

impl Answered {
    /// The target has let us in, so the client is in.
    fn let_in(
        self,
        route: &Arc<Route>,
        accepted: Accepted,
        out: &mut Output,
    ) -> Result<Option<Box<dyn Watch>>, Error> {
        let ok = ok_for_client(&accepted.ok, accepted.agreed)?;
        write_ok(self.sequence, self.awaits_fast_success, &ok, &mut out.client);
        if accepted.agreed.has_any(COMPRESS | ZSTD) {
            // Nobody finds the head of a command in there. A target refuses a change of user that it is sent as it is.
            return Ok(None);
        }
        let Accepted { agreed, told, line, place, .. } = accepted;
        let facts = Facts { route: Arc::clone(route), agreed, told, line, place };
        Ok(Some(Box::new(CommandWatch::new(facts))))
    }

    /// The target's own words.
    fn refuse(&self, words: &[u8], out: &mut Vec<u8>) {
        write_payload(self.sequence.wrapping_add(1), &error_with_state(words), out);
    }
}

/// Whether a client of this method waits for `01 03` before OK: one that has sent a proof does, and would take anything
/// else for a demand to send its password itself.
pub(super) fn awaits_fast_success(plugin: Option<&[u8]>, proof_len: usize) -> bool {
    plugin == Some(CACHING_SHA2) && proof_len == 32
}

/// Appends the OK packet behind the client's packet `sequence`.
pub(super) fn write_ok(sequence: u8, awaits_fast_success: bool, ok: &[u8], out: &mut Vec<u8>) {
    let mut sequence = sequence.wrapping_add(1);
    if awaits_fast_success {
        write_payload(sequence, &[0x01, 0x03], out);
        sequence = sequence.wrapping_add(1);
    }
    write_payload(sequence, ok, out);
}

/// Appends a packet.
pub(super) fn write_payload(sequence: u8, payload: &[u8], out: &mut Vec<u8>) {
    Writer::new(out).numbered_packet(sequence, |body| body.bytes(payload));
}

/// The client's next packet: its payload, and how many bytes it has in all.
pub(super) fn read_packet(input: &[u8], expected: u8) -> Result<Option<(&[u8], usize)>, Error> {
    match numbered_packet(input, MYSQL_PACKET_MAX) {
        Ok(None) => Ok(None),
        Ok(Some(packet)) if packet.sequence == expected => Ok(Some((packet.payload, packet.len))),
        Ok(Some(_)) => Err(ClientMisbehaved::PacketOrder.into()),
        Err(_) => Err(ClientMisbehaved::MalformedPacket("a packet of this length").into()),
    }
}
