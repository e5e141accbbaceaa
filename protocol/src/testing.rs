//! What tests of several files share.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::{Credential, Generation, Secret};

/// A credential of the first generation.
pub(crate) fn credential(fields: &[(&str, &[u8])]) -> Arc<Credential> {
    let fields: BTreeMap<_, _> =
        fields.iter().map(|(name, value)| ((*name).into(), Secret::from_heap(value.to_vec()))).collect();
    Arc::new(Credential::new(Generation(1), fields))
}
