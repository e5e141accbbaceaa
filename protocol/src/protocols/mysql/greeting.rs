//! The server's first packet (MySQL documentation, "Protocol::HandshakeV10").
//!
//! Owns its form, read from a target and written for a client. Decides nothing about it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::capabilities::{CLIENT_MYSQL, Capabilities, PLUGIN_AUTH, PROTOCOL_41};
use super::plugin::NATIVE;
use crate::auth::mysql_native::Nonce;
use crate::limits::MYSQL_NAME_MAX;
use crate::wire::{Missing, Reader, Writer};
use crate::{Error, ServerMisbehaved, Unsupported};

/// What a server says of itself.
#[derive(Clone)]
pub(super) struct Greeting {
    pub(super) version: Box<[u8]>,
    /// What `KILL` and the process list call the connection.
    pub(super) connection_id: u32,
    pub(super) charset: u8,
    pub(super) status: u16,
    pub(super) capabilities: Capabilities,
    /// What the first method is challenged with.
    pub(super) data: Box<[u8]>,
    /// The method that it would like to begin with.
    pub(super) plugin: Box<[u8]>,
}

/// The version of the handshake.
const VERSION: u8 = 10;

impl Greeting {
    /// Reads the payload of a target's first packet, which is no error.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Error> {
        match payload {
            [VERSION, body @ ..] => {
                Self::read_body(body).map_err(|Missing(what)| ServerMisbehaved::MalformedMessage(what).into())
            }
            [version, ..] => Err(Unsupported::ServerHandshake(*version).into()),
            [] => Err(ServerMisbehaved::MalformedMessage("the version of the handshake").into()),
        }
    }

    fn read_body(body: &[u8]) -> Result<Self, Missing> {
        let mut reader = Reader::new(body);
        let version = reader.cstr("the server's version")?;
        let connection_id = reader.u32_le("the connection id")?;
        let first: [u8; 8] = reader.array("the nonce")?;
        reader.u8("the byte behind the nonce")?;
        let low = reader.u16_le("the capabilities")?;
        // Servers before 4.1 end here, and are refused for what they have not.
        let charset = reader.u8("the character set")?;
        let status = reader.u16_le("the status")?;
        let high = reader.u16_le("the capabilities")?;
        let data_len = reader.u8("the length of the nonce")?;
        let reserved: [u8; 10] = reader.array("the reserved bytes")?;
        let [.., a, b, c, d] = reserved;
        let capabilities =
            Capabilities::new(u32::from(high) << 16 | u32::from(low), u32::from_le_bytes([a, b, c, d]));
        if !capabilities.has(PROTOCOL_41) {
            return Err(Missing("the capability of protocol 4.1"));
        }
        let second = reader.take(usize::from(data_len).saturating_sub(8).max(13), "the nonce")?;
        // Some versions end without a NUL.
        let plugin = if capabilities.has(PLUGIN_AUTH) { reader.cstr_or_rest() } else { NATIVE };
        if version.len() > MYSQL_NAME_MAX || plugin.len() > MYSQL_NAME_MAX {
            return Err(Missing("the end of a name"));
        }
        let data = [&first[..], second].concat();
        // The last byte is a NUL.
        let data = data.strip_suffix(&[0]).unwrap_or(&data);
        Ok(Self {
            version: version.into(),
            connection_id,
            charset,
            status,
            capabilities,
            data: data.into(),
            plugin: plugin.into(),
        })
    }

    /// Appends the greeting for a client that is offered `capabilities` and challenged with `nonce`.
    pub(super) fn write(&self, capabilities: Capabilities, nonce: &Nonce, out: &mut Vec<u8>) {
        let ([a, b, c, d], extended) = (capabilities.low(), capabilities.extended());
        let (first, second) = nonce.split_at(8);
        Writer::new(out).numbered_packet(0, |body| {
            body.u8(VERSION);
            body.cstr(&self.version);
            body.u32_le(self.connection_id);
            body.bytes(first);
            body.bytes(&[0, a, b, self.charset]);
            body.u16_le(self.status);
            body.bytes(&[c, d, 21]);
            body.bytes(&[0; 6]);
            body.bytes(&if capabilities.has(CLIENT_MYSQL) { [0; 4] } else { extended });
            body.cstr(second);
            body.cstr(NATIVE);
        });
    }
}

/// A nonce as servers make them: 7-bit, without NUL and without `$`, which some methods take for borders.
pub(super) fn nonce(entropy: &[u8; 32]) -> Nonce {
    let mut nonce = [0; 20];
    for (place, byte) in nonce.iter_mut().zip(entropy) {
        let byte = byte & 0x7F;
        *place = if byte == 0 || byte == b'$' { byte + 1 } else { byte };
    }
    nonce
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::capabilities::{Capabilities, SESSION_TRACK};
    use super::{Greeting, nonce};
    use crate::testing::wire;
    use crate::{ServerMisbehaved, Unsupported};

    /// Captured from MariaDB 10.11, with another nonce.
    const MARIADB: &str = "0A '5.5.5-10.11.19-MariaDB' 00 | 0F000000 | 'abcdefgh' 00 | FEF7 2D 0200 FF81 15 \
                           000000000000 1D000000 | 'ijklmnopqrst' 00 | 'mysql_native_password' 00";

    #[test]
    fn reads_what_a_server_says_and_writes_it_for_a_client() {
        let greeting = Greeting::read(&wire(MARIADB)).unwrap();
        assert_eq!(&*greeting.version, b"5.5.5-10.11.19-MariaDB");
        assert_eq!((greeting.connection_id, greeting.charset, greeting.status), (15, 0x2D, 2));
        assert_eq!(greeting.capabilities, Capabilities::new(0x81FF_F7FE, 0x1D));
        assert_eq!((&*greeting.data, &*greeting.plugin), (&b"abcdefghijklmnopqrst"[..], super::NATIVE));

        let mut out = Vec::new();
        greeting.write(greeting.capabilities, b"ABCDEFGHIJKLMNOPQRST", &mut out);
        let mut expected = wire(MARIADB);
        for (old, new) in [(&b"abcdefgh"[..], &b"ABCDEFGH"[..]), (b"ijklmnopqrst", b"IJKLMNOPQRST")] {
            let at = expected.windows(old.len()).position(|part| part == old).unwrap();
            expected[at..at + new.len()].copy_from_slice(new);
        }
        assert_eq!(
            (&out[4..], &out[..4]),
            (&*expected, &[u8::try_from(expected.len()).unwrap(), 0, 0, 0][..])
        );
    }

    #[test]
    fn a_greeting_cut_anywhere_is_malformed_and_no_panic() {
        let whole = wire(MARIADB);
        let until_plugin = whole.len() - "mysql_native_password".len() - 1;
        for len in 0..until_plugin {
            let error = Greeting::read(&whole[..len]).err().unwrap();
            assert!(
                matches!(error, crate::Error::Server(ServerMisbehaved::MalformedMessage(_))),
                "{len}: {error:?}"
            );
        }
        // A name without its end is what some versions send.
        assert_eq!(&*Greeting::read(&whole[..whole.len() - 1]).unwrap().plugin, super::NATIVE);
        assert_eq!(Greeting::read(&[9, 0]).err(), Some(Unsupported::ServerHandshake(9).into()));
    }

    #[test]
    fn a_longer_nonce_is_read_whole() {
        let text = MARIADB.replace(" 15 ", " 21 ").replace("'ijklmnopqrst'", "'ijklmnopqrstuvwxyz012345'");
        assert_eq!(&*Greeting::read(&wire(&text)).unwrap().data, b"abcdefghijklmnopqrstuvwxyz012345");
    }

    #[test]
    fn a_nonce_has_no_byte_that_somebody_takes_for_a_border() {
        let mut entropy = [0; 32];
        entropy.iter_mut().zip([0, 0x80, b'$', b'$' | 0x80, 0x7F, 0xFF, 1]).for_each(|(to, from)| *to = from);
        let nonce = nonce(&entropy);
        assert_eq!(&nonce[..8], &[1, 1, b'%', b'%', 0x7F, 0x7F, 1, 1]);
        assert!(!(Capabilities::default()).has(SESSION_TRACK));
    }
}
