//! A YAML document as nodes that know their place.
//!
//! Owns syntax, aliases and merge keys, and the bounds on all of them. Aliases are references, not copies, so
//! what a file can make us hold is bounded by its length; [`ENTRIES_MAX`] bounds what it can make us read.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScanError};
use zeroize::Zeroizing;

use super::scalar::{Scalar, Text};
use crate::config::Place;

/// The first document of a file.
pub(in crate::config) struct Document<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    root: Option<NodeId>,
    /// Where a second document begins.
    pub(in crate::config) second: Option<Place>,
    /// What [`Document::entries`] may still give out.
    entries_left: Cell<usize>,
    /// Whether it had to give out less than there is.
    is_exhausted: Cell<bool>,
}

/// A node of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::config) struct NodeId(pub(super) usize);

pub(super) struct Node<'a> {
    pub(super) place: Place,
    pub(super) shape: Shape<'a>,
}

/// What a node is.
pub(in crate::config) enum Shape<'a> {
    /// Text.
    Scalar(Scalar<'a>),
    /// A list.
    Sequence(Vec<NodeId>),
    /// Keys and their values, as written.
    Mapping(Vec<(NodeId, NodeId)>),
    /// Text that could not be had. There is an error about it.
    Lost,
}

/// The file is not YAML, or more than we read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct SyntaxError {
    /// Where it was noticed.
    pub(in crate::config) place: Place,
    /// What was expected. Never a word of the file.
    pub(in crate::config) message: Cow<'static, str>,
    /// The remedy.
    pub(in crate::config) help: &'static str,
}

/// One key of a mapping.
#[derive(Clone, Copy)]
pub(in crate::config) struct Entry<'d> {
    /// The key's text.
    pub(in crate::config) key: &'d str,
    /// Where the key is.
    pub(in crate::config) place: Place,
    /// Its value.
    pub(in crate::config) value: NodeId,
    /// How many merges it came through; 0 is the mapping's own.
    pub(in crate::config) merges: usize,
}

/// Something in a mapping that yaml.v2 refuses too. What else the mapping has is still given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum MergeFault {
    /// A key is a list or a mapping.
    KeyNotText(Place),
    /// What is merged is no mapping.
    NotAMapping(Place),
    /// Merges within merges, more than [`MERGES_MAX`].
    TooDeep(Place),
}

/// Reads the first document of `text`.
pub(in crate::config) fn parse(text: &str) -> Result<Document<'_>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    refuse_control_characters(text)?;
    Builder::default().build(&mut Parser::new_from_str(text))
}

impl<'a> Document<'a> {
    /// The outermost node; `None` if the file says nothing.
    pub(in crate::config) fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// Whether the document has more keys, once its aliases are unfolded, than we read.
    pub(in crate::config) fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    /// What `node` is.
    pub(in crate::config) fn shape(&self, node: NodeId) -> &Shape<'a> {
        &self.nodes[node.0].shape
    }

    /// Where `node` is.
    pub(in crate::config) fn place(&self, node: NodeId) -> Place {
        self.nodes[node.0].place
    }

    /// The scalar that `node` is.
    pub(in crate::config) fn scalar(&self, node: NodeId) -> Option<&Scalar<'a>> {
        match self.shape(node) {
            Shape::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The keys of the mapping `node` with merges unfolded where they stand: yaml.v2 takes keys and merges in the
    /// order of the file, and of several equal keys the last. In a list of merges the first mapping comes last.
    pub(in crate::config) fn entries<'d>(
        &'d self,
        node: NodeId,
        fault: &mut impl FnMut(MergeFault),
    ) -> Vec<Entry<'d>> {
        let mut entries = Vec::new();
        if let Shape::Mapping(pairs) = self.shape(node) {
            entries.reserve(pairs.len().min(self.entries_left.get()));
        }
        self.unfold(node, 0, &mut entries, fault);
        entries
    }

    fn unfold<'d>(
        &'d self,
        node: NodeId,
        merges: usize,
        entries: &mut Vec<Entry<'d>>,
        fault: &mut impl FnMut(MergeFault),
    ) {
        let Shape::Mapping(pairs) = self.shape(node) else {
            return fault(MergeFault::NotAMapping(self.place(node)));
        };
        for &(key, value) in pairs {
            let place = self.place(key);
            let Some(left) = self.entries_left.get().checked_sub(1) else {
                self.is_exhausted.set(true);
                return;
            };
            self.entries_left.set(left);
            let Some(scalar) = self.scalar(key) else {
                fault(MergeFault::KeyNotText(place));
                continue;
            };
            if !scalar.is_merge() {
                entries.push(Entry { key: scalar.word(), place, value, merges });
            } else if merges == MERGES_MAX {
                return fault(MergeFault::TooDeep(place));
            } else if let Shape::Sequence(items) = self.shape(value) {
                for &item in items.iter().rev() {
                    self.unfold(item, merges + 1, entries, fault);
                }
            } else {
                self.unfold(value, merges + 1, entries, fault);
            }
        }
    }
}

/// The tree as far as it has come.
#[derive(Default)]
struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    root: Option<NodeId>,
    /// The collections that are open, outermost first.
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
}

struct Open {
    node: NodeId,
    /// The key that waits for its value, in a mapping.
    key: Option<NodeId>,
}

impl<'a> Builder<'a> {
    fn build(
        mut self,
        parser: &mut Parser<'a, saphyr_parser::StrInput<'a>>,
    ) -> Result<Document<'a>, SyntaxError> {
        let second = loop {
            match parser.next_event() {
                Some(Ok((event, span))) => match event {
                    Event::Scalar(text, style, anchor, tag) => {
                        let scalar = Scalar::new(Text::from(text), style, tag.as_deref());
                        self.add(anchor, place(&span.start), Shape::Scalar(scalar));
                    }
                    Event::SequenceStart(anchor, _) => {
                        self.open(anchor, span.start, Shape::Sequence(Vec::new()))?;
                    }
                    Event::MappingStart(anchor, _) => {
                        self.open(anchor, span.start, Shape::Mapping(Vec::new()))?;
                    }
                    Event::SequenceEnd | Event::MappingEnd => drop(self.open.pop()),
                    Event::Alias(anchor) => self.alias(anchor, place(&span.start))?,
                    Event::DocumentEnd => break second_document(parser)?,
                    Event::StreamEnd => break None,
                    Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                },
                Some(Err(error)) => return Err(SyntaxError::from(&error)),
                None => break None,
            }
        };
        Ok(Document {
            nodes: self.nodes,
            root: self.root,
            second,
            entries_left: Cell::new(ENTRIES_MAX),
            is_exhausted: Cell::new(false),
        })
    }

    fn open(&mut self, anchor: usize, start: Marker, shape: Shape<'a>) -> Result<(), SyntaxError> {
        if self.open.len() == DEPTH_MAX {
            return Err(SyntaxError {
                place: place(&start),
                message: "the file nests too deeply".into(),
                help: "a configuration needs five levels; look for a bracket or an indentation that is never closed",
            });
        }
        let node = self.add(anchor, place(&start), shape);
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), SyntaxError> {
        let target = self
            .anchors
            .get(&anchor)
            .copied()
            .filter(|target| !self.open.iter().any(|open| open.node == *target));
        match target {
            Some(target) => self.place_in_parent(target),
            None => {
                return Err(SyntaxError {
                    place,
                    message: "an alias stands inside of what it refers to".into(),
                    help: "refer to a node that is complete before the alias",
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, anchor: usize, place: Place, shape: Shape<'a>) -> NodeId {
        let node = NodeId(self.nodes.len());
        self.nodes.push(Node { place, shape });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        self.place_in_parent(node);
        node
    }

    fn place_in_parent(&mut self, child: NodeId) {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(child);
            return;
        };
        match &mut self.nodes[parent.node.0].shape {
            Shape::Sequence(items) => items.push(child),
            Shape::Mapping(pairs) => match parent.key.take() {
                Some(key) => pairs.push((key, child)),
                None => parent.key = Some(child),
            },
            Shape::Scalar(_) | Shape::Lost => {}
        }
    }
}

/// What follows the first document: where a second begins, if one does.
fn second_document<'a>(
    parser: &mut Parser<'a, saphyr_parser::StrInput<'a>>,
) -> Result<Option<Place>, SyntaxError> {
    match parser.next_event() {
        Some(Ok((Event::DocumentStart(_), span))) => Ok(Some(place(&span.start))),
        Some(Err(error)) => Err(SyntaxError::from(&error)),
        _ => Ok(None),
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => Self::Owned(Zeroizing::new(text)),
        }
    }
}

impl From<&ScanError> for SyntaxError {
    fn from(error: &ScanError) -> Self {
        let info = error.info();
        let (message, help) = if info.starts_with("unexpected character") {
            // The parser's words quote the file, and that may be the first letter of a password.
            ("found a character that cannot start a value".to_owned(), "put the value in quotes")
        } else if info.contains("tab") {
            (info.to_owned(), "indent with spaces")
        } else if info.contains("unknown anchor") {
            (info.to_owned(), "define it with `&name` above, or quote the value if it is no alias")
        } else {
            (
                info.to_owned(),
                "check quotes, brackets, colons and the indentation at this place and just above it; a value with `${`, `{` or ` #` in it goes in quotes",
            )
        };
        Self { place: place(error.marker()), message: message.into(), help }
    }
}

/// The parser would take a NUL for the end of the file, and leave the rest unread without a word.
fn refuse_control_characters(text: &str) -> Result<(), SyntaxError> {
    let Some((at, _)) = text
        .char_indices()
        .find(|(_, c)| matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f'))
    else {
        return Ok(());
    };
    Err(SyntaxError {
        place: Place::of_offset(text, at),
        message: "control characters are not allowed".into(),
        help: "remove it, or write it as an escape in double quotes: \"\\x07\"",
    })
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// The deepest useful file has six levels; what Go's broker ignores may have a few more.
const DEPTH_MAX: usize = 100;

/// Merges within merges. People write one.
const MERGES_MAX: usize = 16;

/// Keys read in all, aliases unfolded. The largest file known has 51,000.
const ENTRIES_MAX: usize = 1_000_000;
