//! A client of the stub that speaks MySQL: it logs in through whatever stands between, then sends commands.

use ::tests::broker::Listen;
use ::tests::failure::{Failure, Result};
use ::tests::mysql::wire::{Packet, Wire, response};

use crate::stub::CHUNK;

/// The flag by which client and server agree on compression.
pub(super) const COMPRESS: u32 = 1 << 5;

pub(super) const COM_QUIT: u8 = 0x01;
pub(super) const COM_PING: u8 = 0x0E;

/// A command that is not answered.
const COM_STMT_SEND_LONG_DATA: u8 = 0x18;

/// An open session. Dropping it closes the connection.
pub(crate) struct Packets {
    wire: Wire,
}

impl Packets {
    /// Connects to `listen` and logs in, which takes no password; with `compresses`, both sides say that they could
    /// compress, and do not.
    pub(crate) fn open(listen: &Listen, database: &str, compresses: bool) -> Result<Self> {
        let mut wire = Wire::connect(listen)?;
        wire.packet()?;
        let mut payload = response("somebody", database, "mysql_native_password", b"");
        if compresses {
            payload[0] |= COMPRESS.to_le_bytes()[0];
        }
        wire.send(1, &payload)?;
        let mut session = Self { wire };
        session.ok()?;
        Ok(session)
    }

    /// Sends about so many bytes in commands of `len` bytes, and waits until they have arrived. Gives how many it were.
    pub(crate) fn upload(&mut self, bytes: u64, len: usize) -> Result<u64> {
        let mut payload = vec![b'x'; len];
        payload[0] = COM_STMT_SEND_LONG_DATA;
        let command = Packet { number: 0, payload }.bytes();
        let commands = command.repeat((CHUNK / command.len()).max(1));
        let mut sent = 0;
        while sent < bytes {
            self.wire.send_bytes(&commands)?;
            sent += commands.len() as u64;
        }
        self.wire.send(0, &[COM_PING])?;
        self.ok()?;
        Ok(sent)
    }

    fn ok(&mut self) -> Result<()> {
        let packet = self.wire.packet()?;
        match packet.payload.first() {
            Some(0) => Ok(()),
            _ => Err(Failure::new(format!("the stub of MySQL says {}", packet.text()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::stub;

    #[test]
    fn the_stub_takes_all_that_its_client_sends() {
        let stub = stub::start().expect("the stub starts");
        for compresses in [false, true] {
            let mut session =
                Packets::open(&Listen::Tcp(stub.port()), "db", compresses).expect("it lets us in");
            // 63 commands of 4 KiB with their headers, four times.
            assert_eq!(session.upload(1_000_000, 4096).ok(), Some(4 * 63 * 4100));
        }
    }
}
