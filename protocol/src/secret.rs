//! Secrets: bytes that can be read for a moment and have no text form.
//!
//! Owns the type that every credential, password and derived key lives in. Does not know where the bytes lie:
//! the memory is handed in, so that an arena of locked pages serves as well as the heap.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroizing;

/// Memory that holds a secret's bytes and wipes them when it is dropped.
pub trait SecretMemory: Send + Sync {
    /// The bytes, for as long as the memory is borrowed.
    fn bytes(&self) -> &[u8];
}

/// A secret: no `Debug`, no `Display`, no `Clone`, no `==`. Reading it is [`Secret::expose`].
pub struct Secret(Box<dyn SecretMemory>);

impl Secret {
    /// A secret over `memory`, which from now on belongs to it alone.
    pub fn new(memory: impl SecretMemory + 'static) -> Self {
        Self(Box::new(memory))
    }

    /// A secret on the heap, wiped on drop. `bytes` is taken over, not copied.
    pub fn from_heap(bytes: Vec<u8>) -> Self {
        Self::new(WipedBytes::new(bytes))
    }

    /// The same for bytes that are somebody else's.
    pub fn copied_to_heap(bytes: &[u8]) -> Self {
        Self::from_heap(bytes.to_vec())
    }

    /// Shows the bytes to `read`. Keep it short: what `read` copies out is a copy to be wiped.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(self.0.bytes())
    }

    /// How many bytes the secret has.
    pub fn len(&self) -> usize {
        self.0.bytes().len()
    }

    /// Whether the secret has no bytes: an empty value counts as "not set" everywhere.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Heap memory that is wiped when it is dropped.
pub struct WipedBytes(Zeroizing<Vec<u8>>);

impl WipedBytes {
    /// Takes `bytes` over; spare capacity is wiped with the rest.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl SecretMemory for WipedBytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}
