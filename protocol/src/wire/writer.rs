//! Appends to a buffer that may hold secrets.
//!
//! A buffer that must grow is copied and the old one wiped, so that no piece of a password stays behind in freed
//! memory.

use alloc::vec::Vec;
use core::mem;

use zeroize::Zeroizing;

/// Appends to a buffer. Integers are big-endian unless the name says otherwise.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u16_le(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32_le(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// An integer of MySQL's variable width ("Protocol::LengthEncodedInteger").
    pub(crate) fn lenenc(&mut self, value: usize) {
        if let Ok(small @ 0..=0xFA) = u8::try_from(value) {
            return self.u8(small);
        }
        if let Ok(value) = u16::try_from(value) {
            self.u8(0xFC);
            return self.u16_le(value);
        }
        let value = u64::try_from(value).unwrap_or(u64::MAX).to_le_bytes();
        let [a, b, c, rest @ ..] = value;
        if rest == [0; 5] {
            self.bytes(&[0xFD, a, b, c]);
        } else {
            self.u8(0xFE);
            self.bytes(&value);
        }
    }

    /// Bytes behind their length, which is such an integer.
    pub(crate) fn lenenc_bytes(&mut self, bytes: &[u8]) {
        self.lenenc(bytes.len());
        self.bytes(bytes);
    }

    /// A packet of MySQL: three bytes of length, which counts what `body` writes, and a sequence number.
    pub(crate) fn numbered_packet<R>(&mut self, sequence: u8, body: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        let start = self.out.len();
        self.bytes(&[0, 0, 0, sequence]);
        let result = body(self);
        // Bodies are bounded by limits.rs, far below 16 MiB.
        let [a, b, c, ..] = u32::try_from(self.out.len() - start - 4).unwrap_or(u32::MAX).to_le_bytes();
        if let Some((length, _)) = self.out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) {
            *length = [a, b, c];
        }
        result
    }

    /// `text` and a NUL. Whoever calls has made sure that there is none in it.
    pub(crate) fn cstr(&mut self, text: &[u8]) {
        self.bytes(text);
        self.u8(0);
    }

    /// A length word that counts itself and what `body` writes.
    pub(crate) fn packet<R>(&mut self, body: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        let start = self.out.len();
        self.u32(0);
        let result = body(self);
        // Bodies are bounded by limits.rs; a frame of 4 GiB cannot be, and no peer would read its length.
        let length = u32::try_from(self.out.len() - start).unwrap_or(u32::MAX);
        if let Some((word, _)) = self.out.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) {
            *word = length.to_be_bytes();
        }
        result
    }

    /// A type byte, and a length word that counts itself and what `body` writes.
    pub(crate) fn message<R>(&mut self, kind: u8, body: impl FnOnce(&mut Writer<'_>) -> R) -> R {
        self.u8(kind);
        self.packet(body)
    }

    /// Makes room for `additional` bytes without leaving a copy of the old content behind.
    fn make_room(&mut self, additional: usize) {
        if self.out.capacity() - self.out.len() >= additional {
            return;
        }
        let wanted = self.out.len().saturating_add(additional);
        let mut grown = Vec::with_capacity(wanted.max(2 * self.out.capacity()).max(64));
        grown.extend_from_slice(self.out);
        drop(Zeroizing::new(mem::replace(self.out, grown)));
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::Writer;

    #[test]
    fn patches_the_length_of_nested_content() {
        let mut out = vec![0xFF];
        Writer::new(&mut out).message(b'p', |body| {
            body.cstr(b"SCRAM-SHA-256");
            body.u32(2);
            body.bytes(b"n,");
        });
        assert_eq!(out, b"\xFFp\0\0\0\x18SCRAM-SHA-256\0\0\0\0\x02n,");
    }

    #[test]
    fn writes_integers_of_variable_width_as_the_reader_reads_them() {
        for value in [0, 0xFA, 0xFB, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0xFF_FFFF, 0x100_0000, 0xFFFF_FFFF_FFFF] {
            let mut out = Vec::new();
            Writer::new(&mut out).lenenc(value);
            let mut reader = crate::wire::Reader::new(&out);
            assert_eq!(reader.lenenc("value"), Ok(value as u64));
            assert_eq!(reader.end("end"), Ok(()), "{value} in {out:?}");
        }
    }

    #[test]
    fn patches_the_length_of_a_numbered_packet() {
        let mut out = vec![0xFF];
        Writer::new(&mut out).numbered_packet(3, |body| body.cstr(&[b'x'; 256]));
        assert_eq!((&out[..5], out.len()), (&b"\xFF\x01\x01\0\x03"[..], 5 + 257));
    }

    #[test]
    fn grows_by_doubling() {
        let mut out = Vec::new();
        let mut moves = 0;
        let mut place = out.as_ptr();
        for _ in 0..10_000 {
            Writer::new(&mut out).u8(7);
            if out.as_ptr() != place {
                (place, moves) = (out.as_ptr(), moves + 1);
            }
        }
        assert_eq!(out, [7; 10_000]);
        assert!(moves <= 9, "64, 128, … 16384");
    }
}
