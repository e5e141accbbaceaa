//! Another login in the middle of a session (MySQL documentation, "COM_CHANGE_USER").
//!
//! Owns both sides of it: what the client asks for beside its user, which the target is told beside ours, and the end of it.
//! The client's proof is left unread, and its session's state is reset by the target, which is what pools send this for.
//!
//! Nobody counts a session's answers, so what comes next from the target may belong to what the client has sent before, and
//! be of the client's making: a row can look like a request for the password. So the target is first asked something that only
//! we can know the answer to.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use sha2::{Digest, Sha256};

use super::capabilities::{CONNECT_ATTRS, Capabilities, PLUGIN_AUTH, PLUGIN_AUTH_LENENC, QUERY_ATTRIBUTES};
use super::client::{awaits_fast_success, read_packet, write_ok, write_payload};
use super::dialogue::Dialogue;
use super::errors;
use super::exchange::{self, Exchange, Progress};
use super::fields::{Place, check_credential, username};
use super::plugin::NATIVE;
use super::response::{attributes, bounded, name, proof_len};
use super::result::{ERR, error_with_state, ok_for_client};
use super::watch::CommandWatch;
use crate::limits::MYSQL_USER_MAX;
use crate::line::Line;
use crate::wire::{Missing, Reader, Writer};
use crate::{
    Bug, ClientMisbehaved, Credential, Denied, Entropy, Error, Event, Failure, Handshake, Next, Output,
    Route, Side, Want,
};

/// What is known of a session that has begun.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) route: Arc<Route>,
    /// The flags that count between the client and the target.
    pub(super) agreed: Capabilities,
    /// The flags that the target was told.
    pub(super) told: Capabilities,
    pub(super) line: Line,
    /// Where the session's own credential was for.
    pub(super) place: Place,
}

/// What a client asks for, without its name and its proof.
struct Request {
    database: Box<[u8]>,
    /// An old client ends behind the database.
    charset: Option<u16>,
    plugin: Option<Box<[u8]>>,
    proof_len: usize,
    attributes: Option<Box<[u8]>>,
}

/// See the module's documentation.
pub(super) struct ChangeUser {
    facts: Facts,
    /// The client did not wait for the answer to an earlier command, so nobody can tell whose the next answer is.
    is_early: bool,
    entropy: [u8; 32],
    state: State,
    awaits_fast_success: bool,
    /// What the target said when it refused us.
    words: Option<Arc<[u8]>>,
}

/// ```text
///   start ──► ExpectPacket ── COM_CHANGE_USER ──► ExpectCredential ──► ExpectPermission
///                                                                          │ a statement that is none
///                                                  COM_CHANGE_USER, ours   ▼
///       relay ◄── Ended ◄── OK: [01 03] OK ── Exchanging ◄── ERR ── ExpectComplaint
///                 Ended ◄── ERR ──────────────────┘
/// ```
enum State {
    ExpectPacket,
    ExpectCredential(Request),
    ExpectPermission(Request, Arc<Credential>),
    /// The target is to complain about our statement.
    ExpectComplaint(Request, Arc<Credential>),
    Exchanging(Exchange),
    /// The client has been told.
    Ended,
}

const COM_QUERY: u8 = 0x03;
const COM_CHANGE_USER: u8 = 0x11;

impl Request {
    fn read(payload: &[u8], agreed: Capabilities) -> Result<Self, Missing> {
        let mut reader = Reader::new(payload);
        reader.u8("the command")?;
        bounded(reader.cstr("the user's name")?, MYSQL_USER_MAX, "the end of the user's name")?;
        // Its length is one byte here, whatever was agreed on for the login.
        let proof_len = proof_len(&mut reader, agreed & !PLUGIN_AUTH_LENENC)?;
        let mut request = Self {
            database: name(reader.cstr("the database")?)?,
            charset: None,
            plugin: None,
            proof_len,
            attributes: None,
        };
        if reader.is_empty() {
            return Ok(request);
        }
        request.charset = Some(reader.u16_le("the character set")?);
        if agreed.has(PLUGIN_AUTH) && !reader.is_empty() {
            request.plugin = Some(name(reader.cstr_or_rest())?);
        }
        if agreed.has(CONNECT_ATTRS) && !reader.is_empty() {
            request.attributes = Some(attributes(&mut reader)?);
        }
        Ok(request)
    }

    /// Appends our own request. Its proof is empty: a server answers that with a challenge, for whichever account it is.
    fn write(&self, username: &[u8], told: Capabilities, out: &mut Vec<u8>) {
        /// Where a client has none: what servers of any age know as their own default.
        const DEFAULT_CHARSET: u16 = 8;
        Writer::new(out).numbered_packet(0, |body| {
            body.u8(COM_CHANGE_USER);
            body.cstr(username);
            body.u8(0);
            body.cstr(&self.database);
            body.u16_le(self.charset.unwrap_or(DEFAULT_CHARSET));
            if told.has(PLUGIN_AUTH) {
                body.cstr(NATIVE);
            }
            if told.has(CONNECT_ATTRS) {
                body.lenenc_bytes(self.attributes.as_deref().unwrap_or_default());
            }
        });
    }
}

impl ChangeUser {
    pub(super) fn new(facts: Facts, is_early: bool) -> Self {
        Self {
            facts,
            is_early,
            entropy: [0; 32],
            state: State::ExpectPacket,
            awaits_fast_success: false,
            words: None,
        }
    }

    fn on_packet(&mut self, input: &[u8], out: &mut Output) -> Result<Next, Error> {
        self.state = State::ExpectPacket;
        let Some((payload, len)) = read_packet(input, 0)? else {
            return Ok(Next::Want(Side::Client, Want::Bytes));
        };
        out.used = len;
        if self.is_early {
            return Err(ClientMisbehaved::EarlyChangeOfUser.into());
        }
        let request = Request::read(payload, self.facts.agreed)
            .map_err(|Missing(what)| ClientMisbehaved::MalformedPacket(what))?;
        self.awaits_fast_success = awaits_fast_success(request.plugin.as_deref(), request.proof_len);
        self.state = State::ExpectCredential(request);
        Ok(Next::Want(Side::Target, Want::Credential))
    }

    /// Sends a statement that is none, of which a server quotes the beginning when it complains.
    fn ask_for_complaint(&self, out: &mut Output) -> Next {
        Writer::new(&mut out.target).numbered_packet(0, |body| {
            body.u8(COM_QUERY);
            if self.facts.told.has(QUERY_ATTRIBUTES) {
                // No parameters, in one set.
                body.bytes(&[0, 1]);
            }
            body.bytes(b") ");
            body.bytes(&self.token());
        });
        Next::Want(Side::Target, Want::Bytes)
    }

    /// What nobody can have known before we said it: 32 hexadecimal digits.
    fn token(&self) -> Vec<u8> {
        let hash = Sha256::new_with_prefix(self.entropy).chain_update(b"complaint").finalize();
        let digit = |half: u8| char::from_digit(half.into(), 16).map_or(b'0', |digit| digit as u8);
        hash.iter().take(16).flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect()
    }

    /// The target's answer: to us, and then everything before it has been answered, too.
    fn on_complaint(
        &mut self,
        request: Request,
        credential: Arc<Credential>,
        input: &[u8],
        out: &mut Output,
    ) -> Result<Next, Error> {
        // No complaint is longer than may be.
        let early = |_| ClientMisbehaved::EarlyChangeOfUser;
        let Some(packet) = exchange::read_packet(input).map_err(early)? else {
            self.state = State::ExpectComplaint(request, credential);
            return Ok(Next::Want(Side::Target, Want::Bytes));
        };
        // A session may have it in characters of several bytes.
        let text: Vec<u8> = packet.payload.iter().copied().filter(|&byte| byte != 0).collect();
        let token = self.token();
        if packet.payload.first() != Some(&ERR) || !text.windows(token.len()).any(|part| part == token) {
            return Err(ClientMisbehaved::EarlyChangeOfUser.into());
        }
        out.used = packet.len;
        self.change(&request, credential, out)
    }

    fn change(
        &mut self,
        request: &Request,
        credential: Arc<Credential>,
        out: &mut Output,
    ) -> Result<Next, Error> {
        let Facts { route, told, line, .. } = &self.facts;
        username(&credential)?.expose(|username| request.write(username, *told, &mut out.target));
        let dialogue = Dialogue::new(credential, Arc::clone(route), line.clone(), self.entropy);
        self.state = State::Exchanging(Exchange::new(dialogue, 0));
        Ok(Next::Want(Side::Target, Want::Bytes))
    }

    fn on_progress(&mut self, progress: Progress, out: &mut Output) -> Result<Next, Error> {
        match progress {
            Progress::Wait(exchange, want) => {
                self.state = State::Exchanging(exchange);
                Ok(Next::Want(Side::Target, want))
            }
            Progress::Accepted(ok) => {
                let ok = ok_for_client(&ok, self.facts.agreed)?;
                write_ok(0, self.awaits_fast_success, &ok, &mut out.client);
                self.state = State::Ended;
                Ok(Next::Relay(Some(Box::new(CommandWatch::new(self.facts.clone())))))
            }
            Progress::Refused(words) => {
                self.words = Some(words);
                Ok(Next::Refused)
            }
            Progress::SessionRefused(words) => {
                self.tell(&words, out);
                Err(Denied::ByTarget.into())
            }
        }
    }

    /// Lets the client have the target's words.
    fn tell(&mut self, words: &[u8], out: &mut Output) {
        write_payload(1, &error_with_state(words), &mut out.client);
        self.state = State::Ended;
    }
}

impl Handshake for ChangeUser {
    fn start(&mut self, entropy: Entropy, _out: &mut Output) -> Result<Next, Error> {
        self.entropy = entropy.target;
        Ok(Next::Want(Side::Client, Want::Bytes))
    }

    fn handle(&mut self, side: Side, event: Event<'_>, out: &mut Output) -> Result<Next, Error> {
        out.used = 0;
        // Whatever goes wrong, the client still waits for one packet.
        match (mem::replace(&mut self.state, State::ExpectPacket), side, event) {
            (State::ExpectPacket, Side::Client, Event::Bytes(input)) => self.on_packet(input, out),
            (State::ExpectCredential(request), Side::Target, Event::Credential(credential)) => {
                check_credential(&credential)?;
                if Place::of(&credential)? != self.facts.place {
                    // Its password is nothing for the ears of whom this session is with.
                    return Err(Denied::OtherTarget.into());
                }
                self.state = State::ExpectPermission(request, credential);
                Ok(Next::Want(Side::Target, Want::Permission))
            }
            (State::ExpectPermission(request, credential), Side::Target, Event::Permitted) => {
                self.state = State::ExpectComplaint(request, credential);
                Ok(self.ask_for_complaint(out))
            }
            (State::ExpectComplaint(request, credential), Side::Target, Event::Bytes(input)) => {
                self.on_complaint(request, credential, input, out)
            }
            (State::Exchanging(exchange), Side::Target, Event::Bytes(input)) => {
                let progress = exchange.on_bytes(input, out)?;
                self.on_progress(progress, out)
            }
            (State::Exchanging(exchange), Side::Target, Event::Computed(product)) => {
                self.state = State::Exchanging(exchange.on_computed(&product, out)?);
                Ok(Next::Want(Side::Target, Want::Bytes))
            }
            (state, ..) => {
                self.state = state;
                Err(Bug::UnexpectedEvent.into())
            }
        }
    }

    /// There is no second try: a server closes behind a change of user that it refused, and what else the session was is
    /// gone. The client connects again and is let in with the newer credential.
    fn retry(&mut self, _entropy: [u8; 32], out: &mut Output) -> Result<Next, Error> {
        Err(self.give_up(None, out))
    }

    fn refusal_is_certain(&self) -> bool {
        self.words.is_some()
    }

    fn refusal(&self) -> Option<Arc<[u8]>> {
        self.words.clone()
    }

    fn give_up(&mut self, said_before: Option<Arc<[u8]>>, out: &mut Output) -> Error {
        if let Some(words) = self.words.take().or(said_before) {
            self.tell(&words, out);
        }
        Denied::CredentialRefused.into()
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        let is_told = matches!(mem::replace(&mut self.state, State::Ended), State::Ended);
        if !is_told && *failure.error != ClientMisbehaved::Closed.into() {
            errors::write_failure(&mut out.client, 1, true, failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use super::{ChangeUser, Facts};
    use crate::line::Line;
    use crate::protocols::mysql::capabilities::Capabilities;
    use crate::protocols::mysql::fields::Place;
    use crate::testing::credential;
    use crate::{Denied, Entropy, Event, Handshake, Next, Output, Route, Side, Want};

    const FIRST: [(&str, &[u8]); 3] =
        [("username", b"svc"), ("host", b"db.example"), ("sslmode", b"verify-full")];

    /// What comes of a change of user in a session of `FIRST`, once the credential differs from it in this.
    fn with(differs: &[(&'static str, &'static [u8])]) -> Result<Next, crate::Error> {
        let flags = Capabilities::default();
        let place = Place::of(&credential(&FIRST)).unwrap();
        let route = Arc::new(Route::new("books".into()));
        let facts = Facts { route, agreed: flags, told: flags, line: Line::Plain, place };
        let mut machine = ChangeUser::new(facts, false);
        let mut out = Output::default();
        let _ = machine.start(Entropy { client: [0; 32], target: [0; 32] }, &mut out);
        let _ = machine.handle(Side::Client, Event::Bytes(b"\x07\0\0\0\x11app\0\0\0"), &mut out);
        let fields: Vec<_> = FIRST
            .iter()
            .filter(|(name, _)| differs.iter().all(|(other, _)| other != name))
            .chain(differs)
            .copied()
            .collect();
        machine.handle(Side::Target, Event::Credential(credential(&fields)), &mut out)
    }

    #[test]
    fn a_password_for_another_place_is_not_said_here() {
        for same in [("username", &b"svc"[..]), ("password", b"newer"), ("port", b"3306")] {
            assert!(matches!(with(&[same]), Ok(Next::Want(Side::Target, Want::Permission))));
        }
        for other in [
            ("host", &b"elsewhere.example"[..]),
            ("port", b"3307"),
            ("host", b"/run/mysqld/mysqld.sock"),
            ("sslmode", b"require"),
            ("sslhost", b"other.example"),
            ("sslrootcert", b"another one"),
        ] {
            assert!(with(&[other]).is_err_and(|error| error == Denied::OtherTarget.into()), "{}", other.0);
        }
    }
}
