//! What can be done with a vault.
//!
//! Owns the order of reading, checking and writing. A reader takes no lock: a vault is replaced whole, so what it reads
//! is one version of it, and all values that it takes out of that belong together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dataplane::SecretArena;
use protocol::Secret;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::age::{self, AgeError};
use super::contents::{Contents, ENTRIES_MAX, Entry, VALUE_BYTES_MAX, check_name, in_seconds, written};
use super::disk::{self, Lock, Owner};
use super::error::VaultError;
use super::key::{KeySource, Keys};
use super::places::Places;
use crate::config::nearest;

/// A vault, which need not be there yet.
pub(crate) struct Vault {
    pub(super) places: Places,
}

/// A vault that was opened.
pub(super) struct Opened {
    pub(super) contents: Contents,
    pub(super) keys: Keys,
    /// Which of the keys it was sealed to.
    pub(super) key: usize,
    /// What the owner should know of the file.
    note: Option<String>,
}

/// What was made besides the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// There was no vault.
    pub(crate) made_vault: bool,
    /// There was no key.
    pub(crate) made_key: bool,
}

/// The newest version of each vault that this process has seen: an older one is refused.
pub(crate) struct Seen(Mutex<BTreeMap<PathBuf, u64>>);

/// What a service wants of a vault, of one version.
pub(crate) struct Values {
    /// In the order of the names.
    pub(crate) values: Vec<Secret>,
    /// What the owner should know.
    pub(crate) note: Option<String>,
}

/// What is in a vault, without a value.
pub(crate) struct Listed {
    /// Names, and when each was set, in the order of the names.
    pub(crate) entries: Vec<(String, String)>,
    /// What the owner should know.
    pub(crate) note: Option<String>,
}

impl Vault {
    /// The vault at these places.
    pub(crate) fn at(places: Places) -> Self {
        Self { places }
    }

    /// The values of these names, all of one version, which is not older than what was seen before.
    pub(crate) fn values(&self, names: &[&str], seen: &Seen) -> Result<Values, VaultError> {
        let opened = self.open()?;
        seen.accept(&self.places.vault, opened.contents.counter)?;
        let values = names.iter().map(|name| {
            let entry = opened.contents.entries.get(*name);
            let entry = entry.ok_or_else(|| self.no_secret(name))?;
            Ok(SecretArena::of_process().secret(&entry.value))
        });
        Ok(Values { values: values.collect::<Result<_, _>>()?, note: opened.note })
    }

    /// Names, and when each was set; and what the owner should know.
    pub(crate) fn list(&self) -> Result<Listed, VaultError> {
        let Opened { contents, note, .. } = self.open()?;
        let entries = contents.entries.into_iter().map(|(name, entry)| (name, written(entry.set_at)));
        Ok(Listed { entries: entries.collect(), note })
    }

    /// Sets a secret, and makes vault and key if there is no vault.
    pub(crate) fn set(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<Change, VaultError> {
        check_name(name).map_err(VaultError::Name)?;
        if value.is_empty() {
            return Err(VaultError::EmptyValue(name.to_owned()));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(VaultError::LargeValue(name.to_owned()));
        }
        disk::make_directories(&self.places.vault)?;
        let lock = self.lock()?;
        let now = in_seconds(OffsetDateTime::now_utc());
        let mut change = Change::default();
        let (mut contents, keys) = if self.is_there()? {
            let opened = self.open()?;
            (opened.contents, opened.keys)
        } else {
            change.made_vault = true;
            let (keys, made_key) = self.first_key(now)?;
            change.made_key = made_key;
            (Contents::new(now), keys)
        };
        let is_full = contents.entries.len() >= ENTRIES_MAX;
        match contents.entries.entry(name.to_owned()) {
            Place::Vacant(_) if is_full => return Err(VaultError::Full(self.places.vault.clone())),
            Place::Vacant(place) => drop(place.insert(Entry { set_at: now, value })),
            Place::Occupied(mut place) => drop(place.insert(Entry { set_at: now, value })),
        }
        self.write(&lock, &mut contents, &keys, now)?;
        Ok(change)
    }

    /// Removes a secret.
    pub(crate) fn remove(&self, name: &str) -> Result<(), VaultError> {
        check_name(name).map_err(VaultError::Name)?;
        let lock = self.lock_to_write()?;
        let Opened { mut contents, keys, .. } = self.open()?;
        if contents.entries.remove(name).is_none() {
            let names: Vec<&str> = contents.entries.keys().map(String::as_str).collect();
            let help = match nearest(name, &names) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "`secretless-broker secret list` shows those that are there".to_owned(),
            };
            return Err(VaultError::NoSecret {
                vault: self.places.vault.clone(),
                name: name.to_owned(),
                help,
            });
        }
        self.write(&lock, &mut contents, &keys, in_seconds(OffsetDateTime::now_utc()))
    }

    /// Locks what is there for a change.
    pub(super) fn lock_to_write(&self) -> Result<Lock, VaultError> {
        if !self.is_there()? {
            return Err(self.no_vault());
        }
        self.lock()
    }

    /// Seals the next version to the first of `keys`. Who holds the lock is the only one to do so.
    pub(super) fn write(
        &self,
        _: &Lock,
        contents: &mut Contents,
        keys: &Keys,
        now: OffsetDateTime,
    ) -> Result<(), VaultError> {
        // Never below the time: one write brings a copy that was put back above whatever a broker has seen.
        let time = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        contents.counter = contents.counter.saturating_add(1).max(time);
        let sealed = age::seal(&contents.to_text(), keys.first()).ok_or(VaultError::NoEntropy)?;
        if sealed.len() > VAULT_BYTES_MAX {
            return Err(VaultError::LargeVault(self.places.vault.clone()));
        }
        disk::replace(&self.places.vault, &sealed, Owner::Directory)
    }

    /// Opens the vault, whoever writes it meanwhile.
    pub(super) fn open(&self) -> Result<Opened, VaultError> {
        let mut attempts = 1;
        loop {
            match self.open_once() {
                // Keys were read before a rotation and the vault after it. The next ones fit, for the key file has the
                // new key before the vault is sealed to it.
                Err(VaultError::WrongKey { .. }) if attempts < ATTEMPTS_MAX => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    fn open_once(&self) -> Result<Opened, VaultError> {
        let vault = &self.places.vault;
        if !self.is_there()? {
            return Err(self.no_vault());
        }
        let keys = Keys::load(&self.places.key)?;
        let found = disk::read(vault, VAULT_BYTES_MAX)?;
        if found.bytes.is_empty() {
            return Err(VaultError::NotAVault { vault: vault.clone(), why: "it is empty".to_owned() });
        }
        let (text, key) = age::open(found.bytes, keys.all()).map_err(|error| match error {
            AgeError::Malformed(why) => VaultError::NotAVault { vault: vault.clone(), why: why.to_owned() },
            AgeError::NoMatch => {
                VaultError::WrongKey { vault: vault.clone(), source: self.places.key.to_string() }
            }
            AgeError::HeaderChanged | AgeError::PayloadChanged => {
                VaultError::Tampered { vault: vault.clone() }
            }
        })?;
        let contents =
            Contents::parse(&text).map_err(|why| VaultError::Unreadable { vault: vault.clone(), why })?;
        Ok(Opened { contents, keys, key, note: note_of(vault, found.mode) })
    }

    /// The key for a vault that is about to be made, and whether it was made as well.
    fn first_key(&self, now: OffsetDateTime) -> Result<(Keys, bool), VaultError> {
        let KeySource::File(path) = &self.places.key else {
            return Ok((Keys::load(&self.places.key)?, false));
        };
        disk::make_directories(path)?;
        let directory = |path: &Path| path.parent().and_then(|parent| parent.canonicalize().ok());
        if let Some(directory) =
            directory(path).filter(|of_key| directory(&self.places.vault).as_ref() == Some(of_key))
        {
            return Err(VaultError::Together(directory));
        }
        let is_missing = |found: &Result<_, _>| matches!(found, Err(VaultError::NoKey { .. }));
        let mut found = Keys::load(&self.places.key);
        if is_missing(&found) {
            // Another vault's first writer may be about to make the same key.
            let _lock = Lock::take_in_passing(path, PATIENCE)?;
            found = Keys::load(&self.places.key);
            if is_missing(&found) {
                let keys = Keys::generate()?;
                keys.save(path, &self.places.vault, now)?;
                return Ok((keys, true));
            }
        }
        // Somebody brought a key, or the first attempt was cut short behind the key.
        let keys = found?;
        keys.check_owner(path, &self.places.vault)?;
        Ok((keys, false))
    }

    fn lock(&self) -> Result<Lock, VaultError> {
        Lock::take(&self.places.vault, PATIENCE)
    }

    /// Whether there is anything at the vault's place: what cannot be looked at is an error, and not a vault to be made.
    fn is_there(&self) -> Result<bool, VaultError> {
        match self.places.vault.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(false)
            }
            Err(error) => Err(VaultError::io("stat", &self.places.vault, &error)),
        }
    }

    fn no_vault(&self) -> VaultError {
        VaultError::NoVault { vault: self.places.vault.clone(), command: self.places.set("NAME") }
    }

    fn no_secret(&self, name: &str) -> VaultError {
        let help = format!("`{}` makes it", self.places.set(name));
        VaultError::NoSecret { vault: self.places.vault.clone(), name: name.to_owned(), help }
    }
}

impl Seen {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Takes note of a version, unless it is older than the newest.
    fn accept(&self, vault: &Path, counter: u64) -> Result<(), VaultError> {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = newest.entry(vault.to_owned()).or_insert(counter);
        if counter < *seen {
            return Err(VaultError::RolledBack { vault: vault.to_owned(), counter, seen: *seen });
        }
        *seen = counter;
        Ok(())
    }
}

/// A vault is sealed, so this is no more than a warning: who has a copy has yet to get at the key.
fn note_of(vault: &Path, mode: u32) -> Option<String> {
    (mode & 0o077 != 0).then(|| {
        format!("{} is a vault that its group or others can get at (mode {mode:03o})", vault.display())
    })
}

/// A thousand passwords have 100 KiB, and a hundred chains of certificates a megabyte.
const VAULT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long another writer is waited for: it has milliseconds of work.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The second one is after a rotation that the first one fell into.
const ATTEMPTS_MAX: u32 = 3;

#[cfg(test)]
#[path = "vault_tests.rs"]
pub(super) mod tests;
