//! Where a message ends.
//!
//! A stated length meets its cap as soon as it can be read, before the message itself has come; nothing is
//! allocated for it.

/// A message with a type byte.
pub(crate) struct Message<'a> {
    /// The type byte.
    pub(crate) kind: u8,
    /// What is inside.
    pub(crate) body: &'a [u8],
    /// All of it: type, length and body.
    pub(crate) bytes: &'a [u8],
}

/// A length that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Shorter than its own length word, or than the protocol's shortest.
    TooShort,
    /// Longer than its cap.
    TooLong,
}

/// The first message of `input`: a type byte, a length word that counts itself, a body. `None` until all of it
/// is there. `bytes_max` caps the whole.
pub(crate) fn typed_message(input: &[u8], bytes_max: usize) -> Result<Option<Message<'_>>, FrameError> {
    let Some((&kind, behind)) = input.split_first() else { return Ok(None) };
    let Some(length) = stated_length(behind, 4, bytes_max.saturating_sub(1))? else { return Ok(None) };
    let Some(framed) = behind.get(..length) else { return Ok(None) };
    let (body, bytes) = (framed.get(4..).unwrap_or_default(), input.get(..length + 1).unwrap_or_default());
    Ok(Some(Message { kind, body, bytes }))
}

/// The first packet of MySQL's in `input`: three bytes of length, a sequence number, a payload. `None` until all of it is
/// there. `payload_max` caps the payload; what is longer than one packet holds (16 MiB) is beyond it in any case.
pub(crate) fn numbered_packet(
    input: &[u8],
    payload_max: usize,
) -> Result<Option<NumberedPacket<'_>>, FrameError> {
    let Some((&[a, b, c, sequence], behind)) = input.split_first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes([a, b, c, 0])) {
        Ok(length) if length <= payload_max => {
            Ok(behind.get(..length).map(|payload| NumberedPacket { sequence, payload, len: 4 + length }))
        }
        _ => Err(FrameError::TooLong),
    }
}

/// A packet of MySQL's.
pub(crate) struct NumberedPacket<'a> {
    /// Counts the packets of one exchange, both sides' together.
    pub(crate) sequence: u8,
    /// What is inside.
    pub(crate) payload: &'a [u8],
    /// Bytes of all of it.
    pub(crate) len: usize,
}

/// The length word at the front of `input`, which counts itself and what follows it. `None` until it is there.
/// Between `bytes_min` and `bytes_max` is legal.
pub(crate) fn stated_length(
    input: &[u8],
    bytes_min: usize,
    bytes_max: usize,
) -> Result<Option<usize>, FrameError> {
    let Some((word, _)) = input.split_first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(u32::from_be_bytes(*word)) {
        Ok(length) if length < bytes_min => Err(FrameError::TooShort),
        Ok(length) if length <= bytes_max => Ok(Some(length)),
        _ => Err(FrameError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameError, stated_length, typed_message};

    #[test]
    fn waits_for_the_whole_message_and_leaves_the_rest() {
        let input = b"R\0\0\0\x08\0\0\0\0Z";
        for len in 0..9 {
            assert!(typed_message(&input[..len], 64).unwrap().is_none(), "{len} bytes");
        }
        let message = typed_message(input, 64).unwrap().unwrap();
        assert_eq!((message.kind, message.body, message.bytes), (b'R', &input[5..9], &input[..9]));
    }

    #[test]
    fn waits_for_the_whole_numbered_packet() {
        let input = b"\x03\0\0\x07abcd";
        for len in 0..7 {
            assert!(super::numbered_packet(&input[..len], 64).unwrap().is_none(), "{len} bytes");
        }
        let packet = super::numbered_packet(input, 3).unwrap().unwrap();
        assert_eq!((packet.sequence, packet.payload, packet.len), (7, &b"abc"[..], 7));
        assert_eq!(super::numbered_packet(&input[..4], 2).err(), Some(FrameError::TooLong));
        assert!(super::numbered_packet(b"\0\0\0\x01", 0).unwrap().unwrap().payload.is_empty());
    }

    #[test]
    fn meets_a_stated_length_before_the_message_has_come() {
        assert_eq!(typed_message(b"R\0\0\0\x03", 64).err(), Some(FrameError::TooShort));
        assert_eq!(typed_message(b"R\0\0\0\x40", 64).err(), Some(FrameError::TooLong));
        assert!(typed_message(b"R\0\0\0\x3F", 64).unwrap().is_none(), "64 bytes in all");
        assert_eq!(typed_message(b"R\xFF\xFF\xFF\xFF", 64).err(), Some(FrameError::TooLong));
        assert_eq!(stated_length(b"\0\0\0\x07", 8, 64), Err(FrameError::TooShort));
        assert_eq!(stated_length(b"\x7F\xFF\xFF\xFF", 8, 64), Err(FrameError::TooLong));
    }
}
