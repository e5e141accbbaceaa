//! What is sealed: a counter and named values, as lines of text.
//!
//! Owns the format, its bounds and what a name may be. Knows nothing of encryption and files. A person who has opened
//! the vault by other means reads it, so it is written for one; `docs/providers/local.md` has it in full.
//!
//! ```text
//! secretless-vault/1
//! counter 1796083200
//! shop-password 2026-12-01T00:00:00Z aHVudGVyMg==
//! ```

use std::collections::BTreeMap;
use std::fmt;

use base64ct::{Base64, Encoding};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

/// Everything in a vault.
pub(super) struct Contents {
    /// Grows with each version, so that an older one is told from a newer.
    pub(super) counter: u64,
    /// By name.
    pub(super) entries: BTreeMap<String, Entry>,
}

/// One value.
pub(super) struct Entry {
    /// When it was set: whole seconds, in UTC.
    pub(super) set_at: OffsetDateTime,
    /// Any bytes, at least one.
    pub(super) value: Zeroizing<Vec<u8>>,
}

/// Why a text is not a vault's. None of these words holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentsError {
    /// It begins otherwise.
    Unknown,
    /// It is of a newer form.
    Newer,
    /// The second line is no counter.
    Counter,
    /// The last line has no end.
    Cut,
    /// This line is not a name, a time and a value.
    Line(usize),
    /// The name in this line does not come behind the one before it.
    Order(usize),
    /// There are more than [`ENTRIES_MAX`].
    TooMany,
}

impl fmt::Display for ContentsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("what is sealed in it is not a list of secrets"),
            Self::Newer => f.write_str("it was written by a newer version of this program"),
            Self::Counter => f.write_str("line 2 is not a counter"),
            Self::Cut => f.write_str("its last line has no end"),
            Self::Line(line) => write!(f, "line {line} is not a name, a time and a value in base64"),
            Self::Order(line) => write!(f, "the name in line {line} is out of order"),
            Self::TooMany => write!(f, "it has more than {ENTRIES_MAX} secrets"),
        }
    }
}

impl Contents {
    /// Nothing yet.
    ///
    /// The counter begins with the time: a vault that is made anew in the place of a lost one is not taken for an older
    /// version of that one.
    pub(super) fn new(now: OffsetDateTime) -> Self {
        Self { counter: u64::try_from(now.unix_timestamp()).unwrap_or(0), entries: BTreeMap::new() }
    }

    /// Reads what [`Contents::to_text`] writes, and nothing else.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ContentsError> {
        let rest = text.strip_prefix(FORMAT).ok_or(ContentsError::Unknown)?;
        let mut lines = rest.strip_suffix(b"\n").ok_or(ContentsError::Cut)?.split(|byte| *byte == b'\n');
        if lines.next() != Some(VERSION) {
            return Err(ContentsError::Newer);
        }
        let counter = lines.next().and_then(counter_of).ok_or(ContentsError::Counter)?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (index, line) in lines.enumerate() {
            let number = index + 3;
            if index == ENTRIES_MAX {
                return Err(ContentsError::TooMany);
            }
            let (name, entry) = entry_of(line).ok_or(ContentsError::Line(number))?;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(ContentsError::Order(number));
            }
            entries.insert(name, entry);
        }
        Ok(Self { counter, entries })
    }

    /// The text, in one piece of memory that is wiped.
    pub(super) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let line = |(name, entry): (&String, &Entry)| name.len() + TIME_BYTES + value_bytes(entry) + 3;
        let bytes = HEAD_BYTES_MAX + self.entries.iter().map(line).sum::<usize>();
        // Growing would leave a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(bytes));
        for piece in [FORMAT, VERSION, b"\n", COUNTER, self.counter.to_string().as_bytes(), b"\n"] {
            text.extend_from_slice(piece);
        }
        for (name, entry) in &self.entries {
            for piece in [name.as_bytes(), b" ", written(entry.set_at).as_bytes(), b" "] {
                text.extend_from_slice(piece);
            }
            let start = text.len();
            text.resize(start + value_bytes(entry), 0);
            Base64::encode(&entry.value, &mut text[start..]).expect("the place has the size of the value");
            text.push(b'\n');
        }
        text
    }
}

/// Checks what a secret may be called; the words of a refusal go to whoever wrote it. They do not repeat it: it may be a value.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let words = match name.as_bytes() {
        [] => "the name of a secret is empty".to_owned(),
        bytes if bytes.len() > NAME_BYTES_MAX => {
            format!("the name of a secret has more than {NAME_BYTES_MAX} characters")
        }
        [first, ..] if !first.is_ascii_alphanumeric() => {
            "the name of a secret begins with a letter or a digit".to_owned()
        }
        bytes if !bytes.iter().copied().all(is_good) => {
            "the name of a secret is made of letters, digits and - _ . / alone".to_owned()
        }
        _ => return Ok(()),
    };
    Err(words)
}

/// The time as it stands in the file.
pub(super) fn written(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// The time, without what the file does not keep of it.
pub(super) fn in_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

fn counter_of(line: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(line.strip_prefix(COUNTER)?).ok()?;
    let counter: u64 = digits.parse().ok()?;
    // No sign, no zeros in front.
    (counter.to_string() == digits).then_some(counter)
}

fn entry_of(line: &[u8]) -> Option<(String, Entry)> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let mut word = || words.next();
    let name = std::str::from_utf8(word()?).ok().filter(|name| check_name(name).is_ok())?;
    let time = std::str::from_utf8(word()?).ok()?;
    let set_at = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    if !set_at.offset().is_utc() || set_at != in_seconds(set_at) || written(set_at) != time {
        return None;
    }
    let base64 = word()?;
    if base64.is_empty() || base64.len() > Base64::encoded_len(&[0; VALUE_BYTES_MAX]) {
        return None;
    }
    // Whole groups; padding makes it too long by two bytes at most.
    let mut value = Zeroizing::new(vec![0; base64.len().div_ceil(4) * 3]);
    let bytes = Base64::decode(base64, &mut value).ok()?.len();
    value.truncate(bytes);
    (bytes <= VALUE_BYTES_MAX).then(|| (name.to_owned(), Entry { set_at, value }))
}

fn value_bytes(entry: &Entry) -> usize {
    Base64::encoded_len(&entry.value)
}

const FORMAT: &[u8] = b"secretless-vault/";

const VERSION: &[u8] = b"1";

const COUNTER: &[u8] = b"counter ";

/// `2026-12-01T00:00:00Z`
const TIME_BYTES: usize = 20;

/// The first two lines.
const HEAD_BYTES_MAX: usize = 64;

/// Long enough for a path of a few words, and short enough for a line of a log.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// A password has tens of bytes, and a chain of certificates thousands.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A vault of a person is tens, and one of a machine hundreds.
pub(super) const ENTRIES_MAX: usize = 1000;

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
