//! `${NAME}` in the values of services that are a list.
//!
//! Owns its form and what is said about it. A value never reaches the syntax of the file: it is put into text that was read
//! before, and is not looked at again. Names are shown, values and what stands around them never. Knows no key.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::Place;
use super::findings::Findings;
use super::system::System;
use super::yaml::{Document, Rewritten};
use crate::diagnostics::Severity;

/// Puts the values of variables into the services of `document`, if they are a list.
pub(super) fn expand(document: &mut Document<'_>, system: &System, findings: &mut Findings) {
    let Some(list) = document.list_at_root("services") else { return };
    let mut expansion = Expansion {
        system,
        findings,
        values: BTreeMap::new(),
        faults: BTreeMap::new(),
        bytes_left: EXPANDED_BYTES_MAX,
    };
    document.rewrite(list, &mut |text, place| expansion.rewrite(text, place));
    expansion.say_faults();
}

/// An expansion under way.
struct Expansion<'a> {
    system: &'a System,
    findings: &'a mut Findings,
    /// Variables that have been asked for, and are something.
    values: BTreeMap<String, Zeroizing<String>>,
    /// Those that give nothing: why, where first, and how often.
    faults: BTreeMap<String, (VariableFault, Place, usize)>,
    bytes_left: usize,
}

/// Why a variable gives nothing.
#[derive(Clone, Copy)]
enum VariableFault {
    NotSet,
    NotText,
}

/// A part of a scalar.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Variable { name: &'t str, fallback: Option<Fallback<'t>> },
}

/// What stands for a variable that is not set.
#[derive(Debug, PartialEq, Eq)]
struct Fallback<'t> {
    text: &'t str,
    /// Whether it stands for an empty one too: `:-`.
    is_for_empty: bool,
}

/// What is no variable and not meant to be text.
#[derive(Debug, PartialEq, Eq)]
enum FormFault {
    NotClosed,
    NoName,
    Operator,
    Braces,
}

impl Expansion<'_> {
    fn rewrite(&mut self, text: &str, place: Place) -> Rewritten {
        if !text.contains('$') {
            return Rewritten::Same;
        }
        let (mut bytes, mut names) = (0, BTreeSet::new());
        match self.walk(text, place, &mut names, &mut |part| bytes += part.len()) {
            Ok(true) => {}
            Ok(false) => return Rewritten::Lost,
            Err(fault) => {
                self.error(place, fault.words(), FORM_HELP);
                return Rewritten::Lost;
            }
        }
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            // Said once: of the rest only variables without a value are noted.
            if std::mem::take(&mut self.bytes_left) > 0 {
                let max = EXPANDED_BYTES_MAX >> 20;
                let message =
                    format!("the services have more than {max} MiB once their variables are expanded");
                self.error(place, &message, "use fewer or shorter variables");
            }
            return Rewritten::Lost;
        };
        self.bytes_left = left;
        // A String that grows would leave parts of a secret behind.
        let mut whole = Zeroizing::new(String::with_capacity(bytes));
        match self.walk(text, place, &mut names, &mut |part| whole.push_str(part)) {
            Ok(true) => Rewritten::Text(whole, names.into_iter().collect()),
            _ => Rewritten::Lost,
        }
    }

    /// Hands out what `text` becomes, part by part. Whether that is all of it: a variable that gives nothing is noted.
    fn walk(
        &mut self,
        text: &str,
        place: Place,
        names: &mut BTreeSet<String>,
        take: &mut dyn FnMut(&str),
    ) -> Result<bool, FormFault> {
        let mut is_whole = true;
        for piece in (Pieces { rest: text }) {
            let (name, fallback) = match piece? {
                Piece::Text(text) => {
                    take(text);
                    continue;
                }
                Piece::Variable { name, fallback } => (name, fallback),
            };
            let found = self.value(name);
            match (found, fallback) {
                (Ok(value), Some(fallback)) if value.is_empty() && fallback.is_for_empty => {
                    fallback.walk(take);
                }
                (Ok(value), _) => {
                    take(value);
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
                (Err(VariableFault::NotSet), Some(fallback)) => fallback.walk(take),
                (Err(fault), _) => {
                    let (_, first, count) = self.faults.entry(name.to_owned()).or_insert((fault, place, 0));
                    *first = place.min(*first);
                    *count += 1;
                    is_whole = false;
                }
            }
        }
        Ok(is_whole)
    }

    fn value(&mut self, name: &str) -> Result<&str, VariableFault> {
        if !self.values.contains_key(name) {
            let mut found = (self.system.variable)(name).ok_or(VariableFault::NotSet)?;
            let text = String::from_utf8(std::mem::take(&mut *found)).map_err(|error| {
                drop(Zeroizing::new(error.into_bytes()));
                VariableFault::NotText
            })?;
            self.values.insert(name.to_owned(), Zeroizing::new(text));
        }
        Ok(&self.values[name])
    }

    fn say_faults(mut self) {
        for (name, (fault, place, count)) in std::mem::take(&mut self.faults) {
            let count = if count > 1 { format!(", and is needed {count} times") } else { String::new() };
            let (what, help) = match fault {
                VariableFault::NotSet => (
                    "is not set",
                    format!("set it where the broker is started, or write a default: `${{{name}:-default}}`"),
                ),
                VariableFault::NotText => ("is no UTF-8", "give it other text".to_owned()),
            };
            self.error(place, &format!("the environment variable `{name}` {what}{count}"), &help);
        }
    }

    fn error(&mut self, place: Place, message: &str, help: &str) {
        self.findings.add(Severity::Error, Some(place), "services", message.to_owned(), help.to_owned());
    }
}

impl Fallback<'_> {
    fn walk(&self, take: &mut dyn FnMut(&str)) {
        for (i, part) in self.text.split("$$").enumerate() {
            if i > 0 {
                take("$");
            }
            take(part);
        }
    }
}

impl FormFault {
    fn words(&self) -> &'static str {
        match self {
            Self::NotClosed => "there is no `}` behind `${`",
            Self::NoName => "expected the name of an environment variable behind `${`",
            Self::Operator => "expected `}`, `:-` or `-` behind the name of a variable",
            Self::Braces => "the default of a variable cannot hold a brace or another variable",
        }
    }
}

/// The parts of a text, until one is wrong.
struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Result<Piece<'t>, FormFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest;
        let Some(behind) = rest.strip_prefix('$') else {
            let (text, rest) = rest.split_at(rest.find('$').unwrap_or(rest.len()));
            self.rest = rest;
            return (!text.is_empty()).then_some(Ok(Piece::Text(text)));
        };
        let Some(inner) = behind.strip_prefix('{') else {
            // Twice it stands for once, and once for itself.
            self.rest = behind.strip_prefix('$').unwrap_or(behind);
            return Some(Ok(Piece::Text("$")));
        };
        let (inner, rest) = inner.split_once('}').unwrap_or((inner, ""));
        let is_closed = behind.len() > inner.len() + 1;
        self.rest = rest;
        Some(if is_closed { variable(inner) } else { Err(FormFault::NotClosed) })
    }
}

/// `NAME`, `NAME:-default` or `NAME-default`. A name is one that every shell can set: POSIX, Base Definitions 3.216.
fn variable(inner: &str) -> Result<Piece<'_>, FormFault> {
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    let (name, behind) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(FormFault::NoName);
    }
    let (text, is_for_empty) = match (behind.strip_prefix(":-"), behind.strip_prefix('-')) {
        _ if behind.is_empty() => return Ok(Piece::Variable { name, fallback: None }),
        (Some(text), _) => (text, true),
        (None, Some(text)) => (text, false),
        (None, None) => return Err(FormFault::Operator),
    };
    if text.contains('{') {
        return Err(FormFault::Braces);
    }
    Ok(Piece::Variable { name, fallback: Some(Fallback { text, is_for_empty }) })
}

const FORM_HELP: &str =
    "write `${NAME}` or `${NAME:-default}`; a `$` before a brace that is only text is written `$$`";

/// As much as a whole file may have.
const EXPANDED_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Result<Vec<Piece<'_>>, FormFault> {
        Pieces { rest: text }.collect()
    }

    fn with_default<'t>(name: &'t str, text: &'t str, is_for_empty: bool) -> Piece<'t> {
        Piece::Variable { name, fallback: Some(Fallback { text, is_for_empty }) }
    }

    #[test]
    fn a_variable_has_a_name_in_braces_and_perhaps_a_default() {
        let plain = |name| Piece::Variable { name, fallback: None };
        for (text, expected) in [
            ("${A}", vec![plain("A")]),
            ("x${_a1}y${B}", vec![Piece::Text("x"), plain("_a1"), Piece::Text("y"), plain("B")]),
            ("${A:-b}", vec![with_default("A", "b", true)]),
            ("${A-b}", vec![with_default("A", "b", false)]),
            ("${A:-}", vec![with_default("A", "", true)]),
            ("${A--}", vec![with_default("A", "-", false)]),
            ("${A:-http://h:1/?q=$x}", vec![with_default("A", "http://h:1/?q=$x", true)]),
            ("$${A}", vec![Piece::Text("$"), Piece::Text("{A}")]),
            ("$$${A}", vec![Piece::Text("$"), plain("A")]),
            ("pa$word$", vec![Piece::Text("pa"), Piece::Text("$"), Piece::Text("word"), Piece::Text("$")]),
            ("{{ .token }}", vec![Piece::Text("{{ .token }}")]),
        ] {
            assert_eq!(pieces(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_a_variable_is_refused() {
        for (text, fault) in [
            ("${", FormFault::NotClosed),
            ("${A:-b", FormFault::NotClosed),
            ("${}", FormFault::NoName),
            ("${1A}", FormFault::NoName),
            ("${ A}", FormFault::NoName),
            ("${ä}", FormFault::NoName),
            ("${A }", FormFault::Operator),
            ("${A:b}", FormFault::Operator),
            ("${A:?b}", FormFault::Operator),
            ("${A+b}", FormFault::Operator),
            ("${A:-${B}}", FormFault::Braces),
            ("${A:-{{ .b }}}", FormFault::Braces),
        ] {
            assert_eq!(pieces(text), Err(fault), "{text}");
        }
    }
}
