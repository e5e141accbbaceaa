//! The embedded vault: a sealed file of secrets of our own, for where there is no other store.
//!
//! Owns the file, its key and who may write it when. Knows nothing of configurations, nor of the words of the command
//! line. `docs/providers/local.md` tells a person the same.
//!
//! | File | What |
//! |---|---|
//! | `places.rs`, `key.rs` | where vault and key are; the four sources of a key |
//! | `identity.rs`, `age.rs` | the key, and the format that the vault is sealed in |
//! | `contents.rs` | what is sealed: a counter and named values |
//! | `disk.rs` | reading, replacing and locking files |
//! | `vault.rs`, `rotation.rs` | what can be done with a vault |

mod age;
mod contents;
mod disk;
mod error;
mod identity;
mod key;
mod places;
mod rotation;
mod vault;

pub(crate) use contents::{VALUE_BYTES_MAX, check_name};
pub(crate) use error::VaultError;
pub(crate) use key::KeySource;
pub use places::PlaceFlags;
pub(crate) use places::Places;
pub(crate) use vault::{Change, Listed, Seen, Vault};

/// What an attacker may have put into a vault: the sealed text is read, or refused, and what is read is written as it
/// was.
pub fn contents_for_fuzz(text: &[u8]) {
    if let Ok(contents) = contents::Contents::parse(text) {
        assert_eq!(*contents.to_text(), text, "there is one way to write it");
    }
}

/// What an attacker may have put in the place of a vault: it is not opened without the key.
pub fn file_for_fuzz(file: &[u8]) {
    let key = identity::Identity::generate().expect("the kernel has entropy");
    let opened = age::open(zeroize::Zeroizing::new(file.to_vec()), &[key]);
    assert!(opened.is_err(), "nobody has sealed to a key that was just made");
}
