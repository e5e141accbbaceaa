//! Test double of a protocol in which a client may ask for another login in the middle of its session.
//!
//! A message is a head of four bytes and a body: the body's length in three bytes, least significant first, and the kind.
//! [`LOGIN`] asks for a login, for which the target is sent the body in capitals. It answers [`YES`] or [`NO`]; on the first
//! the client is sent [`WELCOME`].

use std::sync::Arc;

use protocol::{
    Bug, Denied, Entropy, Error, Event, Failure, Handshake, Look, Next, Output, Side, Want, Watch,
};

/// The kind of message that asks for a login.
pub(crate) const LOGIN: u8 = b'L';
/// The kind of message with which a client ends its session.
pub(crate) const GOODBYE: u8 = b'G';
/// The target's consent.
pub(crate) const YES: u8 = b'y';
/// The target's refusal.
pub(crate) const NO: u8 = b'n';
/// What a client is sent behind a login.
pub(crate) const WELCOME: u8 = b'w';

const HEAD_LEN: usize = 4;

/// A message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("bodies are short").to_le_bytes();
    [&len[..3], &[kind], body].concat()
}

/// Its body's length, its kind, if the whole head is there.
pub(crate) fn head(bytes: &[u8]) -> Option<(usize, u8)> {
    let &[a, b, c, kind] = bytes.first_chunk::<HEAD_LEN>()?;
    Some((usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, kind))
}

/// Follows messages.
#[derive(Default)]
pub(crate) struct Frames {
    unseen: usize,
    has_said_goodbye: bool,
}

impl Watch for Frames {
    fn unseen(&self) -> usize {
        self.unseen
    }

    fn pass(&mut self, len: usize) {
        self.unseen = self.unseen.checked_sub(len).expect("no more passes than was said to pass");
    }

    fn look(&mut self, bytes: &[u8]) -> Look {
        let mut passed = 0;
        loop {
            let body = self.unseen.min(bytes.len() - passed);
            self.unseen -= body;
            passed += body;
            match head(&bytes[passed..]) {
                Some((_, LOGIN)) => return Look::Hold(passed),
                Some((len, kind)) => {
                    self.has_said_goodbye |= kind == GOODBYE;
                    self.unseen = len;
                    passed += HEAD_LEN;
                }
                None => return Look::Pass(passed),
            }
        }
    }

    fn on_answer(&mut self) {}

    fn has_said_goodbye(&self) -> bool {
        self.has_said_goodbye
    }

    fn begin(&self) -> Box<dyn Handshake> {
        Box::new(Login)
    }
}

/// A login in the middle of a session.
struct Login;

impl Handshake for Login {
    fn start(&mut self, _: Entropy, _: &mut Output) -> Result<Next, Error> {
        Ok(Next::Want(Side::Client, Want::Bytes))
    }

    fn handle(&mut self, side: Side, event: Event<'_>, out: &mut Output) -> Result<Next, Error> {
        match (side, event) {
            (Side::Client, Event::Bytes(bytes)) => {
                let Some((len, LOGIN)) = head(bytes) else {
                    return Ok(Next::Want(Side::Client, Want::Bytes));
                };
                let Some(body) = bytes.get(HEAD_LEN..HEAD_LEN + len) else {
                    return Ok(Next::Want(Side::Client, Want::Bytes));
                };
                out.target.extend(message(LOGIN, &body.to_ascii_uppercase()));
                out.used = HEAD_LEN + len;
                Ok(Next::Want(Side::Target, Want::Bytes))
            }
            (Side::Target, Event::Bytes([])) => Ok(Next::Want(Side::Target, Want::Bytes)),
            (Side::Target, Event::Bytes(&[YES, ..])) => {
                out.used = 1;
                out.client.push(WELCOME);
                Ok(Next::Relay(Some(Box::new(Frames::default()))))
            }
            (Side::Target, Event::Bytes(_)) => Err(Denied::ByTarget.into()),
            _ => Err(Bug::UnexpectedEvent.into()),
        }
    }

    fn retry(&mut self, _: [u8; 32], _: &mut Output) -> Result<Next, Error> {
        Err(Bug::UnexpectedEvent.into())
    }

    fn refusal_is_certain(&self) -> bool {
        false
    }

    fn refusal(&self) -> Option<Arc<[u8]>> {
        None
    }

    fn give_up(&mut self, _: Option<Arc<[u8]>>, _: &mut Output) -> Error {
        Bug::UnexpectedEvent.into()
    }

    fn farewell(&mut self, failure: &Failure<'_>, out: &mut Output) {
        out.client.extend_from_slice(format!("!{}", failure.error).as_bytes());
    }
}
