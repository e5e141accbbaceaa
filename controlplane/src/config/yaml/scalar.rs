//! What a scalar means: yaml.v2's resolution, which is YAML 1.1 with exceptions.
//!
//! Owns the rendering of a credential's value. The Go broker decodes a scalar, writes it as YAML again and reads
//! that as text, so `0123` becomes `83` and `yes` becomes `true`. Files depend on it. The truth table in
//! `testdata/scalars.tsv` was obtained from yaml.v2 itself.

use std::fmt::Write;
use std::str;

use base64ct::{Base64, Encoding};
use saphyr_parser::{ScalarStyle, Tag};
use zeroize::Zeroizing;

/// A scalar as the file has it.
pub(in crate::config) struct Scalar<'a> {
    text: Text<'a>,
    plain: bool,
    tag: Kind,
    /// What the text was made of, besides what the file has.
    variables: Box<[String]>,
}

/// The file's own bytes where they need no work; else a copy, which is wiped.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Zeroizing<String>),
}

/// The tag, as far as yaml.v2 minds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// None: plain text is looked at, quoted text is text.
    Untagged,
    /// `!!str`, or a tag that yaml.v2 does not know: text.
    Text,
    Binary,
    Null,
    Bool,
    Int,
    Float,
}

/// What a plain scalar turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    /// Within `i64` or `u64`.
    Int(i128),
    Float(f64),
    Text,
}

/// The text is not what its tag says. It may be a secret, so the fault does not hold it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct TagFault;

impl<'a> Scalar<'a> {
    pub(super) fn new(text: Text<'a>, style: ScalarStyle, tag: Option<&Tag>) -> Self {
        let tag = tag.map_or(Kind::Untagged, Kind::of);
        Self { text, plain: style == ScalarStyle::Plain, tag, variables: Box::default() }
    }

    /// The scalar with another text, which is taken as if it were in quotes.
    pub(super) fn with_text<'b>(&self, text: Zeroizing<String>, variables: Vec<String>) -> Scalar<'b> {
        Scalar { text: Text::Owned(text), plain: false, tag: self.tag, variables: variables.into() }
    }

    /// The variables of the environment whose values are in the text.
    pub(in crate::config) fn variables(&self) -> &[String] {
        &self.variables
    }

    /// What yaml.v2 gives for a field of type string: the text as written, or nothing for a null.
    pub(in crate::config) fn word(&self) -> &str {
        if self.is_null() { "" } else { self.text() }
    }

    /// Whether the value that came of it is another text, and nobody asked for that.
    pub(in crate::config) fn is_rewritten(&self, rendered: &[u8]) -> bool {
        self.plain && self.tag == Kind::Untagged && !rendered.is_empty() && self.text().as_bytes() != rendered
    }

    /// The text as written, whatever it means.
    pub(in crate::config) fn text(&self) -> &str {
        match &self.text {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }

    /// Whether it is written without quotes or a block.
    pub(in crate::config) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether nothing is written there at all: the place of such a scalar says little.
    pub(in crate::config) fn is_absent(&self) -> bool {
        self.plain && self.text().is_empty()
    }

    /// Whether it is `null`, `~` or nothing.
    pub(in crate::config) fn is_null(&self) -> bool {
        self.value() == Ok(Value::Null)
    }

    /// Whether it is the merge key `<<`.
    pub(super) fn is_merge(&self) -> bool {
        self.plain && self.tag == Kind::Untagged && self.text() == "<<"
    }

    /// The boolean, if it is one of YAML 1.1's words for it, quoted or not.
    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        match word_value(self.text()) {
            Some(Value::Bool(value)) => Some(value),
            _ => None,
        }
    }

    /// The value that the Go broker would have made of it.
    pub(in crate::config) fn render(&self) -> Result<Zeroizing<Vec<u8>>, TagFault> {
        if self.tag == Kind::Binary {
            return decode_base64(self.text());
        }
        // Longer than every number, so that none is left behind in memory that was too small.
        let mut text = Zeroizing::new(String::with_capacity(64));
        match self.value()? {
            Value::Null => {}
            Value::Bool(value) => text.push_str(if value { "true" } else { "false" }),
            Value::Int(value) => write!(text, "{value}").expect("a String takes all text"),
            Value::Float(value) => write_float(&mut text, value),
            Value::Text => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(self.text().len()));
                bytes.extend_from_slice(self.text().as_bytes());
                return Ok(bytes);
            }
        }
        Ok(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
    }

    fn value(&self) -> Result<Value, TagFault> {
        if self.tag == Kind::Untagged && !self.plain {
            return Ok(Value::Text);
        }
        match (self.tag, resolve(self.text())) {
            (Kind::Text | Kind::Binary, _) => Ok(Value::Text),
            (Kind::Untagged, value)
            | (Kind::Null, value @ Value::Null)
            | (Kind::Bool, value @ Value::Bool(_))
            | (Kind::Int, value @ Value::Int(_))
            | (Kind::Float, value @ Value::Float(_)) => Ok(value),
            (Kind::Float, Value::Int(value)) => i64::try_from(value).map(float_of).map_err(|_| TagFault),
            _ => Err(TagFault),
        }
    }
}

impl Kind {
    fn of(tag: &Tag) -> Self {
        let name = match tag.handle.as_str() {
            "tag:yaml.org,2002:" => tag.suffix.as_str(),
            // `!<tag:yaml.org,2002:int>`
            "" => tag.suffix.strip_prefix("tag:yaml.org,2002:").unwrap_or_default(),
            _ => "",
        };
        match name {
            "binary" => Self::Binary,
            "null" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            _ => Self::Text,
        }
    }
}

/// What yaml.v2 takes plain text for. Timestamps stay text for it.
fn resolve(text: &str) -> Value {
    if let Some(value) = word_value(text) {
        return value;
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or(Value::Text, Value::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            let mut digits = Zeroizing::new(String::with_capacity(text.len()));
            digits.extend(text.chars().filter(|c| *c != '_'));
            if let Some(value) = integer(&digits) {
                Value::Int(value)
            } else {
                float(&digits).map_or(Value::Text, Value::Float)
            }
        }
        _ => Value::Text,
    }
}

fn word_value(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => return None,
    })
}

/// Go's `ParseInt` and `ParseUint` with base 0: a sign, then `0x`, `0o`, `0b` or a bare `0` for octal.
fn integer(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        // yaml.v2 reads the digits behind a lower-case `0b` a second time, and then with a sign of their own.
        [b'0', b'b', b'+' | b'-', ..] if unsigned.len() == text.len() => {
            return radix(&unsigned[3..], 2)
                .map(|value| if unsigned.as_bytes()[2] == b'-' { -value } else { value })
                .filter(|value| i64::try_from(*value).is_ok());
        }
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    let value = radix(digits, base)? * sign;
    // Only a number without a sign may need the last bit.
    let fits = i64::try_from(value).is_ok() || (unsigned.len() == text.len() && u64::try_from(value).is_ok());
    fits.then_some(value)
}

fn radix(digits: &str, base: u32) -> Option<i128> {
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    i128::from_str_radix(digits, base).ok()
}

/// yaml.v2's `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, and within the range of a double.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|digits| !digits.is_empty() && all_digits(digits));
    if !well_formed {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[expect(clippy::cast_precision_loss, reason = "yaml.v2 rounds too")]
fn float_of(value: i64) -> Value {
    Value::Float(value as f64)
}

/// Go's `FormatFloat(value, 'g', -1, 64)` with YAML's words for what is no number.
fn write_float(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str(".nan");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { ".inf" } else { "-.inf" });
    } else {
        let shortest = Zeroizing::new(format!("{value:e}"));
        let (mantissa, exponent) = shortest.split_once('e').expect("the format has an exponent");
        let exponent: i32 = exponent.parse().expect("the format's exponent is a small number");
        if (-4..6).contains(&exponent) || value == 0.0 {
            write!(text, "{value}").expect("a String takes all text");
        } else {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(text, "{mantissa}e{sign}{:02}", exponent.unsigned_abs()).expect("a String takes all text");
        }
    }
}

/// Go's standard base64: padded, line breaks ignored.
fn decode_base64(text: &str) -> Result<Zeroizing<Vec<u8>>, TagFault> {
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(text.chars().filter(|c| !matches!(c, '\r' | '\n')));
    Base64::decode_vec(&packed).map(Zeroizing::new).map_err(|_| TagFault)
}
