//! A dialogue with the target in numbered packets.
//!
//! Owns the numbers, and what ends it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dialogue::{Act, Dialogue};
use super::result::{ACCESS_DENIED, ERR, OK, error_code};
use crate::limits::MYSQL_PACKET_MAX;
use crate::wire::{NumberedPacket, Writer, numbered_packet};
use crate::work::Product;
use crate::{Error, Output, ServerMisbehaved, Want};

/// A dialogue in numbered packets, up to its end.
pub(super) struct Exchange {
    dialogue: Dialogue,
    /// The number of the packet that was said or heard last.
    sequence: u8,
}

/// Where an exchange stands.
pub(super) enum Progress {
    Wait(Exchange, Want),
    /// With the payload of an OK packet.
    Accepted(Vec<u8>),
    /// The account or its password is wrong, in the payload of an ERR packet.
    Refused(Arc<[u8]>),
    /// Something else is.
    SessionRefused(Arc<[u8]>),
}

impl Exchange {
    /// `sequence` is the number of the packet in which the dialogue began.
    pub(super) fn new(dialogue: Dialogue, sequence: u8) -> Self {
        Self { dialogue, sequence }
    }

    /// Reads what the target says, as far as it may be read now.
    pub(super) fn on_bytes(mut self, input: &[u8], out: &mut Output) -> Result<Progress, Error> {
        loop {
            let unread = input.get(out.used..).unwrap_or_default();
            let Some(packet) = read_packet(unread)? else { return Ok(Progress::Wait(self, Want::Bytes)) };
            out.used += packet.len;
            let expected = self.sequence.wrapping_add(1);
            match packet.payload.first() {
                // One that was on its way when we spoke is no less true.
                Some(&ERR) => {
                    let words = Arc::from(packet.payload);
                    return Ok(match error_code(packet.payload)? {
                        ACCESS_DENIED => Progress::Refused(words),
                        _ => Progress::SessionRefused(words),
                    });
                }
                _ if packet.sequence != expected => return Err(ServerMisbehaved::PacketOrder.into()),
                Some(&OK) => return Ok(Progress::Accepted(packet.payload.to_vec())),
                _ => self.sequence = expected,
            }
            let (dialogue, act) = self.dialogue.on_packet(packet.payload)?;
            self.dialogue = dialogue;
            match act {
                Act::Say(payload) => self.say(&payload, out),
                Act::Compute(work) => return Ok(Progress::Wait(self, Want::Compute(work))),
                Act::Nothing => {}
            }
        }
    }

    /// Says what came of the work.
    pub(super) fn on_computed(mut self, product: &Product, out: &mut Output) -> Result<Self, Error> {
        let (dialogue, act) = self.dialogue.on_computed(product)?;
        self.dialogue = dialogue;
        if let Act::Say(payload) = act {
            self.say(&payload, out);
        }
        Ok(self)
    }

    fn say(&mut self, payload: &[u8], out: &mut Output) {
        self.sequence = self.sequence.wrapping_add(1);
        Writer::new(&mut out.target).numbered_packet(self.sequence, |body| body.bytes(payload));
    }
}

/// The next packet of the target's handshake.
pub(super) fn read_packet(input: &[u8]) -> Result<Option<NumberedPacket<'_>>, Error> {
    numbered_packet(input, MYSQL_PACKET_MAX).map_err(|_| ServerMisbehaved::MessageLength.into())
}
