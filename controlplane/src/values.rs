//! One service's values as the control plane keeps them.
//!
//! Owns the one place in memory that each value has here: a snapshot's credential shares it. Values are compared in
//! constant time and have no text form.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::SecretArena;
use protocol::{Credential, Generation, Hold, Secret, SecretMemory, WipedBytes};
use subtle::{Choice, ConstantTimeEq};

/// One value.
#[derive(Clone)]
pub(crate) struct Value(Arc<dyn SecretMemory>);

impl Value {
    /// Takes a secret over into the arena: its own memory, wherever it was, is wiped.
    #[expect(clippy::needless_pass_by_value, reason = "the secret's memory ends here")]
    pub(crate) fn new(secret: Secret) -> Self {
        Self(Arc::new(secret.expose(|bytes| SecretArena::of_process().copy(bytes))))
    }

    /// The same for what anybody may see, such as a certificate: it is long, and has no need of memory that is scarce.
    #[expect(clippy::needless_pass_by_value, reason = "as above")]
    pub(crate) fn public(value: Secret) -> Self {
        Self(Arc::new(WipedBytes::new(value.expose(<[u8]>::to_vec))))
    }

    /// Whether both are the same, in a time that tells nothing but their lengths.
    pub(crate) fn is_same(&self, other: &Self) -> Choice {
        self.0.bytes().ct_eq(other.0.bytes())
    }
}

impl SecretMemory for Value {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Every value of a service, fetched together.
#[derive(Clone, Default)]
pub(crate) struct Values(BTreeMap<Box<str>, Value>);

impl Values {
    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.into(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether both have the same values under the same names. Takes as long for a wrong value as for the right one
    /// of its length.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        if !self.0.keys().eq(other.0.keys()) {
            return false;
        }
        let same = Choice::from(1);
        let pairs = self.0.values().zip(other.0.values());
        pairs.fold(same, |same, (mine, theirs)| same & mine.is_same(theirs)).into()
    }

    /// The values as the data plane knows them; who logs in with them keeps `hold`.
    pub(crate) fn credential(&self, generation: Generation, hold: Option<Hold>) -> Arc<Credential> {
        let fields = self.0.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone())));
        Arc::new(Credential::new(generation, fields.collect()).holding(hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        let mut values = Values::default();
        for (name, value) in pairs {
            values.insert(name, Value::new(Secret::from_heap(value.as_bytes().to_vec())));
        }
        values
    }

    #[test]
    fn tells_any_difference() {
        let base = values(&[("password", "s3"), ("username", "u")]);
        assert!(base.is_same(&values(&[("username", "u"), ("password", "s3")])));
        for other in [
            values(&[("password", "s4"), ("username", "u")]),
            values(&[("password", "s3"), ("username", "v")]),
            values(&[("password", "s33"), ("username", "u")]),
            values(&[("password", "s3")]),
            values(&[("password", "s3"), ("user", "u")]),
        ] {
            assert!(!base.is_same(&other));
        }
    }

    #[test]
    fn a_credential_shares_the_memory() {
        let values = values(&[("password", "s3")]);
        let credential = values.credential(Generation(7), None);
        assert_eq!(credential.generation(), Generation(7));
        let field = credential.field("password").expect("it was put in");
        let there = field.expose(<[u8]>::as_ptr);
        assert_eq!(there, values.0["password"].bytes().as_ptr());
        drop(values);
        assert_eq!(field.expose(<[u8]>::to_vec), b"s3");
    }
}
