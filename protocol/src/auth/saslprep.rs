//! SASLprep (RFC 4013) as PostgreSQL applies it to passwords.
//!
//! Owns the preparation. Written out here rather than taken from a library because a library leaves pieces of the
//! password behind in memory that it frees.

use alloc::string::String;
use core::str;

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Shows the prepared password to `read`, or the password as it is where it is not UTF-8 or holds what RFC 4013
/// prohibits: PostgreSQL stores and checks such passwords raw (documentation, "SASL Authentication").
pub(super) fn with_prepared<R>(password: &[u8], read: impl FnOnce(&[u8]) -> R) -> R {
    match str::from_utf8(password) {
        // ASCII is not changed, and one with control characters is used raw, which is the same.
        Ok(text) if !text.is_ascii() => match prepare(text) {
            Some(prepared) => read(prepared.as_bytes()),
            None => read(password),
        },
        _ => read(password),
    }
}

/// RFC 4013 section 2. `None` where the text is prohibited or nothing of it remains.
fn prepare(text: &str) -> Option<Zeroizing<String>> {
    // 2.1 Mapping, 2.2 Normalization. The length is counted first: a string that grows leaves copies behind.
    let normalized = || {
        text.chars()
            .map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c })
            .filter(|&c| !tables::commonly_mapped_to_nothing(c))
            .nfkc()
    };
    let len = normalized().map(char::len_utf8).sum();
    let mut prepared = Zeroizing::new(String::with_capacity(len));
    prepared.extend(normalized());

    // 2.3 Prohibited Output, 2.5 Unassigned Code Points
    let prohibited = |c| {
        tables::non_ascii_space_character(c)
            || tables::ascii_control_character(c)
            || tables::non_ascii_control_character(c)
            || tables::private_use(c)
            || tables::non_character_code_point(c)
            || tables::surrogate_code(c)
            || tables::inappropriate_for_plain_text(c)
            || tables::inappropriate_for_canonical_representation(c)
            || tables::change_display_properties_or_deprecated(c)
            || tables::tagging_character(c)
            || tables::unassigned_code_point(c)
    };
    // PostgreSQL does not allow a password to become empty either.
    let (first, last) = (prepared.chars().next()?, prepared.chars().next_back()?);
    if prepared.chars().any(prohibited) {
        return None;
    }

    // 2.4 Bidirectional Characters
    if prepared.chars().any(tables::bidi_r_or_al) {
        let mixed = prepared.chars().any(tables::bidi_l);
        if mixed || !tables::bidi_r_or_al(first) || !tables::bidi_r_or_al(last) {
            return None;
        }
    }
    Some(prepared)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::with_prepared;

    fn prepared(password: &[u8]) -> Vec<u8> {
        with_prepared(password, <[u8]>::to_vec)
    }

    #[test]
    fn prepares_the_examples_of_rfc_4013_section_3() {
        assert_eq!(prepared("I\u{AD}X".as_bytes()), b"IX", "soft hyphen is mapped to nothing");
        assert_eq!(prepared(b"user"), b"user");
        assert_eq!(prepared(b"USER"), b"USER", "case is preserved");
        assert_eq!(prepared("\u{AA}".as_bytes()), b"a", "NFKC");
        assert_eq!(prepared("\u{2168}".as_bytes()), b"IX", "NFKC");
        assert_eq!(prepared("\u{7}".as_bytes()), b"\x07", "prohibited: raw");
        assert_eq!(prepared("\u{627}\u{31}".as_bytes()), "\u{627}\u{31}".as_bytes(), "bidirectional: raw");
    }

    #[test]
    fn takes_raw_bytes_where_postgresql_does() {
        assert_eq!(prepared(b"caf\xE9"), b"caf\xE9", "not UTF-8");
        assert_eq!(prepared("\u{AD}".as_bytes()), "\u{AD}".as_bytes(), "nothing would be left");
        assert_eq!(prepared("\u{AA}\u{E000}".as_bytes()), "\u{AA}\u{E000}".as_bytes(), "private use");
        assert_eq!(
            prepared("\u{AA}\u{221}".as_bytes()),
            "\u{AA}\u{221}".as_bytes(),
            "unassigned in Unicode 3.2"
        );
    }

    #[test]
    fn a_space_that_is_also_mapped_to_nothing_is_a_space() {
        // U+200B is in RFC 3454's tables B.1 and C.1.2; PostgreSQL looks at the spaces first.
        assert_eq!(prepared("a\u{200B}b\u{3000}c".as_bytes()), b"a b c");
    }

    #[test]
    fn agrees_with_the_stringprep_crate() {
        // A walk through all planes, each character between two letters and after a combining mark.
        for start in (0..0x11_0000_u32).step_by(7) {
            let Some(c) = char::from_u32(start) else { continue };
            let text = alloc::format!("\u{E9}{c}e\u{301}{c}z");
            let expected =
                stringprep::saslprep(&text).map_or_else(|_| text.clone(), alloc::borrow::Cow::into_owned);
            assert_eq!(prepared(text.as_bytes()), expected.as_bytes(), "U+{start:04X}");
        }
    }
}
