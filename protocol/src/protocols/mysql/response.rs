//! The client's answer to the greeting (MySQL documentation, "Protocol::HandshakeResponse41"), and the request for TLS
//! that may stand before it ("Protocol::SSLRequest").
//!
//! Owns their form, read from a client and written for a target.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::capabilities::{
    CLIENT_MYSQL, CONNECT_ATTRS, CONNECT_WITH_DB, Capabilities, PLUGIN_AUTH, PLUGIN_AUTH_LENENC, PROTOCOL_41,
    SECURE_CONNECTION, SSL, ZSTD,
};
use crate::limits::{MYSQL_ATTRIBUTES_MAX, MYSQL_NAME_MAX, MYSQL_USER_MAX};
use crate::wire::{Missing, Reader, Writer};
use crate::{ClientMisbehaved, Error, Unsupported};

/// What a client says before its user's name: all that a request for TLS has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prelude {
    capabilities: Capabilities,
    /// The longest packet that it takes.
    packet_max: u32,
    charset: u8,
}

/// A client's first packet.
pub(super) enum Response {
    /// It wants to speak TLS from now on.
    Tls,
    /// It logs in.
    Login(Login),
}

/// What a client asks for. Its name and its proof are not in here: nobody reads them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// What both sides know of.
    pub(super) capabilities: Capabilities,
    packet_max: u32,
    charset: u8,
    database: Option<Box<[u8]>>,
    /// The method that it began with; none from a client that knows only one.
    pub(super) plugin: Option<Box<[u8]>>,
    /// How long its proof is.
    pub(super) proof_len: usize,
    attributes: Option<Box<[u8]>>,
    zstd_level: Option<u8>,
}

/// The bytes between the character set and the user's name, of which MariaDB has the last four.
const FILLER_LEN: usize = 23;

impl Prelude {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Missing> {
        let low = reader.u32_le("the capabilities")?;
        let packet_max = reader.u32_le("the longest packet")?;
        let charset = reader.u8("the character set")?;
        let filler: [u8; FILLER_LEN] = reader.array("the reserved bytes")?;
        let [.., a, b, c, d] = filler;
        let capabilities = Capabilities::new(low, u32::from_le_bytes([a, b, c, d]));
        Ok(Self { capabilities, packet_max, charset })
    }

    fn write(self, body: &mut Writer<'_>, extended: bool) {
        body.bytes(&self.capabilities.low());
        body.u32_le(self.packet_max);
        body.u8(self.charset);
        body.bytes(&[0; FILLER_LEN - 4]);
        body.bytes(&if extended { self.capabilities.extended() } else { [0; 4] });
    }
}

impl Response {
    /// Reads the payload of a client's packet. `announced` is what it was offered.
    pub(super) fn read(payload: &[u8], announced: Capabilities) -> Result<Self, Error> {
        // A client of before 4.1 says it all in two bytes of capabilities, which have no such flag.
        if let Some(&[_, high]) = payload.first_chunk::<2>()
            && u16::from(high) << 8 & 0x0200 == 0
        {
            return Err(Unsupported::ClientBefore41.into());
        }
        let mut reader = Reader::new(payload);
        let malformed = |Missing(what)| Error::from(ClientMisbehaved::MalformedPacket(what));
        let prelude = Prelude::read(&mut reader).map_err(malformed)?;
        if prelude.capabilities.has(SSL) && reader.is_empty() {
            return if announced.has(SSL) {
                Ok(Self::Tls)
            } else {
                Err(ClientMisbehaved::MalformedPacket("the user's name: TLS was not offered").into())
            };
        }
        Login::read(prelude, reader, announced).map(Self::Login).map_err(malformed)
    }
}

impl Login {
    fn read(prelude: Prelude, mut reader: Reader<'_>, announced: Capabilities) -> Result<Self, Missing> {
        let capabilities = prelude.capabilities.agreed(announced);
        bounded(reader.cstr("the user's name")?, MYSQL_USER_MAX, "the end of the user's name")?;
        let proof_len = proof_len(&mut reader, capabilities)?;
        let mut login = Self {
            capabilities,
            packet_max: prelude.packet_max,
            charset: prelude.charset,
            database: None,
            plugin: None,
            proof_len,
            attributes: None,
            zstd_level: None,
        };
        if capabilities.has(CONNECT_WITH_DB) {
            login.database = Some(name(reader.cstr("the database")?)?);
        }
        if capabilities.has(PLUGIN_AUTH) {
            login.plugin = Some(name(reader.cstr_or_rest())?);
        }
        if capabilities.has(CONNECT_ATTRS) {
            login.attributes = Some(attributes(&mut reader)?);
        }
        if capabilities.has(ZSTD) {
            login.zstd_level = Some(reader.u8("the level of compression")?);
        }
        // Servers do not mind what comes behind, either.
        Ok(login)
    }

    /// That of a client which only comes to go again.
    pub(super) fn of_nobody() -> Self {
        const LATIN1: u8 = 8;
        Self {
            capabilities: CLIENT_MYSQL | PROTOCOL_41,
            packet_max: 1 << 24,
            charset: LATIN1,
            database: None,
            plugin: None,
            proof_len: 0,
            attributes: None,
            zstd_level: None,
        }
    }

    /// Appends the request for TLS towards a target that offers `target`.
    pub(super) fn write_tls_request(&self, target: Capabilities, sequence: u8, out: &mut Vec<u8>) {
        Writer::new(out).numbered_packet(sequence, |body| self.write_prelude(target, true, body));
    }

    /// Appends the login for a target that offers `target`: `username` with the first `proof` of `plugin`.
    pub(super) fn write(
        &self,
        target: Capabilities,
        with_tls: bool,
        sequence: u8,
        (username, plugin, proof): (&[u8], &[u8], &[u8]),
        out: &mut Vec<u8>,
    ) {
        let told = self.capabilities.for_target(target, with_tls);
        Writer::new(out).numbered_packet(sequence, |body| {
            self.write_prelude(target, with_tls, body);
            body.cstr(username);
            write_proof(body, told, proof);
            if let Some(database) = &self.database {
                body.cstr(database);
            }
            if told.has(PLUGIN_AUTH) {
                body.cstr(plugin);
            }
            if let Some(attributes) = &self.attributes {
                body.lenenc_bytes(attributes);
            }
            if let Some(level) = self.zstd_level {
                body.u8(level);
            }
        });
    }

    fn write_prelude(&self, target: Capabilities, with_tls: bool, body: &mut Writer<'_>) {
        let capabilities = self.capabilities.for_target(target, with_tls);
        let extended = !capabilities.has(CLIENT_MYSQL) && !target.has(CLIENT_MYSQL);
        Prelude { capabilities, packet_max: self.packet_max, charset: self.charset }.write(body, extended);
    }
}

/// Appends a proof in the form that the flags ask for.
fn write_proof(body: &mut Writer<'_>, capabilities: Capabilities, proof: &[u8]) {
    match u8::try_from(proof.len()) {
        _ if capabilities.has(PLUGIN_AUTH_LENENC) => body.lenenc_bytes(proof),
        Ok(len) => {
            body.u8(len);
            body.bytes(proof);
        }
        // A target that cannot be told a longer one says so itself.
        Err(_) => body.u8(0),
    }
}

/// How long a client's proof is, which is left unread.
pub(super) fn proof_len(reader: &mut Reader<'_>, capabilities: Capabilities) -> Result<usize, Missing> {
    const WHAT: &str = "the proof";
    let proof = if capabilities.has(PLUGIN_AUTH_LENENC) {
        reader.lenenc_bytes(WHAT)?
    } else if capabilities.has(SECURE_CONNECTION) {
        let len = reader.u8(WHAT)?;
        reader.take(usize::from(len), WHAT)?
    } else {
        reader.cstr(WHAT)?
    };
    Ok(proof.len())
}

/// Connection attributes, which are passed on as they are.
pub(super) fn attributes(reader: &mut Reader<'_>) -> Result<Box<[u8]>, Missing> {
    let attributes = reader.lenenc_bytes("the connection attributes")?;
    bounded(attributes, MYSQL_ATTRIBUTES_MAX, "the end of the connection attributes").map(Into::into)
}

/// The name of a database or a method.
pub(super) fn name(text: &[u8]) -> Result<Box<[u8]>, Missing> {
    bounded(text, 4 * MYSQL_NAME_MAX, "the end of a name").map(Into::into)
}

pub(super) fn bounded<'a>(bytes: &'a [u8], max: usize, what: &'static str) -> Result<&'a [u8], Missing> {
    if bytes.len() <= max { Ok(bytes) } else { Err(Missing(what)) }
}
