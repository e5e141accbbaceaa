//! Mappings as sections with known keys.
//!
//! Owns key paths, duplicates and unknown keys. Knows no key of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;
use super::findings::{Findings, list_of};
use super::nearest::nearest;
use super::system::System;
use super::yaml::{Document, Entry, NodeId, Scalar, Shape};
use crate::diagnostics::{Severity, printable};

/// A document being read, and what has been found so far.
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    system: &'d System,
    findings: Findings,
}

/// A mapping whose keys have a meaning.
pub(super) struct Section<'d> {
    /// The path of the section itself; empty for the root.
    path: String,
    /// Its keys in the order in which they count.
    entries: Vec<Entry<'d>>,
}

/// A key's value.
pub(super) struct Field<'d> {
    /// The key.
    pub(super) key: &'d str,
    /// The key with all sections around it.
    pub(super) path: String,
    /// Where the key is.
    pub(super) key_place: Place,
    /// Where the value is, or the key if there is none.
    pub(super) place: Place,
    node: NodeId,
}

/// What becomes of a key that nobody knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The section is ours: a typing error must not go unnoticed.
    Refused,
    /// The Go broker ignores it, and its files shall load.
    Ignored,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>, system: &'d System, findings: Findings) -> Self {
        Self { document, system, findings }
    }

    /// What may be asked of the machine.
    pub(super) fn system(&self) -> &'d System {
        self.system
    }

    /// What was found; `None` if the document could not be read to its end.
    pub(super) fn into_findings(self) -> Option<Findings> {
        (!self.document.is_exhausted()).then_some(self.findings)
    }

    /// Adds an error about `path`.
    pub(super) fn error(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.say(Severity::Error, place, path, message, help);
    }

    /// Adds a finding about `path`.
    pub(super) fn say(
        &mut self,
        severity: Severity,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.add(severity, Some(place), path, message.into(), help.into());
    }

    /// Adds a warning about `path`.
    pub(super) fn warn(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.say(Severity::Warning, place, path, message, help);
    }

    /// The keys of the document's root: `None`, and an error, if it is no mapping.
    pub(super) fn root(&mut self) -> Option<Section<'d>> {
        let Some(root) = self.document.root() else {
            let help = "write `version: \"2\"`, then `services:`";
            self.error(
                Place::START,
                "",
                "the file is empty: expected the keys `version` and `services`",
                help,
            );
            return None;
        };
        if !matches!(self.document.shape(root), Shape::Mapping(_)) {
            let found = self.describe(root);
            self.error(
                self.document.place(root),
                "",
                format!("expected the keys `version` and `services`, found {found}"),
                "a configuration is a mapping: `version: \"2\"`, then `services:`",
            );
            return None;
        }
        let entries = self.entries(root, "");
        Some(Section { path: String::new(), entries })
    }

    /// The section that `field` is. A null is an empty section. `None`, and an error, if it is something else.
    pub(super) fn section(&mut self, field: &Field<'d>) -> Option<Section<'d>> {
        if self.is_lost(field) {
            return None;
        }
        if self.document.scalar(field.node).is_some_and(Scalar::is_null) {
            return Some(Section { path: field.path.clone(), entries: Vec::new() });
        }
        if !self.is_mapping(field) {
            let found = self.describe(field.node);
            self.error(
                field.place,
                &field.path,
                format!("expected a mapping, found {found}"),
                format!("write keys under `{}:`, each on a line of its own and indented", field.key),
            );
            return None;
        }
        let entries = self.entries(field.node, &field.path);
        Some(Section { path: field.path.clone(), entries })
    }

    /// Whether `field` is a mapping.
    pub(super) fn is_mapping(&self, field: &Field<'_>) -> bool {
        matches!(self.document.shape(field.node), Shape::Mapping(_))
    }

    /// The items of the list that `field` is, as fields of the same key; `None` if it is none.
    pub(super) fn items(&self, field: &Field<'d>) -> Option<Vec<Field<'d>>> {
        let Shape::Sequence(items) = self.document.shape(field.node) else { return None };
        let item = |(i, node): (usize, &NodeId)| Field {
            key: field.key,
            path: format!("{}[{i}]", field.path),
            key_place: field.key_place,
            place: self.document.place(*node),
            node: *node,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// `item` of the list at `path`, as if it stood there under the key `name`.
    pub(super) fn named(&self, item: &Field<'d>, path: &str, name: &'d str) -> Field<'d> {
        Field { key: name, path: join(path, name), key_place: item.place, place: item.place, node: item.node }
    }

    /// Whether `field` is text that could not be had. There is an error about it.
    pub(super) fn is_lost(&self, field: &Field<'_>) -> bool {
        matches!(self.document.shape(field.node), Shape::Lost)
    }

    /// The scalar that `field` is.
    pub(super) fn scalar(&self, field: &Field<'_>) -> Option<&'d Scalar<'d>> {
        self.document.scalar(field.node)
    }

    /// The text of `field`, blank for a null. `None`, and an error, if it is a list or a mapping, or was lost.
    pub(super) fn text(&mut self, field: &Field<'_>, expected: &str, help: &str) -> Option<&'d str> {
        let document = self.document;
        match document.scalar(field.node) {
            Some(scalar) => Some(scalar.word()),
            None if self.is_lost(field) => None,
            None => {
                let found = self.describe(field.node);
                self.error(field.place, &field.path, format!("expected {expected}, found {found}"), help);
                None
            }
        }
    }

    /// What `field` is, for the words "found …" of an error. Never says a value.
    pub(super) fn kind(&self, field: &Field<'_>) -> &'static str {
        self.describe(field.node)
    }

    fn describe(&self, node: NodeId) -> &'static str {
        match self.document.shape(node) {
            Shape::Scalar(scalar) if scalar.is_null() => "nothing",
            Shape::Scalar(_) | Shape::Lost => "a single value",
            Shape::Sequence(_) => "a list",
            Shape::Mapping(_) => "a mapping",
        }
    }

    fn entries(&mut self, node: NodeId, path: &str) -> Vec<Entry<'d>> {
        let findings = &mut self.findings;
        self.document.entries(node, &mut |fault| findings.add_merge_fault(fault, path))
    }

    /// `entry` as a field of `path`.
    fn field(&self, entry: &Entry<'d>, path: &str) -> Field<'d> {
        let absent = self.document.scalar(entry.value).is_some_and(Scalar::is_absent);
        let place = if absent { entry.place } else { self.document.place(entry.value) };
        Field {
            key: entry.key,
            path: join(path, entry.key),
            key_place: entry.place,
            place,
            node: entry.value,
        }
    }
}

impl<'d> Section<'d> {
    /// The same keys at the path of `field`.
    pub(super) fn at(self, field: &Field<'_>) -> Self {
        Self { path: field.path.clone(), ..self }
    }

    /// Whether it has no key.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Its keys, as often as they are given.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'d str, Place)> {
        self.entries.iter().map(|entry| (entry.key, entry.place))
    }

    /// The path of `key` in this section.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value of `key`: the last one, as in Go, with a warning if somebody may not have meant that.
    pub(super) fn take(&self, reader: &mut Reader<'d>, key: &str) -> Option<Field<'d>> {
        let mut found = self.entries.iter().filter(|entry| entry.key == key);
        let first = found.next()?;
        let last = found.fold(first, |earlier, later| self.note_replaced(reader, earlier, later));
        Some(reader.field(last, &self.path))
    }

    /// What [`Section::take`] would give, without a word.
    pub(super) fn peek(&self, reader: &Reader<'d>, key: &str) -> Option<Field<'d>> {
        let entry = self.entries.iter().rfind(|entry| entry.key == key)?;
        Some(reader.field(entry, &self.path))
    }

    /// Whether `key` has a value that is a list, even one that does not count.
    pub(super) fn has_list(&self, reader: &Reader<'d>, key: &str) -> bool {
        let mut values = self.entries.iter().filter(|entry| entry.key == key);
        values.any(|entry| matches!(reader.document.shape(entry.value), Shape::Sequence(_)))
    }

    /// Like [`Section::take`], for what several equal keys add up to, as in Go.
    /// `Err` if it is there and no mapping; the error is noted.
    pub(super) fn take_combined(
        &self,
        reader: &mut Reader<'d>,
        key: &str,
    ) -> Result<Option<(Field<'d>, Section<'d>)>, ()> {
        let mut own: Option<&Entry<'d>> = None;
        let mut field = None;
        let mut combined = Section { path: self.path_of(key), entries: Vec::new() };
        for entry in self.entries.iter().filter(|entry| entry.key == key) {
            if let (0, Some(first)) = (entry.merges, own) {
                reader.warn(
                    entry.place,
                    &combined.path,
                    format!("the key is given twice, first in line {}: both count", first.place.line),
                    "put everything under one of them",
                );
            }
            if entry.merges == 0 {
                own.get_or_insert(entry);
            }
            let part = reader.field(entry, &self.path);
            let entries = reader.section(&part).ok_or(())?.entries.into_iter();
            // What a merged section has is merged too.
            combined
                .entries
                .extend(entries.map(|inner| Entry { merges: inner.merges + entry.merges, ..inner }));
            field = Some(part);
        }
        Ok(field.map(|field| (field, combined)))
    }

    /// All values, by key.
    pub(super) fn fields(&self, reader: &mut Reader<'d>) -> BTreeMap<&'d str, Field<'d>> {
        let mut last: BTreeMap<&'d str, &Entry<'d>> = BTreeMap::new();
        for entry in &self.entries {
            match last.get_mut(entry.key) {
                Some(earlier) => *earlier = self.note_replaced(reader, earlier, entry),
                None => drop(last.insert(entry.key, entry)),
            }
        }
        last.into_iter().map(|(key, entry)| (key, reader.field(entry, &self.path))).collect()
    }

    /// The section without keys that begin with `x-`: a place for anchors, as in other files of this kind.
    pub(super) fn without_extensions(&self) -> Self {
        let kept = self.entries.iter().filter(|entry| !entry.key.starts_with("x-")).copied();
        Self { path: self.path.clone(), entries: kept.collect() }
    }

    /// Deals with every key that is not in `known`, once.
    pub(super) fn finish(&self, reader: &mut Reader<'d>, known: &[&str], unknown: Unknown) {
        let mut seen = BTreeSet::new();
        for entry in &self.entries {
            if known.contains(&entry.key) || !seen.insert(entry.key) {
                continue;
            }
            let path = self.path_of(entry.key);
            let help = match nearest(entry.key, known) {
                Some(key) => format!("did you mean `{key}`?"),
                None => list_of("key here", known.iter().copied()),
            };
            match unknown {
                Unknown::Refused => reader.error(entry.place, &path, "unknown key", help),
                Unknown::Ignored => reader.warn(entry.place, &path, "unknown key, ignored", help),
            }
        }
    }

    /// Which of two equal keys counts: the later. A warning if that may surprise.
    fn note_replaced<'e>(
        &self,
        reader: &mut Reader<'d>,
        earlier: &'e Entry<'d>,
        later: &'e Entry<'d>,
    ) -> &'e Entry<'d> {
        let line = earlier.place.line;
        if earlier.merges == 0 && later.merges == 0 {
            reader.warn(
                later.place,
                &self.path_of(later.key),
                format!("the key is given twice, first in line {line}: this one counts"),
                "remove one of them",
            );
        } else if earlier.merges == 0 {
            reader.warn(
                earlier.place,
                &self.path_of(later.key),
                format!("a merge below replaces this by line {}", later.place.line),
                "put `<<` above the keys that shall count",
            );
        }
        later
    }
}

/// `path.key`; a key that is no plain word is quoted, so that dots stay unambiguous.
fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let key = if plain { key.to_owned() } else { format!("\"{}\"", printable(key)) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
