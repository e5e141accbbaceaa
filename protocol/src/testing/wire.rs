//! Bytes as people read them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// What can be written for bytes in a transcript: [`wire`]'s notation, or bytes.
pub trait Wire {
    /// The bytes.
    fn into_bytes(self) -> Vec<u8>;
}

impl Wire for &str {
    fn into_bytes(self) -> Vec<u8> {
        wire(self)
    }
}

impl Wire for Vec<u8> {
    fn into_bytes(self) -> Vec<u8> {
        self
    }
}

/// Bytes from hexadecimal digits and `'text'`, with blanks and `|` as borders between fields:
/// `'R' | 00000008 | 00000000`.
pub fn wire(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        // Every second part is inside quotes.
        if at % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '|')
            .map(|c| c.to_digit(16).and_then(|digit| digit.try_into().ok()))
            .map(|digit| digit.expect("a transcript holds hexadecimal digits, quoted text and borders"))
            .collect();
        let (pairs, odd) = digits.as_chunks::<2>();
        assert!(odd.is_empty(), "half a byte in {text}");
        bytes.extend(pairs.iter().map(|[high, low]| high << 4 | low));
    }
    bytes
}

/// The other way, with text where it is text.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut quoted = false;
    for &byte in bytes {
        let is_text = byte.is_ascii_graphic() && byte != b'\'' || byte == b' ';
        if is_text != quoted {
            text.push('\'');
            quoted = is_text;
        }
        if is_text {
            text.push(char::from(byte));
        } else {
            write!(text, "{byte:02X}").expect("a string takes all");
        }
    }
    if quoted {
        text.push('\'');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{hex, wire};

    #[test]
    fn reads_hexadecimal_digits_and_quoted_text() {
        assert_eq!(wire("'R' | 00000008 | 0000000a"), b"R\0\0\0\x08\0\0\0\x0A");
        assert_eq!(wire("''"), b"");
        assert_eq!(wire("'a b' 00 'C'"), b"a b\0C");
    }

    #[test]
    fn shows_what_it_reads() {
        for bytes in [&b"R\0\0\0\x08"[..], b"", b"it's", b"\xFFtext"] {
            assert_eq!(wire(&hex(bytes)), bytes);
        }
    }
}
