//! The half that speaks to the target.
//!
//! Owns the way to a line that is ready: credential, connection, encryption. What is said on the line is
//! [`super::login`]'s. Knows nothing of the client but what it asked for.

use alloc::sync::Arc;
use core::mem;

use super::fields::{check_credential, tls_policy};
use super::login::{LoggingIn, Progress};
use super::startup::SSL_REQUEST;
use super::{Reply, Request};
use crate::line::Line;
use crate::tls::TlsPeer;
use crate::wire::Writer;
use crate::{
    Bug, Credential, Dial, Error, Event, Output, Route, ServerMisbehaved, TargetFailed, TargetHalf,
    TargetStep, Transport, Want,
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
///                                                  LoggingIn (see login.rs) ──► Ready, Refused: Ended
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

    fn refused(words: Option<Arc<[u8]>>) -> Reply {
        Reply::CredentialRefused(words)
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
            (State::LoggingIn(state), Event::Bytes(input)) => {
                state.on_bytes(input, &self.route, out).map(go_on_logging_in)
            }
            (State::LoggingIn(state), Event::Permitted) => state.on_permitted(out).map(go_on_logging_in),
            (State::LoggingIn(state), Event::Computed(product)) => {
                state.on_computed(&product, out).map(go_on_logging_in)
            }
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
            Transport::Tcp => tls_policy(&self.errand.credential)?,
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
            // Documentation, "SSL Session Encryption": "treat it as a protocol violation if they find they have read
            // additional bytes" (CVE-2021-23222).
            [b'S', ..] => Err(ServerMisbehaved::BytesBehindTlsAnswer.into()),
            [b'N', ..] => Err(TargetFailed::TlsNotOffered.into()),
            // An `E` is not looked at: "The frontend should not display this error message to the user/application,
            // since the server has not been authenticated (CVE-2024-10977)."
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
                LoggingIn::begin(startup, credential, line, entropy, out).map(go_on_logging_in)
            }
        }
    }
}

fn go_on_logging_in(progress: Progress) -> (State, Step) {
    match progress {
        Progress::Wait(login, want) => (State::LoggingIn(login), TargetStep::Want(want)),
        Progress::Done(step) => (State::Ended, step),
    }
}
