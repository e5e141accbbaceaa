//! What is said on a line to the target that is ready: from the startup packet to `AuthenticationOk`.
//!
//! Owns the order of what the target may say, and the rule where a password may be sent. Does not know how the
//! line came about.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::fields::{password, username, write_startup};
use super::messages::{
    Authentication, ErrorResponse, Negotiation, ServerMessage, version_word, write_password,
    write_sasl_initial_response, write_sasl_response,
};
use super::startup::Startup;
use super::{Ready, Reply};
use crate::auth::md5;
use crate::auth::scram::{
    Binding, ExpectKeys, ExpectServerFinal, ExpectServerFirst, Offered, Outcome, ServerProof,
};
use crate::limits::POSTGRES_NOTICES_MAX;
use crate::line::Line;
use crate::work::{Product, Work};
use crate::{Bug, Credential, Denied, Error, Output, Route, ServerMisbehaved, TargetStep, Unsupported, Want};

/// Startup packet sent; talking about who we are.
pub(super) struct LoggingIn {
    session: Session,
    expect: Expect,
}

/// ```text
///   Authentication ─┬─ R 0: trust ────────────────────────────────────────────────► Ready
///                   └─ R 3 CleartextPassword, R 5 MD5Password, R 10 SASL ──► Permission
///   Permission ─┬─ a password ──► Verdict ── R 0 ──► Ready
///               └─ SCRAM ──► ServerFirst ─ R 11 ──► Keys ─ derived ──► ServerFinal
///                                                    Verdict ◄─ R 12, verified ─┘
/// ```
/// `E` is a refusal everywhere but in Permission and Keys, where nothing is read; `N` is read over; `v` may come once,
/// before the first `R`. The password is let go of with the state ServerFirst, at the latest.
enum Expect {
    Authentication(ExpectAuthentication),
    Permission(Proof),
    ServerFirst { scram: ExpectServerFirst, credential: Arc<Credential> },
    Keys(ExpectKeys),
    ServerFinal(ExpectServerFinal),
    Verdict(How),
}

/// Where a login stands after something has come.
pub(super) enum Progress {
    /// It waits for something more.
    Wait(LoggingIn, Want),
    /// It is over, one way or the other.
    Done(TargetStep<Reply>),
}

/// What one message leads to: the next message, or something that comes before it.
enum Step {
    Read(LoggingIn),
    Stop(Progress),
}

impl LoggingIn {
    /// Sends the startup packet.
    pub(super) fn begin(
        startup: Arc<Startup>,
        credential: Arc<Credential>,
        line: Line,
        entropy: [u8; 32],
        out: &mut Output,
    ) -> Result<Progress, Error> {
        let minor = minor_to_speak(startup.minor);
        write_startup(&mut out.target, minor, &startup, &credential)?;
        let session = Session { startup, minor, negotiated: false, options_refused: Vec::new(), notices: 0 };
        let expect = Expect::Authentication(ExpectAuthentication { credential, line, entropy });
        Ok(Progress::Wait(Self { session, expect }, Want::Bytes))
    }

    /// Reads what the target says, as far as it may be read now.
    pub(super) fn on_bytes(
        mut self,
        input: &[u8],
        route: &Route,
        out: &mut Output,
    ) -> Result<Progress, Error> {
        if let Expect::Keys(_) | Expect::Permission(_) = self.expect {
            return Err(Bug::UnexpectedEvent.into());
        }
        loop {
            let unread = input.get(out.used..).unwrap_or_default();
            let Some((message, len)) = ServerMessage::read(unread)? else {
                return Ok(Progress::Wait(self, Want::Bytes));
            };
            out.used += len;
            match self.on_message(message, route)? {
                Step::Read(login) => self = login,
                Step::Stop(progress) => return Ok(progress),
            }
        }
    }

    /// Begins to prove who we are.
    pub(super) fn on_permitted(self, out: &mut Output) -> Result<Progress, Error> {
        let Self { session, expect: Expect::Permission(proof) } = self else {
            return Err(Bug::UnexpectedEvent.into());
        };
        let expect = proof.begin(out)?;
        Ok(Progress::Wait(Self { session, expect }, Want::Bytes))
    }

    /// Proves that we know the password.
    pub(super) fn on_computed(self, product: &Product, out: &mut Output) -> Result<Progress, Error> {
        let (Self { session, expect: Expect::Keys(scram) }, Product::Scram(keys)) = (self, product) else {
            return Err(Bug::UnexpectedEvent.into());
        };
        let (client_final, scram) = scram.on_keys(keys);
        write_sasl_response(&mut out.target, &client_final);
        Ok(Progress::Wait(Self { session, expect: Expect::ServerFinal(scram) }, Want::Bytes))
    }

    fn on_message(mut self, message: ServerMessage<'_>, route: &Route) -> Result<Step, Error> {
        match (message, &self.expect) {
            (ServerMessage::Authentication(request), _) => self.on_authentication(request, route),
            (ServerMessage::ErrorResponse(error), expect) => {
                let is_answer = matches!(expect, Expect::Verdict(_) | Expect::ServerFinal(_));
                Ok(Step::Stop(Progress::Done(refusal(&error, is_answer))))
            }
            (ServerMessage::NoticeResponse, _) => {
                self.session.on_notice()?;
                Ok(Step::Read(self))
            }
            (ServerMessage::NegotiateProtocolVersion(negotiation), Expect::Authentication(_)) => {
                self.session.on_negotiation(negotiation)?;
                Ok(Step::Read(self))
            }
            (ServerMessage::NegotiateProtocolVersion(_), _) => {
                Err(ServerMisbehaved::UnexpectedMessage.into())
            }
        }
    }

    fn on_authentication(self, request: Authentication<'_>, route: &Route) -> Result<Step, Error> {
        let Self { session, expect } = self;
        let expect = match (expect, request) {
            (Expect::Authentication(_), Authentication::Ok) => {
                route.takes_unbound()?;
                return Ok(session.ready(How::Trust));
            }
            (Expect::Verdict(how), Authentication::Ok) => return Ok(session.ready(how)),
            (Expect::Authentication(state), Authentication::CleartextPassword) => {
                return session.ask(state.on_cleartext(route)?);
            }
            (Expect::Authentication(state), Authentication::Md5Password { salt }) => {
                return session.ask(state.on_md5(salt, route)?);
            }
            (Expect::Authentication(state), Authentication::Sasl(offered)) => {
                return session.ask(state.on_sasl(offered, route)?);
            }
            (Expect::Authentication(_), Authentication::Other(code)) => return Err(unsupported(code).into()),
            (Expect::ServerFirst { scram, credential }, Authentication::SaslContinue(message)) => {
                let scram = scram.on_server_first(message)?;
                let want = Want::Compute(Work::Scram(scram.derivation(credential)));
                return Ok(Step::Stop(Progress::Wait(Self { session, expect: Expect::Keys(scram) }, want)));
            }
            (Expect::ServerFinal(scram), Authentication::SaslFinal(message)) => {
                match scram.on_server_final(message)? {
                    Outcome::Proven(proof) => Expect::Verdict(How::Scram(proof)),
                    Outcome::Refused => {
                        let refused = TargetStep::Refused { words: None, certain: true };
                        return Ok(Step::Stop(Progress::Done(refused)));
                    }
                }
            }
            // In the middle of SCRAM this is a server that cannot prove what it says.
            (Expect::ServerFirst { .. } | Expect::ServerFinal(_), Authentication::Ok) => {
                return Err(ServerMisbehaved::NoProof.into());
            }
            _ => return Err(ServerMisbehaved::UnexpectedMessage.into()),
        };
        Ok(Step::Read(Self { session, expect }))
    }
}

/// What is known of the session to be.
struct Session {
    startup: Arc<Startup>,
    /// The minor version spoken.
    minor: u16,
    /// Whether the target has negotiated. Not a state: it may come in one of them only, and changes nothing there.
    negotiated: bool,
    options_refused: Vec<Box<[u8]>>,
    notices: u32,
}

impl Session {
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

    /// What is to be proven next is known: may it be?
    fn ask(self, proof: Proof) -> Result<Step, Error> {
        let login = LoggingIn { session: self, expect: Expect::Permission(proof) };
        Ok(Step::Stop(Progress::Wait(login, Want::Permission)))
    }

    fn ready(self, how: How) -> Step {
        let Self { minor, options_refused, .. } = self;
        let ready = Ready { authenticated: Authenticated { _how: how }, minor, options_refused };
        Step::Stop(Progress::Done(TargetStep::Give(Reply::Ready(ready))))
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

/// Waiting for the target to say how we shall prove who we are.
struct ExpectAuthentication {
    credential: Arc<Credential>,
    line: Line,
    entropy: [u8; 32],
}

/// Everything that can be checked without the target was found good: what is left is to prove who we are.
enum Proof {
    Cleartext(Arc<Credential>),
    Md5 { credential: Arc<Credential>, salt: [u8; 4] },
    Scram { scram: ExpectServerFirst, credential: Arc<Credential> },
}

impl ExpectAuthentication {
    fn on_cleartext(self, route: &Route) -> Result<Proof, Error> {
        route.takes_unbound()?;
        if !self.line.may_carry_password(route.cleartext_password()) {
            return Err(Denied::CleartextPassword.into());
        }
        password(&self.credential)?;
        Ok(Proof::Cleartext(self.credential))
    }

    fn on_md5(self, salt: [u8; 4], route: &Route) -> Result<Proof, Error> {
        route.takes_unbound()?;
        password(&self.credential)?;
        Ok(Proof::Md5 { credential: self.credential, salt })
    }

    fn on_sasl(self, offered: Offered, route: &Route) -> Result<Proof, Error> {
        let Some(binding) = Binding::choose(offered, self.line.tls()) else {
            return Err(Unsupported::SaslMechanisms.into());
        };
        if !matches!(binding, Binding::EndPoint(_)) {
            route.takes_unbound()?;
        }
        // Said now, not after a round trip and a second of hashing.
        password(&self.credential)?;
        // The server knows the user from the startup packet and ignores the one in here; libpq sends it empty.
        let scram = ExpectServerFirst::begin(binding, "", self.entropy);
        Ok(Proof::Scram { scram, credential: self.credential })
    }
}

impl Proof {
    fn begin(self, out: &mut Output) -> Result<Expect, Error> {
        match self {
            Self::Cleartext(credential) => {
                password(&credential)?.expose(|password| write_password(&mut out.target, password));
                Ok(Expect::Verdict(How::Password))
            }
            Self::Md5 { credential, salt } => {
                let (password, username) = (password(&credential)?, username(&credential)?);
                let response = password
                    .expose(|password| username.expose(|username| md5::response(password, username, salt)));
                write_password(&mut out.target, &*response);
                Ok(Expect::Verdict(How::Password))
            }
            Self::Scram { scram, credential } => {
                write_sasl_initial_response(&mut out.target, scram.mechanism(), &scram.client_first());
                Ok(Expect::ServerFirst { scram, credential })
            }
        }
    }
}

/// Sorts a refusal: is it the credential's fault? `is_answer` says that it came in answer to a proof.
fn refusal(error: &ErrorResponse<'_>, is_answer: bool) -> TargetStep<Reply> {
    match error.sqlstate {
        // invalid_password
        Some(b"28P01") => TargetStep::Refused { words: Some(error.bytes.into()), certain: true },
        // invalid_authorization_specification: no line for the role and the database in pg_hba.conf, which is said before
        // a proof is asked for; or, in answer to a proof, what LDAP, PAM or RADIUS say of a wrong password.
        Some(b"28000") => TargetStep::Refused { words: Some(error.bytes.into()), certain: is_answer },
        _ => TargetStep::Give(Reply::SessionRefused(error.bytes.into())),
    }
}

/// The methods that we do not have, with the names that the server documentation and its source give them.
fn unsupported(code: u32) -> Unsupported {
    let name = match code {
        1 => Some("Kerberos V4"),
        2 => Some("Kerberos V5"),
        4 => Some("crypt"),
        6 => Some("SCM credential"),
        7 => Some("GSSAPI"),
        9 => Some("SSPI"),
        _ => None,
    };
    Unsupported::AuthenticationCode { code, name }
}

/// The newest version that we and the client know. No server ever spoke 3.1: it was left out because some poolers
/// claim it wrongly.
fn minor_to_speak(wanted: u16) -> u16 {
    if wanted >= NEWEST_MINOR { NEWEST_MINOR } else { 0 }
}

/// Protocol 3.2, of PostgreSQL 18.
const NEWEST_MINOR: u16 = 2;
