//! Other text in the place of a list's scalars.
//!
//! Owns which nodes change: what is reached from the list as a value, and nothing else that refers to the same nodes. Every
//! node is copied at most once, so aliases cannot make a small file large. Does not know what the text becomes.

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::tree::{Document, Node, NodeId, Shape};
use crate::config::Place;

/// What becomes of a scalar.
pub(in crate::config) enum Rewritten {
    /// Nothing.
    Same,
    /// Another text, made of the values of these variables.
    Text(Zeroizing<String>, Vec<String>),
    /// It cannot be known.
    Lost,
}

impl Document<'_> {
    /// The list that is the last value of `key` in the root, if that is one.
    pub(in crate::config) fn list_at_root(&self, key: &str) -> Option<NodeId> {
        let entries = self.entries(self.root()?, &mut |_| {});
        let value = entries.iter().rfind(|entry| entry.key == key)?.value;
        matches!(self.shape(value), Shape::Sequence(_)).then_some(value)
    }

    /// Asks `rewrite` about every scalar below `list` that is a value. Keys stay as they are.
    pub(in crate::config) fn rewrite(
        &mut self,
        list: NodeId,
        rewrite: &mut impl FnMut(&str, Place) -> Rewritten,
    ) {
        let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
        // Their values are still those of the file.
        let mut left = vec![list];
        while let Some(node) = left.pop() {
            let mut shape = std::mem::replace(&mut self.nodes[node.0].shape, Shape::Lost);
            for value in shape.values_mut() {
                let copy = match copies.get(value) {
                    Some(copy) => *copy,
                    None => self.copy(*value, rewrite, &mut left),
                };
                copies.insert(*value, copy);
                *value = copy;
            }
            self.nodes[node.0].shape = shape;
        }
    }

    /// A copy of `node`, or `node` itself if it stays as it is. A collection is among those that are `left`.
    fn copy(
        &mut self,
        node: NodeId,
        rewrite: &mut impl FnMut(&str, Place) -> Rewritten,
        left: &mut Vec<NodeId>,
    ) -> NodeId {
        let Node { place, shape } = &self.nodes[node.0];
        let place = *place;
        let copy = NodeId(self.nodes.len());
        let shape = match shape {
            Shape::Scalar(scalar) => match rewrite(scalar.text(), place) {
                Rewritten::Same => return node,
                Rewritten::Text(text, variables) => Shape::Scalar(scalar.with_text(text, variables)),
                Rewritten::Lost => Shape::Lost,
            },
            Shape::Sequence(items) => {
                left.push(copy);
                Shape::Sequence(items.clone())
            }
            Shape::Mapping(pairs) => {
                left.push(copy);
                Shape::Mapping(pairs.clone())
            }
            Shape::Lost => return node,
        };
        self.nodes.push(Node { place, shape });
        copy
    }
}

impl Shape<'_> {
    /// The nodes in it that are no keys.
    fn values_mut(&mut self) -> Box<dyn Iterator<Item = &mut NodeId> + '_> {
        match self {
            Shape::Sequence(items) => Box::new(items.iter_mut()),
            Shape::Mapping(pairs) => Box::new(pairs.iter_mut().map(|(_, value)| value)),
            Shape::Scalar(_) | Shape::Lost => Box::new(std::iter::empty()),
        }
    }
}
