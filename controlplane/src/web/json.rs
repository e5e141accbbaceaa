//! A store's JSON, read where it lies.
//!
//! Owns the way from an answer to one field's bytes: whatever is not asked for is skipped and never copied, and what is
//! lies in wiped memory. Numbers are their digits as the store sent them. Knows nothing of what the fields mean.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// A value within an answer: text that is known to be JSON.
#[derive(Clone, Copy)]
pub(crate) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// `bytes` as one value; `None` if they are anything else.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
        Some(Self(raw.get()))
    }

    /// The member of this name; `None` if there is none, or this is no object.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        let mut found = None;
        if self.is_object() {
            // The last of a name counts, as for Go.
            self.each_member(|key, value| {
                if key == name {
                    found = Some(value);
                }
            });
        }
        found
    }

    /// The member at the end of a path of names. The last one may itself have dots.
    pub(crate) fn descend(self, names: &str) -> Option<Self> {
        if let Some((first, rest)) = names.split_once('.')
            && let Some(found) = self.member(first).and_then(|member| member.descend(rest))
        {
            return Some(found);
        }
        self.member(names)
    }

    /// A text's bytes, a number's digits, or a boolean's word; `Err` with what it is instead.
    pub(crate) fn bytes(self) -> Result<Zeroizing<Vec<u8>>, NoValue> {
        match self.0.as_bytes().first() {
            Some(b'"') => Ok(unescaped(self.0)),
            Some(b'{') => Err(NoValue::Object),
            Some(b'[') => Err(NoValue::List),
            Some(b'n') | None => Err(NoValue::Null),
            Some(_) => Ok(Zeroizing::new(self.0.as_bytes().to_vec())),
        }
    }

    /// A text that is no secret.
    pub(crate) fn text(self) -> Option<String> {
        let bytes = self.0.starts_with('"').then(|| unescaped(self.0))?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// A number without a sign or a fraction.
    pub(crate) fn number(self) -> Option<u64> {
        self.0.parse().ok()
    }

    pub(crate) fn is_true(self) -> bool {
        self.0 == "true"
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// The first `count` elements, if this is a list.
    pub(crate) fn elements(self, count: usize) -> Vec<Self> {
        let Ok(Elements(all)) = serde_json::from_str(self.0) else { return Vec::new() };
        all.into_iter().take(count).map(|raw| Self(raw.get())).collect()
    }

    /// The element at this place, if this is a list that has one.
    pub(crate) fn element(self, index: usize) -> Option<Self> {
        let Elements(all) = serde_json::from_str(self.0).ok()?;
        all.get(index).map(|raw| Self(raw.get()))
    }

    fn each_member(self, see: impl FnMut(&str, Self)) {
        let mut deserializer = serde_json::Deserializer::from_str(self.0);
        // It was whole when it was parsed.
        let _ = deserializer.deserialize_map(Members(see));
    }
}

/// What JSON is that is no value of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoValue {
    Object,
    List,
    Null,
}

/// Shows an object's members to a function.
struct Members<F>(F);

impl<'de, F: FnMut(&str, Json<'de>)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            (self.0)(&name, Json(value.get()));
        }
        Ok(())
    }
}

struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Letters;
        impl<'de> Visitor<'de> for Letters {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Letters)
    }
}

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// What a string of JSON means. It is never longer than what is written, so its memory does not grow.
fn unescaped(quoted: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(quoted.len()));
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or_default();
        let mut length = 2;
        match escape {
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'u' => {
                let (letter, used) = unicode(&rest[at..]);
                length = used;
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            literal => bytes.push(literal),
        }
        rest = rest.get(at + length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The letter that `text` begins with, written as `\u` and four hexadecimal digits or as a pair of these, and how long that is. Half a pair is
/// U+FFFD, as for Go.
fn unicode(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let hex = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(hex, 16).ok()
    };
    let first = unit(0).unwrap_or(0xFFFD);
    if let (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) = (first, unit(6)) {
        let letter = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        return (char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, names: &str) -> Option<Result<Vec<u8>, NoValue>> {
        let json = Json::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is JSON"));
        Some(json.descend(names)?.bytes().map(|bytes| bytes.to_vec()))
    }

    fn good(text: &str, names: &str) -> String {
        let bytes = value(text, names).unwrap_or_else(|| panic!("no {names}")).expect("a value");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn finds_fields_however_deep_and_however_named() {
        let text = r#"{"a": {"b": {"c": "1"}, "b.c": "2", "d.e": "3"}, "x": "old", "x": "new"}"#;
        assert_eq!(good(text, "a.b.c"), "1");
        assert_eq!(good(text, "a.d.e"), "3", "the last name may have dots where nothing else is meant");
        assert_eq!(good(text, "x"), "new");
        assert_eq!(value(text, "a.x"), None);
        assert_eq!(value(text, "x.y"), None);
        assert_eq!(value(text, ""), None);
    }

    #[test]
    fn numbers_and_booleans_are_text_and_keep_every_digit() {
        let text = r#"{"n": 12345678901234567890123, "f": 1.50, "b": false, "z": null, "o": {}, "l": [1]}"#;
        assert_eq!(good(text, "n"), "12345678901234567890123");
        assert_eq!(good(text, "f"), "1.50");
        assert_eq!(good(text, "b"), "false");
        assert_eq!(value(text, "z"), Some(Err(NoValue::Null)));
        assert_eq!(value(text, "o"), Some(Err(NoValue::Object)));
        assert_eq!(value(text, "l"), Some(Err(NoValue::List)));
    }

    #[test]
    fn escapes_mean_what_they_mean() {
        // Expected values: RFC 8259, section 7; the last three as Go's encoding/json reads them.
        for (written, meant) in [
            (r#""plain ü""#, "plain ü"),
            (r#""a\"b\\c\/d""#, "a\"b\\c/d"),
            (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
            (r#""\u003c\u0026\u003e""#, "<&>"),
            (r#""\uD834\uDD1E!""#, "\u{1D11E}!"),
            (r#""\uD834x""#, "\u{FFFD}x"),
            (r#""\uDD1E\uD834""#, "\u{FFFD}\u{FFFD}"),
            (r#""\uD834\uD834\uDD1E""#, "\u{FFFD}\u{1D11E}"),
        ] {
            assert_eq!(good(&format!("{{\"v\": {written}}}"), "v"), meant, "{written}");
        }
        assert_eq!(good(r#"{"\u0061": "1"}"#, "a"), "1");
    }

    #[test]
    fn refuses_what_is_no_json_and_survives_depth() {
        for hostile in [&b""[..], b"{", b"<html>", b"{}x", b"\"\xff\"", b"{\"a\":}"] {
            assert!(Json::parse(hostile).is_none());
        }
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        let _ = Json::parse(deep.as_bytes()).map(|json| json.elements(1).len());
    }
}
