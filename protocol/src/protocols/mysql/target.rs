//! The half that speaks to the target.
//!
//! Owns the way from nothing to a session: credential, connection, the target's greeting, encryption, and the login. What is
//! said about the password is [`super::dialogue`]'s. Knows nothing of the client but what it asked for.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::capabilities::SSL;
use super::dialogue::Dialogue;
use super::exchange::{Exchange, Progress, read_packet};
use super::fields::{Place, check_credential, tls_policy, username};
use super::greeting::Greeting;
use super::response::Login;
use super::result::{ERR, error_code};
use super::{Accepted, Reply, Request};
use crate::line::Line;
use crate::wire::Writer;
use crate::work::Product;
use crate::{
    Alone, Bug, Credential, Denied, Dial, Error, Event, Output, Route, ServerMisbehaved, TargetFailed,
    TargetHalf, TargetStep, Transport, Want,
};

pub(super) struct MysqlTarget {
    route: Arc<Route>,
    entropy: [u8; 32],
    state: State,
    /// The target is connected, and has not said its last word: it takes the end for an aborted handshake.
    target_waits: bool,
    /// Nobody is there to say what session is wanted, so one is begun and ended for nobody: a login that succeeds is not
    /// held against us, and makes a server forget what it held against us before (`max_connect_errors`).
    is_alone: bool,
}

/// ```text
///   Greet ──► ExpectCredential ──► ExpectPermission ──► ExpectConnection ──► ExpectGreeting ── Greeting ──► ExpectLogin
///                                                                                │                            │ Login
///                                             early ERR: Early, Ended ◄──────────┘   TLS wanted: SSLRequest, ExpectEncryption
///                                                                                                            ▼
///               OK: Accepted · ERR: refused · Ended ◄─── LoggingIn ◄── HandshakeResponse ◄── ExpectPermissionAgain
/// ```
/// Leave to prove the credential is asked for before anything is dialled: a connection that must not go on would count as
/// an aborted one, and a server blocks whoever has made too many of those (`max_connect_errors`). It is asked for again
/// before it counts, for the client may have taken its time meanwhile, and others their turn.
enum State {
    /// Not told yet what to do.
    Idle,
    ExpectCredential,
    ExpectPermission(Arc<Credential>),
    ExpectConnection(Arc<Credential>),
    ExpectGreeting(Arrival),
    ExpectLogin(Greeted),
    ExpectEncryption(Greeted, Arc<Login>),
    ExpectPermissionAgain(Greeted, Arc<Login>, Line),
    LoggingIn(LoggingIn),
    Ended,
}

type Step = TargetStep<Reply>;
type Transition = Result<(State, Step), Error>;

impl TargetHalf for MysqlTarget {
    type Request = Request;
    type Reply = Reply;

    fn new(route: &Arc<Route>, entropy: [u8; 32]) -> Self {
        Self { route: Arc::clone(route), entropy, state: State::Idle, target_waits: false, is_alone: false }
    }

    fn take(&mut self, request: Request, out: &mut Output) -> Result<Step, Error> {
        let (state, step) = match (mem::replace(&mut self.state, State::Ended), request) {
            (State::Idle, Request::Greet) => (State::ExpectCredential, TargetStep::Want(Want::Credential)),
            (State::ExpectLogin(greeted), Request::Login(login)) => greeted.on_login(login, out)?,
            (state, _) => {
                self.state = state;
                return Err(Bug::UnexpectedEvent.into());
            }
        };
        self.state = state;
        Ok(step)
    }

    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<Step, Error> {
        let (state, step) = match (mem::replace(&mut self.state, State::Ended), event) {
            (State::ExpectCredential, Event::Credential(credential)) => on_credential(credential),
            (State::ExpectPermission(credential), Event::Permitted) => {
                Ok((State::ExpectConnection(credential), TargetStep::Want(Want::Connection(Dial::Service))))
            }
            (State::ExpectConnection(credential), Event::Connected(transport)) => {
                self.target_waits = true;
                let arrival = Arrival { credential, transport };
                Ok((State::ExpectGreeting(arrival), TargetStep::Want(Want::Bytes)))
            }
            (State::ExpectGreeting(arrival), Event::Bytes(input)) => {
                arrival.on_bytes(input, self.is_alone, out)
            }
            (State::ExpectEncryption(greeted, login), Event::Encrypted(peer)) => {
                Ok(greeted.ask(login, Line::Tls(peer)))
            }
            (State::ExpectPermissionAgain(greeted, login, line), Event::Permitted) => {
                greeted.begin(&login, line, (&self.route, self.entropy), out)
            }
            (State::LoggingIn(state), Event::Bytes(input)) => state.on_bytes(input, self.is_alone, out),
            (State::LoggingIn(state), Event::Computed(product)) => state.on_computed(&product, out),
            (state, _) => {
                self.state = state;
                return Err(Bug::UnexpectedEvent.into());
            }
        }?;
        if matches!(state, State::Ended) {
            // It has had the last word.
            self.target_waits = false;
        }
        self.state = state;
        Ok(step)
    }

    fn leaves_target_waiting(&self) -> bool {
        self.target_waits
    }

    fn go_on_alone(&mut self, out: &mut Output) -> Result<Alone<Step>, Error> {
        match mem::replace(&mut self.state, State::Ended) {
            State::ExpectLogin(greeted) => {
                self.is_alone = true;
                let (state, step) = greeted.log_in_nobody(out)?;
                self.state = state;
                Ok(Alone::Next(step))
            }
            state => {
                self.is_alone = !matches!(
                    state,
                    State::Idle | State::ExpectCredential | State::ExpectPermission(_) | State::Ended
                );
                self.state = state;
                Ok(if self.is_alone { Alone::UnderWay } else { Alone::No })
            }
        }
    }

    fn renew(&mut self, credential: &Arc<Credential>) -> bool {
        let State::ExpectPermissionAgain(greeted, ..) = &mut self.state else { return false };
        let leads_here = check_credential(credential).is_ok()
            && matches!((Place::of(credential), Place::of(&greeted.credential)), (Ok(new), Ok(old)) if new == old);
        if leads_here {
            greeted.credential = Arc::clone(credential);
        }
        leads_here
    }

    fn refused(words: Option<Arc<[u8]>>) -> Reply {
        Reply::CredentialRefused(words)
    }
}

fn on_credential(credential: Arc<Credential>) -> Transition {
    // What cannot work is said before anything is dialled.
    check_credential(&credential)?;
    Ok((State::ExpectPermission(credential), TargetStep::Want(Want::Permission)))
}

/// Connected; the target speaks first.
struct Arrival {
    credential: Arc<Credential>,
    transport: Transport,
}

impl Arrival {
    fn on_bytes(self, input: &[u8], is_alone: bool, out: &mut Output) -> Transition {
        let Some(packet) = read_packet(input)? else {
            return Ok((State::ExpectGreeting(self), TargetStep::Want(Want::Bytes)));
        };
        out.used = packet.len;
        if packet.payload.first() == Some(&ERR) {
            error_code(packet.payload)?;
            return Ok((State::Ended, TargetStep::Give(Reply::Early(packet.payload.into()))));
        }
        if packet.sequence != 0 {
            return Err(ServerMisbehaved::PacketOrder.into());
        }
        let greeting = Arc::new(Greeting::read(packet.payload)?);
        let Self { credential, transport } = self;
        let state = Greeted { credential, transport, greeting: Arc::clone(&greeting) };
        if is_alone {
            return state.log_in_nobody(out);
        }
        Ok((State::ExpectLogin(state), TargetStep::Give(Reply::Greeting(greeting))))
    }
}

/// The target has said what it is, and waits.
struct Greeted {
    credential: Arc<Credential>,
    transport: Transport,
    greeting: Arc<Greeting>,
}

impl Greeted {
    fn log_in_nobody(self, out: &mut Output) -> Transition {
        self.on_login(Arc::new(Login::of_nobody()), out)
    }

    fn on_login(self, login: Arc<Login>, out: &mut Output) -> Transition {
        let policy = match self.transport {
            Transport::Unix => return Ok(self.ask(login, Line::Unix)),
            Transport::Tcp => tls_policy(&self.credential)?,
        };
        let Some(policy) = policy else { return Ok(self.ask(login, Line::Plain)) };
        if !self.greeting.capabilities.has(SSL) {
            return Err(TargetFailed::TlsNotOffered.into());
        }
        login.write_tls_request(self.greeting.capabilities, 1, &mut out.target);
        Ok((State::ExpectEncryption(self, login), TargetStep::Want(Want::Tls(policy))))
    }

    /// The line is ready, and the next packet names the account.
    fn ask(self, login: Arc<Login>, line: Line) -> (State, Step) {
        (State::ExpectPermissionAgain(self, login, line), TargetStep::Want(Want::Permission))
    }

    /// Says who we are.
    fn begin(
        self,
        login: &Login,
        line: Line,
        (route, entropy): (&Arc<Route>, [u8; 32]),
        out: &mut Output,
    ) -> Transition {
        let Self { credential, greeting, .. } = self;
        let with_tls = line.tls().is_some();
        let sequence = if with_tls { 2 } else { 1 };
        let place = Place::of(&credential)?;
        let dialogue = Dialogue::new(credential, Arc::clone(route), line.clone(), entropy);
        let (dialogue, plugin, proof) = dialogue.begin(&greeting.plugin, &greeting.data)?;
        username(dialogue.credential())?.expose(|username| {
            let who = (username, plugin.name(), &**proof);
            login.write(greeting.capabilities, with_tls, sequence, who, &mut out.target);
        });
        let told = login.capabilities.for_target(greeting.capabilities, with_tls);
        let accepted = Accepted { agreed: login.capabilities, told, line, place, ok: Vec::new() };
        let state = LoggingIn { exchange: Exchange::new(dialogue, sequence), accepted };
        Ok((State::LoggingIn(state), TargetStep::Want(Want::Bytes)))
    }
}

/// Talking about who we are.
struct LoggingIn {
    exchange: Exchange,
    /// What is known of the session to be.
    accepted: Accepted,
}

impl LoggingIn {
    fn on_bytes(self, input: &[u8], is_alone: bool, out: &mut Output) -> Transition {
        const COM_QUIT: u8 = 0x01;
        let Self { exchange, mut accepted } = self;
        let (state, want) = match exchange.on_bytes(input, out)? {
            Progress::Wait(exchange, want) => {
                (State::LoggingIn(Self { exchange, accepted }), TargetStep::Want(want))
            }
            Progress::Accepted(ok) => {
                if is_alone {
                    Writer::new(&mut out.target).numbered_packet(0, |body| body.u8(COM_QUIT));
                }
                accepted.ok = ok;
                (State::Ended, TargetStep::Give(Reply::Accepted(accepted)))
            }
            Progress::Refused(words) => {
                (State::Ended, TargetStep::Refused { words: Some(words), certain: true })
            }
            Progress::SessionRefused(_) if is_alone => return Err(Denied::ByTarget.into()),
            Progress::SessionRefused(words) => (State::Ended, TargetStep::Give(Reply::SessionRefused(words))),
        };
        Ok((state, want))
    }

    fn on_computed(self, product: &Product, out: &mut Output) -> Transition {
        let Self { exchange, accepted } = self;
        let exchange = exchange.on_computed(product, out)?;
        Ok((State::LoggingIn(Self { exchange, accepted }), TargetStep::Want(Want::Bytes)))
    }
}
