//! A cursor over bytes of a peer.
//!
//! Every access is checked, and a failure names what was missing.

/// What a reader was asked for and did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) &'static str);

/// Reads from the front of a slice. Integers are big-endian unless the name says otherwise.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes. `len` may be anything: a peer may have chosen it.
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Missing> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Missing(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Missing> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Missing(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Missing> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Missing> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u16_le(&mut self, what: &'static str) -> Result<u16, Missing> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32_le(&mut self, what: &'static str) -> Result<u32, Missing> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// An integer of MySQL's variable width ("Protocol::LengthEncodedInteger").
    pub(crate) fn lenenc(&mut self, what: &'static str) -> Result<u64, Missing> {
        match self.u8(what)? {
            width @ 0..=0xFA => Ok(u64::from(width)),
            0xFC => self.u16_le(what).map(u64::from),
            0xFD => self.array(what).map(|[a, b, c]: [u8; 3]| u64::from(u32::from_le_bytes([a, b, c, 0]))),
            0xFE => self.array(what).map(u64::from_le_bytes),
            0xFB | 0xFF => Err(Missing(what)),
        }
    }

    /// Bytes behind their length, which is such an integer.
    pub(crate) fn lenenc_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Missing> {
        let len = self.lenenc(what)?;
        self.take(usize::try_from(len).map_err(|_| Missing(what))?, what)
    }

    /// The bytes up to the next NUL, or up to the end if there is none.
    pub(crate) fn cstr_or_rest(&mut self) -> &'a [u8] {
        match self.cstr("") {
            Ok(text) => text,
            Err(_) => core::mem::take(&mut self.rest),
        }
    }

    /// The bytes up to the next NUL, which is consumed.
    pub(crate) fn cstr(&mut self, what: &'static str) -> Result<&'a [u8], Missing> {
        let len = self.rest.iter().position(|&byte| byte == 0).ok_or(Missing(what))?;
        let text = self.take(len, what)?;
        self.take(1, what)?;
        Ok(text)
    }

    /// Everything that is left.
    pub(crate) fn remainder(self) -> &'a [u8] {
        self.rest
    }

    /// Insists that nothing is left.
    pub(crate) fn end(self, what: &'static str) -> Result<(), Missing> {
        if self.rest.is_empty() { Ok(()) } else { Err(Missing(what)) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Missing, Reader};

    #[test]
    fn reads_what_is_there_and_names_what_is_not() {
        let mut reader = Reader::new(b"\x01\x02\x03\x04\x05\x06\x07abc\0x");
        assert_eq!(reader.u8("byte"), Ok(1));
        assert_eq!(reader.array("word"), Ok([2, 3]));
        assert_eq!(reader.u32("long"), Ok(0x0405_0607));
        assert_eq!(reader.cstr("name"), Ok(&b"abc"[..]));
        assert_eq!(reader.u32("long"), Err(Missing("long")));
        assert_eq!(reader.cstr("name"), Err(Missing("name")));
        assert_eq!(reader.take(usize::MAX, "body"), Err(Missing("body")));
        assert_eq!(reader.take(1, "body"), Ok(&b"x"[..]), "a failure takes nothing");
        assert_eq!(reader.end("end"), Ok(()));
    }

    #[test]
    fn reads_integers_of_variable_width() {
        let mut reader =
            Reader::new(b"\xFA\xFC\x01\x02\xFD\x01\x02\x03\xFE\x08\0\0\0\0\0\0\x80\x02hi\xFF\xFB\x03hi");
        assert_eq!(reader.lenenc("small"), Ok(0xFA));
        assert_eq!(reader.lenenc("two"), Ok(0x0201));
        assert_eq!(reader.lenenc("three"), Ok(0x03_0201));
        assert_eq!(reader.lenenc("eight"), Ok(0x8000_0000_0000_0008));
        assert_eq!(reader.lenenc_bytes("text"), Ok(&b"hi"[..]));
        assert_eq!(reader.lenenc("none"), Err(Missing("none")));
        assert_eq!(reader.lenenc("null"), Err(Missing("null")));
        assert_eq!(reader.lenenc_bytes("short"), Err(Missing("short")));
        assert_eq!(reader.cstr_or_rest(), b"hi");
        assert_eq!(reader.cstr_or_rest(), b"");
    }

    #[test]
    fn the_end_is_refused_while_something_is_left() {
        assert_eq!(Reader::new(b"x").end("the end"), Err(Missing("the end")));
    }
}
