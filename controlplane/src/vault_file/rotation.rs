//! A new key for a vault.
//!
//! Owns the order of the steps. Old and new key stand in the key file together while the vault is sealed anew, so at
//! every moment the file has the key that the vault is sealed to, whoever is killed when:
//!
//! ```text
//!                key file      vault sealed to
//!   before       old           old
//!   KeepBoth     new, old      old
//!   Seal         new, old      new
//!   ForgetOld    new           new
//! ```

use time::OffsetDateTime;

use super::contents::in_seconds;
use super::disk::Lock;
use super::error::VaultError;
use super::key::{KeySource, Keys};
use super::vault::{Opened, PATIENCE, Vault};

/// One step; each is one rename of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The new key goes before the old one.
    KeepBoth,
    /// The vault is sealed to the new one.
    Seal,
    /// The old one goes.
    ForgetOld,
}

const STEPS: [Step; 3] = [Step::KeepBoth, Step::Seal, Step::ForgetOld];

impl Vault {
    /// Makes a new key, seals the vault to it, and forgets the old one.
    pub(crate) fn rotate_key(&self) -> Result<(), VaultError> {
        self.rotate(&STEPS)
    }

    fn rotate(&self, steps: &[Step]) -> Result<(), VaultError> {
        let KeySource::File(path) = &self.places.key else {
            return Err(VaultError::KeyNotOurs(self.places.key.to_string()));
        };
        let lock = self.lock_to_write()?;
        // Behind the vault's, as when the key is made.
        let _key_lock = Lock::take_in_passing(path, PATIENCE)?;
        let Opened { mut contents, keys: old, key, .. } = self.open()?;
        old.check_owner(path, &self.places.vault)?;
        old.check_rotation(path)?;
        let now = in_seconds(OffsetDateTime::now_utc());
        let mut keys = Keys::generate()?.before(old.only(key));
        for step in steps {
            match step {
                Step::KeepBoth => keys.save(path, &self.places.vault, now)?,
                Step::Seal => self.write(&lock, &mut contents, &keys, now)?,
                Step::ForgetOld => {
                    keys = keys.only(0);
                    keys.save(path, &self.places.vault, now)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
