//! Messages of protocol 3 (documentation, "Message Formats"), as far as a handshake has them.
//!
//! Owns their layout in both directions. Does not know when they may come.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::login::Authenticated;
use crate::auth::scram::Offered;
use crate::limits::POSTGRES_AUTH_MESSAGE_MAX;
use crate::wire::{FrameError, Missing, Reader, Writer, typed_message};
use crate::{Error, ServerMisbehaved};

/// What a target may send before it has let us in.
pub(super) enum ServerMessage<'a> {
    /// `R`
    Authentication(Authentication<'a>),
    /// `E`
    ErrorResponse(ErrorResponse<'a>),
    /// `N`
    NoticeResponse,
    /// `v`
    NegotiateProtocolVersion(Negotiation),
}

/// What `R` says.
pub(super) enum Authentication<'a> {
    Ok,
    CleartextPassword,
    Md5Password {
        salt: [u8; 4],
    },
    Sasl(Offered),
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// A method that we do not have.
    Other(u32),
}

/// A refusal in the target's words.
pub(super) struct ErrorResponse<'a> {
    /// All of the message.
    pub(super) bytes: &'a [u8],
    /// `C`; a server should send it, and some do not.
    pub(super) sqlstate: Option<&'a [u8]>,
}

/// What `v` says.
pub(super) struct Negotiation {
    /// The newest version that the server speaks, major number included.
    pub(super) version: u32,
    /// The protocol options that it does not know.
    pub(super) options: Vec<Box<[u8]>>,
}

impl<'a> ServerMessage<'a> {
    /// Reads the message at the front of `input` and says how long it is. `None` until all of it is there.
    pub(super) fn read(input: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(&kind) = input.first() else { return Ok(None) };
        if !matches!(kind, b'R' | b'E' | b'N' | b'v') {
            return Err(ServerMisbehaved::UnexpectedMessage.into());
        }
        let message = match typed_message(input, POSTGRES_AUTH_MESSAGE_MAX) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(FrameError::TooLong) => return Err(ServerMisbehaved::MessageLength.into()),
            Err(FrameError::TooShort) => return Err(ServerMisbehaved::MalformedMessage("its length").into()),
        };
        let body = Reader::new(message.body);
        let read = match message.kind {
            b'R' => Self::Authentication(Authentication::parse(body).map_err(malformed)?),
            b'E' => Self::ErrorResponse(ErrorResponse {
                bytes: message.bytes,
                sqlstate: error_field(body, b'C').map_err(malformed)?,
            }),
            b'v' => Self::NegotiateProtocolVersion(Negotiation::parse(body).map_err(malformed)?),
            // What a notice says is between the server and its own log.
            _ => Self::NoticeResponse,
        };
        Ok(Some((read, message.bytes.len())))
    }
}

impl<'a> Authentication<'a> {
    fn parse(mut body: Reader<'a>) -> Result<Self, Missing> {
        let method = match body.u32("the authentication method")? {
            0 => Self::Ok,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password { salt: body.array("the salt")? },
            10 => {
                let mut offered = Offered::default();
                loop {
                    match body.cstr("the end of the mechanisms")? {
                        b"" => break,
                        mechanism => offered.note(mechanism),
                    }
                }
                Self::Sasl(offered)
            }
            11 => return Ok(Self::SaslContinue(body.remainder())),
            12 => return Ok(Self::SaslFinal(body.remainder())),
            // What stands behind the number is the method's own.
            other => return Ok(Self::Other(other)),
        };
        body.end("the end of the authentication request")?;
        Ok(method)
    }
}

impl Negotiation {
    fn parse(mut body: Reader<'_>) -> Result<Self, Missing> {
        let version = body.u32("the version")?;
        let count = body.u32("the number of options")?;
        // Every option takes a byte at least, so the message's own length bounds the loop; nothing is allocated
        // for the count.
        let mut options = Vec::new();
        for _ in 0..count {
            options.push(body.cstr("an option")?.into());
        }
        body.end("the end of the options")?;
        Ok(Self { version, options })
    }
}

/// Checks the layout of an `ErrorResponse`, `(code value NUL)* NUL`, and finds the value of `code`.
fn error_field<'a>(mut body: Reader<'a>, code: u8) -> Result<Option<&'a [u8]>, Missing> {
    let mut found = None;
    loop {
        match body.u8("the end of the error")? {
            0 => break,
            field => {
                let value = body.cstr("a field of the error")?;
                if field == code && found.is_none() {
                    found = Some(value);
                }
            }
        }
    }
    body.end("the end of the error")?;
    Ok(found)
}

fn malformed(Missing(what): Missing) -> Error {
    ServerMisbehaved::MalformedMessage(what).into()
}

/// The answer to a request for TLS that is granted.
pub(super) const ENCRYPTION: u8 = b'S';
/// The answer to a request for encryption that we do not have.
pub(super) const NO_ENCRYPTION: u8 = b'N';

/// A version word of major version 3.
pub(super) fn version_word(minor: u16) -> u32 {
    3 << 16 | u32::from(minor)
}

/// `AuthenticationOk`. Nobody tells a client "you are in" who cannot show that the target said so.
pub(super) fn write_authentication_ok(out: &mut Vec<u8>, _: &Authenticated) {
    Writer::new(out).message(b'R', |body| body.u32(0));
}

/// `NegotiateProtocolVersion`. The documentation speaks of the newest minor version; what servers send, and
/// clients read, is the whole version word.
pub(super) fn write_negotiation(out: &mut Vec<u8>, minor: u16, options: &[&[u8]]) {
    Writer::new(out).message(b'v', |body| {
        body.u32(version_word(minor));
        body.u32(u32::try_from(options.len()).unwrap_or(u32::MAX));
        for option in options {
            body.cstr(option);
        }
    });
}

/// `ErrorResponse`, fatal.
pub(super) fn write_error(out: &mut Vec<u8>, sqlstate: &str, text: &str) {
    Writer::new(out).message(b'E', |body| {
        for (code, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', text)] {
            body.u8(code);
            body.cstr(value.as_bytes());
        }
        body.u8(0);
    });
}

/// `PasswordMessage`
pub(super) fn write_password(out: &mut Vec<u8>, password: &[u8]) {
    Writer::new(out).message(b'p', |body| body.cstr(password));
}

/// `SASLInitialResponse`
pub(super) fn write_sasl_initial_response(out: &mut Vec<u8>, mechanism: &str, response: &str) {
    Writer::new(out).message(b'p', |body| {
        body.cstr(mechanism.as_bytes());
        body.u32(u32::try_from(response.len()).unwrap_or(u32::MAX));
        body.bytes(response.as_bytes());
    });
}

/// `SASLResponse`
pub(super) fn write_sasl_response(out: &mut Vec<u8>, response: &str) {
    Writer::new(out).message(b'p', |body| body.bytes(response.as_bytes()));
}
