//! The half that speaks to the application: any user, no password.
//!
//! Owns what the client is told and when it can read it. Knows nothing of credentials.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::messages::{ENCRYPTION, NO_ENCRYPTION, write_authentication_ok, write_negotiation};
use super::startup::{Opening, Startup};
use super::{Ready, Reply, Request, errors, offers_client_tls};
use crate::{
    Bug, ClientHalf, ClientMisbehaved, ClientStep, Denied, Error, Event, Failure, Output, Route, Transport,
    Unsupported, Want,
};

pub(super) struct PostgresClient {
    state: State,
}

/// ```text
///   start ──► ExpectOpening ◄─────┐ SSLRequest, GSSENCRequest: N
///               │   │   ├─────────┘
///               │   │   │ where TLS is required: SSLRequest: S, or a TLS record
///               │   │   └──► ExpectTls ── TLS is up ──► ExpectOpening
///               │   │ StartupMessage                  Ready: [v] R 0
///               │   └──────────────► ExpectSession ──────────────────► Ended ──► relay
///               │                      └─ refused: the target's E ───► Ended
///               │ CancelRequest
///               ├─────► ExpectCancelSent ─ CancelSent: linger, once for each address
///               │
///               └─ what is not a startup packet ──► Violated ─ farewell ──► Ended
/// ```
enum State {
    ExpectOpening(ExpectOpening),
    ExpectTls,
    ExpectSession(ExpectSession),
    ExpectCancelSent,
    /// The client broke the protocol and has not been told yet.
    Violated,
    /// The client has been told, or has its session: there is nothing more for us to say.
    Ended,
}

type Step = ClientStep<Request>;

impl ClientHalf for PostgresClient {
    type Request = Request;
    type Reply = Reply;

    fn new(route: &Arc<Route>, client: Transport, _entropy: [u8; 32]) -> Self {
        let is_required = offers_client_tls(route.client_tls, client);
        let line = if is_required { Line::MustEncrypt } else { Line::Plain };
        Self { state: State::ExpectOpening(ExpectOpening::on(line)) }
    }

    fn start(&mut self, _out: &mut Output) -> Result<Step, Error> {
        Ok(ClientStep::Want(Want::Bytes))
    }

    fn handle(&mut self, event: Event<'_>, out: &mut Output) -> Result<Step, Error> {
        match (mem::replace(&mut self.state, State::Violated), event) {
            (State::ExpectOpening(state), Event::Bytes(input)) => {
                let (state, step) = state.on_bytes(input, out)?;
                self.state = state;
                Ok(step)
            }
            (State::ExpectTls, Event::Encrypted(_)) => {
                self.state = State::ExpectOpening(ExpectOpening::on(Line::Tls));
                Ok(ClientStep::Want(Want::Bytes))
            }
            (state, _) => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    fn take(&mut self, reply: Reply, out: &mut Output) -> Result<Step, Error> {
        match (mem::replace(&mut self.state, State::Ended), reply) {
            (State::ExpectSession(state), Reply::Ready(ready)) => {
                state.on_ready(&ready, &mut out.client);
                Ok(ClientStep::Relay(None))
            }
            (State::ExpectSession(_), Reply::SessionRefused(words)) => {
                out.client.extend_from_slice(&words);
                Err(Denied::ByTarget.into())
            }
            (State::ExpectSession(_), Reply::CredentialRefused(Some(words))) => {
                out.client.extend_from_slice(&words);
                Err(Denied::CredentialRefused.into())
            }
            (state @ State::ExpectSession(_), Reply::CredentialRefused(None)) => {
                // The target said no without an ErrorResponse: the farewell says it for it.
                self.state = state;
                Err(Denied::CredentialRefused.into())
            }
            (State::ExpectCancelSent, Reply::CancelSent) => {
                self.state = State::ExpectCancelSent;
                Ok(ClientStep::Linger)
            }
            (state, _) => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        let can_read_error = match (mem::replace(&mut self.state, State::Ended), failure.error) {
            (_, Error::Client(ClientMisbehaved::Closed)) => false,
            (State::ExpectSession(_), _) => true,
            (State::Violated, Error::Unsupported(Unsupported::ClientTls)) => {
                out.client.extend_from_slice(TLS_HANDSHAKE_FAILURE);
                false
            }
            // A cancel request has no answer, not even this.
            (State::Violated, Error::Client(ClientMisbehaved::MalformedCancel)) => false,
            (State::Violated, _) => true,
            // Inside TLS it can be nobody's words but ours.
            (State::ExpectOpening(ExpectOpening { line: Line::Tls, .. }), _) => true,
            // Before its startup packet a client waits for an answer of one byte, for TLS or for nothing: libpq takes
            // an error here for that of an old server and does not show it (CVE-2024-10977).
            (State::ExpectOpening(_) | State::ExpectTls | State::ExpectCancelSent | State::Ended, _) => false,
        };
        if can_read_error {
            errors::write_failure(&mut out.client, failure);
        }
    }
}

/// What the client's bytes come over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// In clear, for good.
    Plain,
    /// In clear, until the client asks for TLS; a session needs it.
    MustEncrypt,
    /// Inside TLS.
    Tls,
}

/// Waiting for the client's first packet that is not a request for encryption.
struct ExpectOpening {
    line: Line,
    /// The requests that have been answered: either may follow the other, and neither itself. Two bits of one state,
    /// for all that differs is which request would be the second.
    ssl_answered: bool,
    gss_answered: bool,
}

impl ExpectOpening {
    /// Inside TLS no request for encryption may follow.
    fn on(line: Line) -> Self {
        let is_encrypted = line == Line::Tls;
        Self { line, ssl_answered: is_encrypted, gss_answered: is_encrypted }
    }

    fn on_bytes(self, input: &[u8], out: &mut Output) -> Result<(State, Step), Error> {
        let Some((opening, len)) = Opening::read(input)? else {
            return Ok((State::ExpectOpening(self), ClientStep::Want(Want::Bytes)));
        };
        out.used = len;
        let bytes_behind = input.len() > len;
        match opening {
            // Direct TLS, the first thing on the connection (documentation, "SSL Session Encryption").
            Opening::Tls if self.line == Line::MustEncrypt && !self.ssl_answered && !self.gss_answered => {
                Ok((State::ExpectTls, ClientStep::Want(Want::AcceptTls)))
            }
            Opening::Tls if self.line == Line::Tls => Err(ClientMisbehaved::SecondTlsRequest.into()),
            Opening::Tls => Err(Unsupported::ClientTls.into()),
            Opening::SslRequest if self.ssl_answered => Err(ClientMisbehaved::SecondTlsRequest.into()),
            Opening::GssEncRequest if self.gss_answered => Err(ClientMisbehaved::SecondTlsRequest.into()),
            Opening::SslRequest if self.line == Line::MustEncrypt => {
                // Whoever sits on the line could have put them there, to be read as if they came from inside TLS
                // (CVE-2021-23214).
                if bytes_behind {
                    return Err(ClientMisbehaved::BytesBehindTlsRequest.into());
                }
                out.client.push(ENCRYPTION);
                Ok((State::ExpectTls, ClientStep::Want(Want::AcceptTls)))
            }
            Opening::SslRequest => Self { ssl_answered: true, ..self }.refuse_encryption(bytes_behind, out),
            Opening::GssEncRequest => {
                Self { gss_answered: true, ..self }.refuse_encryption(bytes_behind, out)
            }
            // Also in clear where sessions need TLS, as PostgreSQL does: an older libpq sends it so.
            Opening::Cancel(packet) => {
                Ok((State::ExpectCancelSent, ClientStep::Give(Request::Cancel(packet))))
            }
            Opening::Startup(_) if self.line == Line::MustEncrypt => Err(Denied::PlaintextClient.into()),
            Opening::Startup(startup) => {
                let startup = Arc::new(startup);
                let request = Request::Session(Arc::clone(&startup));
                Ok((State::ExpectSession(ExpectSession { startup }), ClientStep::Give(request)))
            }
        }
    }

    fn refuse_encryption(self, bytes_behind: bool, out: &mut Output) -> Result<(State, Step), Error> {
        out.client.push(NO_ENCRYPTION);
        if bytes_behind {
            // Bytes that do not wait for the answer are an attack on those who say S (CVE-2021-23214). PostgreSQL
            // refuses them after N too.
            return Err(ClientMisbehaved::BytesBehindTlsRequest.into());
        }
        Ok((State::ExpectOpening(self), ClientStep::Want(Want::Bytes)))
    }
}

/// Startup packet read; the target half is at work.
struct ExpectSession {
    startup: Arc<Startup>,
}

impl ExpectSession {
    /// The target has let us in, so the client is in.
    fn on_ready(self, ready: &Ready, out: &mut Vec<u8>) {
        let options: Vec<&[u8]> = ready
            .options_refused
            .iter()
            .map(|name| &**name)
            .filter(|name| self.startup.asks_for_option(name))
            .collect();
        if ready.minor < self.startup.minor || !options.is_empty() {
            write_negotiation(out, ready.minor, &options);
        }
        write_authentication_ok(out, &ready.authenticated);
    }
}

/// Alert, TLS 1.2 record, fatal, `handshake_failure` (RFC 8446 section 6): the words of a server that cannot agree
/// on security parameters.
const TLS_HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
