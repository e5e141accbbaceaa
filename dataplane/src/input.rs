//! What a side has sent and its machine has not used.
//!
//! Owns the memory. A client may volunteer a password, and a target repeat one: nothing of it stays behind in memory that
//! has been given back, or behind the end of what is left.

use zeroize::{Zeroize, Zeroizing};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Input(Zeroizing<Vec<u8>>);

impl Input {
    /// Everything that has not been used.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Puts `bytes` behind it.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let len = self.0.len() + bytes.len();
        if len > self.0.capacity() {
            let mut grown = Vec::with_capacity(len.max(2 * self.0.capacity()));
            grown.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(grown);
        }
        self.0.extend_from_slice(bytes);
    }

    /// Wipes the first `used` bytes.
    pub(crate) fn use_up(&mut self, used: usize) {
        let used = used.min(self.0.len());
        let left = self.0.len() - used;
        self.0.copy_within(used.., 0);
        self.0[left..].zeroize();
        self.0.truncate(left);
    }

    /// All of it, for somebody else.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}
