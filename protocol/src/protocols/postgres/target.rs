//! The half that logs in to the target.
//!
//! Owns the order of what the target may say until `AuthenticationOk`, and the rule where a password may be sent.
//! Knows nothing of the client but its startup packet.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::login::{self, check_credential, write_startup};
use super::messages::{
    Authentication, ErrorResponse, Negotiation, ServerMessage, version_word, write_password,
    write_sasl_initial_response, write_sasl_response,
};
use super::startup::{SSL_REQUEST, Startup};
use super::{Ready, Reply, Request};
use crate::auth::md5;
use crate::auth::scram::{
    Binding, ExpectKeys, ExpectServerFinal, ExpectServerFirst, Offered, Outcome, ScramKeys, ServerProof,
};
use crate::limits::POSTGRES_NOTICES_MAX;
use crate::tls::TlsPeer;
use crate::wire::Writer;
use crate::{
    Bug, CleartextPassword, Credential, Denied, Dial, Error, Event, Output, Route, ServerMisbehaved,
    TargetFailed, TargetHalf, TargetStep, Transport, Unsupported, Want,
};

pub(super) struct PostgresTarget {
    route: Arc<Route>,
    state: State,
}

/// ```text
///   take ──► ExpectCredential ──► ExpectConnection ──┬─ TLS wanted: SSLRequest ──► ExpectTlsAnswer
///                                                    │                               │ S
///                                    no TLS wanted   │                             ExpectEncryption
///                                                    ▼                               │
///   cancel: the packet, CancelSent, Ended ◄────── the line is ready ◄────────────────┘
///                                                    │ StartupMessage
///                                                    ▼
///                                                  LoggingIn (see [`Expect`]) ──► Ready, Refused: Ended
/// ```
enum State {
    /// Not told yet what to do.
    Idle([u8; 32]),
    ExpectCredential(ExpectCredential),
    ExpectConnection(ExpectConnection),
    ExpectTlsAnswer(ExpectTlsAnswer),
    ExpectEncryption(ExpectEncryption),
    LoggingIn(LoggingIn),
    Ended,
}

type Step = TargetStep<Reply>;
type Transition = Result<(State, Step), Error>;

impl TargetHalf for PostgresTarget {
    type Request = Request;
    type Reply = Reply;

    fn new(route: &Arc<Route>, entropy: [u8; 32]) -> Self {
        Self { route: Arc::clone(route), state: State::Idle(entropy) }
    }

    fn take(&mut self, request: Request, _out: &mut Output) -> Result<Step, Error> {
        match mem::replace(&mut self.state, State::Ended) {
            State::Idle(entropy) => {
                self.state = State::ExpectCredential(ExpectCredential { request, entropy });
                Ok(TargetStep::Want(Want::Credential))
            }
            state => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<Step, Error> {
        let (state, step) = match (mem::replace(&mut self.state, State::Ended), event) {
            (State::ExpectCredential(state), Event::Credential(credential)) => {
                state.on_credential(credential)
            }
            (State::ExpectConnection(state), Event::Connected(transport)) => {
                state.on_connected(transport, out)
            }
            (State::ExpectTlsAnswer(state), Event::Bytes(input)) => state.on_bytes(input, out),
            (State::ExpectEncryption(state), Event::Encrypted(peer)) => state.on_encrypted(peer, out),
            (State::LoggingIn(state), Event::Bytes(input)) => state.on_bytes(input, &self.route, out),
            (State::LoggingIn(state), Event::Derived(keys)) => state.on_derived(&keys, out),
            (state, _) => {
                self.state = state;
                return Err(Bug::UnexpectedEvent.into());
            }
        }?;
        self.state = state;
        Ok(step)
    }
}

/// Told what to do; waiting for what to do it with.
struct ExpectCredential {
    request: Request,
    entropy: [u8; 32],
}

impl ExpectCredential {
    fn on_credential(self, credential: Arc<Credential>) -> Transition {
        // What cannot work is said before anything is dialled.
        check_credential(&credential)?;
        let dial = match self.request {
            Request::Session(_) => Dial::Service,
            Request::Cancel(_) => Dial::OpenSessions,
        };
        let Self { request, entropy } = self;
        let errand = Errand { request, entropy, credential };
        Ok((State::ExpectConnection(ExpectConnection { errand }), TargetStep::Want(Want::Connection(dial))))
    }
}

/// What is to be done on a connection, and with what.
struct Errand {
    request: Request,
    entropy: [u8; 32],
    credential: Arc<Credential>,
}

struct ExpectConnection {
    errand: Errand,
}

impl ExpectConnection {
    fn on_connected(self, transport: Transport, out: &mut Output) -> Transition {
        let policy = match transport {
            // A server answers N there, and the kernel says who listens: libpq ignores sslmode too.
            Transport::Unix => return self.errand.begin(Line::Unix, out),
            Transport::Tcp => login::tls_policy(&self.errand.credential)?,
        };
        let Some(policy) = policy else { return self.errand.begin(Line::Plain, out) };
        Writer::new(&mut out.target).packet(|body| body.u32(SSL_REQUEST));
        let state = ExpectTlsAnswer { errand: self.errand, want: Want::Tls(policy) };
        Ok((State::ExpectTlsAnswer(state), TargetStep::Want(Want::Bytes)))
    }
}

/// `SSLRequest` sent; the answer is one byte.
struct ExpectTlsAnswer {
    errand: Errand,
    want: Want,
}

impl ExpectTlsAnswer {
    fn on_bytes(self, input: &[u8], out: &mut Output) -> Transition {
        match input {
            [] => Ok((State::ExpectTlsAnswer(self), TargetStep::Want(Want::Bytes))),
            b"S" => {
                out.used = 1;
                let state = ExpectEncryption { errand: self.errand };
                Ok((State::ExpectEncryption(state), TargetStep::Want(self.want)))
            }
            // What came in clear behind the S would be taken for the server's own words inside TLS (CVE-2021-23222).
            [b'S', ..] => Err(ServerMisbehaved::BytesBehindTlsAnswer.into()),
            [b'N', ..] => Err(TargetFailed::TlsNotOffered.into()),
            // An `E` is not looked at: whoever sent it has proved nothing (CVE-2024-10977).
            _ => Err(ServerMisbehaved::TlsAnswer.into()),
        }
    }
}

/// The driver shakes hands with the target.
struct ExpectEncryption {
    errand: Errand,
}

impl ExpectEncryption {
    fn on_encrypted(self, peer: TlsPeer, out: &mut Output) -> Transition {
        self.errand.begin(Line::Tls(peer), out)
    }
}

/// What the connection runs over, as far as secrets care.
enum Line {
    Unix,
    Plain,
    Tls(TlsPeer),
}

impl Line {
    /// Whether a password may be sent over this line as it is.
    fn may_carry_password(&self, rule: CleartextPassword) -> bool {
        match self {
            Self::Unix => true,
            Self::Plain => rule == CleartextPassword::Always,
            Self::Tls(peer) => peer.verified || rule != CleartextPassword::Verified,
        }
    }

    fn tls(&self) -> Option<&TlsPeer> {
        match self {
            Self::Tls(peer) => Some(peer),
            Self::Unix | Self::Plain => None,
        }
    }
}

impl Errand {
    /// The line is ready: nothing but the errand itself is left.
    fn begin(self, line: Line, out: &mut Output) -> Transition {
        let Self { request, entropy, credential } = self;
        match request {
            Request::Cancel(packet) => {
                Writer::new(&mut out.target).bytes(&packet);
                Ok((State::Ended, TargetStep::Give(Reply::CancelSent)))
            }
            Request::Session(startup) => {
                let minor = minor_to_speak(startup.minor);
                write_startup(&mut out.target, minor, &startup, &credential)?;
                let expect = Expect::Authentication(ExpectAuthentication { credential, line, entropy });
                let login =
                    Login { startup, minor, negotiated: false, options_refused: Vec::new(), notices: 0 };
                Ok((State::LoggingIn(LoggingIn { login, expect }), TargetStep::Want(Want::Bytes)))
            }
        }
    }
}

/// The newest version that we and the client know. 3.1 was never released: "Version 3.1 is reserved" and some
/// poolers claim it wrongly.
fn minor_to_speak(wanted: u16) -> u16 {
    if wanted >= NEWEST_MINOR { NEWEST_MINOR } else { 0 }
}

/// Protocol 3.2, of PostgreSQL 18.
const NEWEST_MINOR: u16 = 2;

/// What is known of the session to be.
struct Login {
    startup: Arc<Startup>,
    /// The minor version spoken.
    minor: u16,
    /// Whether the target has negotiated. Not a state: it may come in one of them only, and changes nothing there.
    negotiated: bool,
    options_refused: Vec<Box<[u8]>>,
    notices: u32,
}

impl Login {
    fn on_notice(&mut self) -> Result<(), Error> {
        self.notices += 1;
        if self.notices > POSTGRES_NOTICES_MAX {
            Err(ServerMisbehaved::UnexpectedMessage.into())
        } else {
            Ok(())
        }
    }

    /// `NegotiateProtocolVersion`: at most one, never to a newer version, and about options that were asked for.
    fn on_negotiation(&mut self, negotiation: Negotiation) -> Result<(), Error> {
        if mem::replace(&mut self.negotiated, true) {
            return Err(ServerMisbehaved::UnexpectedMessage.into());
        }
        let known = [0, NEWEST_MINOR].into_iter().filter(|minor| *minor <= self.minor);
        let Some(minor) = known.into_iter().find(|minor| version_word(*minor) == negotiation.version) else {
            return Err(ServerMisbehaved::MalformedMessage("a version that we can go down to").into());
        };
        if !negotiation.options.iter().all(|name| self.startup.asks_for_option(name)) {
            return Err(ServerMisbehaved::MalformedMessage("an option that was asked for").into());
        }
        self.minor = minor;
        self.options_refused = negotiation.options;
        Ok(())
    }

    fn ready(self, authenticated: Authenticated) -> (State, Step) {
        let ready = Ready { authenticated, minor: self.minor, options_refused: self.options_refused };
        (State::Ended, TargetStep::Give(Reply::Ready(ready)))
    }
}

/// That the target has let us in, and what that is worth. Made from its `AuthenticationOk` alone.
pub(super) struct Authenticated {
    _how: How,
}

/// What stood before `AuthenticationOk`.
enum How {
    /// Nothing: the target trusts us, or our certificate.
    Trust,
    /// A password or an MD5 response: the target proved nothing.
    Password,
    /// SCRAM: the target knows the password too.
    Scram(ServerProof),
}

/// Startup packet sent; talking about who we are.
struct LoggingIn {
    login: Login,
    expect: Expect,
}

/// ```text
///   Authentication ─┬─ R 0: trust ────────────────────────────────────────────────► Ready
///                   ├─ R 3 CleartextPassword, R 5 MD5Password ──► Verdict ── R 0 ──► Ready
///                   └─ R 10 SASL ──► ServerFirst ─ R 11 ──► Keys ─ derived ──► ServerFinal
///                                                            Verdict ◄─ R 12, verified ─┘
/// ```
/// `E` is a refusal everywhere but in Keys, where nothing is read; `N` is read over; `v` may come once, before
/// the first `R`.
enum Expect {
    Authentication(ExpectAuthentication),
    ServerFirst { scram: ExpectServerFirst, credential: Arc<Credential> },
    Keys(ExpectKeys),
    ServerFinal(ExpectServerFinal),
    Verdict(How),
}

/// What one message leads to.
enum Progress {
    /// Wait for the next message.
    Read(LoggingIn),
    /// Something else comes first.
    Stop(State, Step),
}

impl LoggingIn {
    fn on_bytes(mut self, input: &[u8], route: &Route, out: &mut Output) -> Transition {
        if let Expect::Keys(_) = self.expect {
            return Err(Bug::UnexpectedEvent.into());
        }
        loop {
            let unread = input.get(out.used..).unwrap_or_default();
            let Some((message, len)) = ServerMessage::read(unread)? else {
                return Ok((State::LoggingIn(self), TargetStep::Want(Want::Bytes)));
            };
            out.used += len;
            match self.on_message(message, route, out)? {
                Progress::Read(state) => self = state,
                Progress::Stop(state, step) => return Ok((state, step)),
            }
        }
    }

    fn on_message(
        mut self,
        message: ServerMessage<'_>,
        route: &Route,
        out: &mut Output,
    ) -> Result<Progress, Error> {
        match message {
            ServerMessage::NoticeResponse => {
                self.login.on_notice()?;
                Ok(Progress::Read(self))
            }
            ServerMessage::ErrorResponse(error) => Ok(Progress::Stop(State::Ended, refusal(&error))),
            ServerMessage::NegotiateProtocolVersion(negotiation) => match self.expect {
                Expect::Authentication(_) => {
                    self.login.on_negotiation(negotiation)?;
                    Ok(Progress::Read(self))
                }
                _ => Err(ServerMisbehaved::UnexpectedMessage.into()),
            },
            ServerMessage::Authentication(request) => self.on_authentication(request, route, out),
        }
    }

    fn on_authentication(
        self,
        request: Authentication<'_>,
        route: &Route,
        out: &mut Output,
    ) -> Result<Progress, Error> {
        let Self { login, expect } = self;
        let expect = match (expect, request) {
            (Expect::Authentication(_), Authentication::Ok) => {
                let (state, step) = login.ready(Authenticated { _how: How::Trust });
                return Ok(Progress::Stop(state, step));
            }
            (Expect::Verdict(how), Authentication::Ok) => {
                let (state, step) = login.ready(Authenticated { _how: how });
                return Ok(Progress::Stop(state, step));
            }
            (Expect::Authentication(state), Authentication::CleartextPassword) => {
                state.on_cleartext(route, out)?
            }
            (Expect::Authentication(state), Authentication::Md5Password { salt }) => {
                state.on_md5(salt, out)?
            }
            (Expect::Authentication(state), Authentication::Sasl(offered)) => state.on_sasl(offered, out)?,
            (Expect::Authentication(_), Authentication::Other(code)) => return Err(unsupported(code).into()),
            (Expect::ServerFirst { scram, credential }, Authentication::SaslContinue(message)) => {
                let scram = scram.on_server_first(message)?;
                let want = Want::Derive(scram.derivation(credential));
                let state = State::LoggingIn(Self { login, expect: Expect::Keys(scram) });
                return Ok(Progress::Stop(state, TargetStep::Want(want)));
            }
            (Expect::ServerFinal(scram), Authentication::SaslFinal(message)) => {
                match scram.on_server_final(message)? {
                    Outcome::Proven(proof) => Expect::Verdict(How::Scram(proof)),
                    Outcome::Refused => {
                        let step =
                            TargetStep::Refused { reply: Reply::CredentialRefused(None), certain: true };
                        return Ok(Progress::Stop(State::Ended, step));
                    }
                }
            }
            // In the middle of SCRAM this is a server that cannot prove what it says.
            (Expect::ServerFirst { .. } | Expect::Keys(_) | Expect::ServerFinal(_), Authentication::Ok) => {
                return Err(ServerMisbehaved::NoProof.into());
            }
            _ => return Err(ServerMisbehaved::UnexpectedMessage.into()),
        };
        Ok(Progress::Read(Self { login, expect }))
    }

    fn on_derived(self, keys: &ScramKeys, out: &mut Output) -> Transition {
        let Self { login, expect: Expect::Keys(scram) } = self else {
            return Err(Bug::UnexpectedEvent.into());
        };
        let (client_final, scram) = scram.on_keys(keys);
        write_sasl_response(&mut out.target, &client_final);
        let state = Self { login, expect: Expect::ServerFinal(scram) };
        Ok((State::LoggingIn(state), TargetStep::Want(Want::Bytes)))
    }
}

/// Waiting for the target to say how we shall prove who we are. The only state of a login that has the password.
struct ExpectAuthentication {
    credential: Arc<Credential>,
    line: Line,
    entropy: [u8; 32],
}

impl ExpectAuthentication {
    fn on_cleartext(self, route: &Route, out: &mut Output) -> Result<Expect, Error> {
        if !self.line.may_carry_password(route.cleartext_password) {
            return Err(Denied::CleartextPassword.into());
        }
        login::password(&self.credential)?.expose(|password| write_password(&mut out.target, password));
        Ok(Expect::Verdict(How::Password))
    }

    fn on_md5(self, salt: [u8; 4], out: &mut Output) -> Result<Expect, Error> {
        let password = login::password(&self.credential)?;
        let username = login::username(&self.credential)?;
        let response =
            password.expose(|password| username.expose(|username| md5::response(password, username, salt)));
        write_password(&mut out.target, &*response);
        Ok(Expect::Verdict(How::Password))
    }

    fn on_sasl(self, offered: Offered, out: &mut Output) -> Result<Expect, Error> {
        let Some(binding) = Binding::choose(offered, self.line.tls()) else {
            return Err(Unsupported::SaslMechanisms.into());
        };
        // Said now, not after a round trip and a second of hashing.
        login::password(&self.credential)?;
        // The server knows the user from the startup packet and ignores the one in here; libpq sends it empty.
        let scram = ExpectServerFirst::begin(binding, "", self.entropy);
        write_sasl_initial_response(&mut out.target, scram.mechanism(), &scram.client_first());
        Ok(Expect::ServerFirst { scram, credential: self.credential })
    }
}

/// Sorts a refusal: is it the credential's fault?
fn refusal(error: &ErrorResponse<'_>) -> Step {
    let words = error.bytes.into();
    match error.sqlstate {
        // invalid_password
        Some(b"28P01") => TargetStep::Refused { reply: Reply::CredentialRefused(Some(words)), certain: true },
        // invalid_authorization_specification: no such role, or no line for it and the database in pg_hba.conf
        Some(b"28000") => {
            TargetStep::Refused { reply: Reply::CredentialRefused(Some(words)), certain: false }
        }
        _ => TargetStep::Give(Reply::SessionRefused(words)),
    }
}

/// Names of the methods that we do not have (documentation, "Authentication…").
fn unsupported(code: u32) -> Unsupported {
    match code {
        1 => Unsupported::AuthenticationMethod("Kerberos V4"),
        2 => Unsupported::AuthenticationMethod("Kerberos V5"),
        4 => Unsupported::AuthenticationMethod("crypt"),
        6 => Unsupported::AuthenticationMethod("SCM credential"),
        7 => Unsupported::AuthenticationMethod("GSSAPI"),
        9 => Unsupported::AuthenticationMethod("SSPI"),
        other => Unsupported::AuthenticationCode(other),
    }
}
