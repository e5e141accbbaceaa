//! Typed values of our own keys: durations, counts, booleans, words.
//!
//! Owns how each is written and what an error about it says. Knows no key.

use std::time::Duration;

use super::section::{Field, Reader, Section};
use super::yaml::Scalar;
use crate::diagnostics::quoted;

/// What `off` and the like stand for in a setting that can be without a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// `off`
    Off,
    /// A duration.
    After(Duration),
}

impl<'d> Reader<'d> {
    /// A boolean in any of YAML 1.1's spellings.
    pub(super) fn boolean(&mut self, field: &Field<'d>) -> Option<bool> {
        const EXPECTED: &str = "`true` or `false`";
        const HELP: &str = "write `true` or `false`";
        let found = self.text(field, EXPECTED, HELP)?;
        let value = self.scalar(field).and_then(Scalar::boolean);
        if value.is_none() {
            self.unexpected(field, EXPECTED, found, HELP);
        }
        value
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count(&mut self, field: &Field<'d>, max: u32) -> Option<u32> {
        let expected = format!("a whole number from 1 to {max}");
        let help = "write it in digits, without a unit";
        let found = self.text(field, &expected, help)?;
        let value = found.replace('_', "").parse().ok().filter(|value| (1..=max).contains(value));
        if value.is_none() {
            self.unexpected(field, &expected, found, help);
        }
        value
    }

    /// A duration, which may be nothing at all.
    pub(super) fn duration_or_zero(&mut self, field: &Field<'d>) -> Option<Duration> {
        let found = self.text(field, DURATION, DURATION_OR_ZERO_HELP)?;
        let value = parse_duration(found);
        if value.is_none() {
            self.unexpected(field, DURATION, found, DURATION_OR_ZERO_HELP);
        }
        value
    }

    /// A duration of more than nothing.
    pub(super) fn duration(&mut self, field: &Field<'d>) -> Option<Duration> {
        let found = self.text(field, DURATION_ABOVE_ZERO, DURATION_HELP)?;
        let value = parse_duration(found).filter(|duration| !duration.is_zero());
        if value.is_none() {
            self.unexpected(field, DURATION_ABOVE_ZERO, found, DURATION_HELP);
        }
        value
    }

    /// A duration of more than nothing, or `off`.
    pub(super) fn duration_or_off(&mut self, field: &Field<'d>) -> Option<Bound> {
        let found = self.text(field, DURATION_OR_OFF, DURATION_HELP)?;
        if self.is_off(field) {
            return Some(Bound::Off);
        }
        let value = parse_duration(found).filter(|duration| !duration.is_zero());
        if value.is_none() {
            self.unexpected(field, DURATION_OR_OFF, found, DURATION_HELP);
        }
        value.map(Bound::After)
    }

    /// Whether `field` says `off`, or another word that YAML 1.1 takes for the same.
    pub(super) fn is_off(&self, field: &Field<'d>) -> bool {
        self.scalar(field).and_then(Scalar::boolean) == Some(false)
    }

    /// An error about a value that may be shown.
    pub(super) fn unexpected(&mut self, field: &Field<'_>, expected: &str, found: &str, help: &str) {
        let message = if found.is_empty() {
            format!("cannot be blank: expected {expected}")
        } else {
            format!("expected {expected}, found {}", self.shown(field, found))
        };
        self.error(field.place, &field.path, message, help);
    }

    /// `found`, which `field` says, as an error may show it: what comes from variables may be anything, so those are named.
    pub(super) fn shown(&self, field: &Field<'_>, found: &str) -> String {
        match self.variables(field) {
            [] => quoted(found),
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("`${{{name}}}`")).collect();
                format!("what {} says", names.join(" and "))
            }
        }
    }

    /// The variables whose values are in `field`.
    pub(super) fn variables(&self, field: &Field<'_>) -> &[String] {
        self.scalar(field).map(Scalar::variables).unwrap_or_default()
    }
}

/// Reads a value that is one of a few words.
pub(super) fn read_word<'d, T: Copy + Default>(
    reader: &mut Reader<'d>,
    section: &Section<'d>,
    key: &'static str,
    words: &[(&str, T)],
    help: &str,
) -> T {
    let Some(field) = section.take(reader, key) else { return T::default() };
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let expected = match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    let Some(found) = reader.text(&field, &expected, help) else { return T::default() };
    match words.iter().find(|(word, _)| *word == found) {
        Some((_, value)) => *value,
        None => {
            reader.unexpected(&field, &expected, found, help);
            T::default()
        }
    }
}

/// A duration as Go writes it, or plain seconds: `10s`, `500ms`, `1m30s`, `1.5h`, `10`. At most a year.
fn parse_duration(text: &str) -> Option<Duration> {
    if text.len() > DURATION_BYTES_MAX {
        return None;
    }
    let mut rest = text;
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        // Only a number on its own goes without a unit.
        let unit_ns = match unit {
            "" if rest.len() == text.len() && after.is_empty() => 1_000_000_000,
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        let piece_ns = whole.checked_mul(unit_ns)?.checked_add(fraction.checked_mul(unit_ns)? / scale)?;
        total_ns = total_ns.checked_add(piece_ns)?;
        rest = after;
    }
    let duration = Duration::from_nanos(u64::try_from(total_ns).ok()?);
    (!text.is_empty() && duration <= DURATION_MAX).then_some(duration)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

const DURATION: &str = "a duration";
const DURATION_ABOVE_ZERO: &str = "a duration above zero";
const DURATION_OR_OFF: &str = "a duration above zero, or `off`";
const DURATION_HELP: &str = "write it like `10s`, `500ms` or `1m30s`; a plain number is seconds";
const DURATION_OR_ZERO_HELP: &str =
    "write it like `10s`, `500ms` or `1m30s`; a plain number is seconds, and `0` is not at all";
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
const DURATION_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go_or_as_plain_seconds() {
        for (text, ms) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("10", 10_000),
            ("1.5", 1_500),
            (".5s", 500),
            ("2.s", 2_000),
            ("1h0m1s", 3_601_000),
            ("0", 0),
            ("8760h", 365 * 24 * 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse_duration("1us"), Some(Duration::from_micros(1)));
        assert_eq!(parse_duration("3µs2ns"), Some(Duration::from_nanos(3002)));
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "",
            "s",
            "10x",
            "10 s",
            "-1s",
            "+1s",
            "1m30",
            "30 1m",
            ".",
            ".s",
            "1e3",
            "off",
            "9000h",
            "1d",
            "10S",
            "99999999999999999999999999999999999999999h",
            "0x10",
            "1_0",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
