//! Tokens: how a completion finds the request it belongs to.
//!
//! Owns the layout of the 64 bits that travel through the kernel. Bare indexes never do: slot, generation, epoch
//! and kind are checked on arrival.

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The mailbox's eventfd; the slot is unused.
    Wake = 1,
    /// An accept; the slot is a listener's.
    Accept,
    /// A receive from the client; from here on the slot is a session's.
    ClientReceive,
    /// A receive from the target.
    TargetReceive,
    /// A send to the client.
    ClientSend,
    /// A send to the target.
    TargetSend,
    /// Waiting for room in the client's socket.
    ClientWritable,
    /// Waiting for room in the target's socket, or for its connect.
    TargetWritable,
    /// Waiting for data of the client.
    ClientReadable,
    /// Waiting for data of the target.
    TargetReadable,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Wake,
        Self::Accept,
        Self::ClientReceive,
        Self::TargetReceive,
        Self::ClientSend,
        Self::TargetSend,
        Self::ClientWritable,
        Self::TargetWritable,
        Self::ClientReadable,
        Self::TargetReadable,
    ];
}

/// Names one request.
///
/// ```text
/// 63        56 55        48 47                 32 31                       0
/// +-----------+------------+---------------------+--------------------------+
/// |   kind    |   epoch    |     generation      |           slot           |
/// +-----------+------------+---------------------+--------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What was asked for.
    pub(crate) kind: Kind,
    /// Which of the session's connections to targets, counted, wrapping.
    pub(crate) epoch: u8,
    /// Which tenant of the slot, counted, wrapping.
    pub(crate) generation: u16,
    /// The session or listener.
    pub(crate) slot: u32,
}

impl Token {
    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << 56
            | u64::from(self.epoch) << 48
            | u64::from(self.generation) << 32
            | u64::from(self.slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each cast keeps exactly its field's bits")]
    pub(super) fn unpack(bits: u64) -> Option<Self> {
        let kind = (bits >> 56) as u8;
        Some(Self {
            kind: *Kind::ALL.iter().find(|known| **known as u8 == kind)?,
            epoch: (bits >> 48) as u8,
            generation: (bits >> 32) as u16,
            slot: bits as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Token};

    #[test]
    fn a_token_survives_the_journey_through_the_kernel() {
        for kind in Kind::ALL {
            let token = Token { kind, epoch: 0xfe, generation: 0xfedc, slot: 0xfedc_ba98 };
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
    }

    #[test]
    fn refuses_bits_that_no_request_had() {
        assert_eq!(Token::unpack(0), None);
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
