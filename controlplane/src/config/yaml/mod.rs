//! YAML, as the Go broker read it: the only module that knows the format.
//!
//! The syntax comes from `saphyr-parser`, which speaks YAML 1.2; what a scalar means ([`Scalar`]) and how keys
//! meet ([`Document::entries`]) follow Go's yaml.v2, which is what existing files were written for.

mod rewrite;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use rewrite::Rewritten;
pub(super) use scalar::Scalar;
pub(super) use tree::{Document, Entry, MergeFault, NodeId, Shape, parse};
