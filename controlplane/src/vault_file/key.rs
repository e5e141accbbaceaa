//! Where the key of a vault comes from.
//!
//! Owns the four sources (a file, a variable, a credential of systemd's, the kernel's keyring), what each must be like,
//! and the text that keys are written in. Knows nothing of the vault. A key is read each time that it is needed and
//! wiped after that: what changes it is taken up at once.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use protocol::Secret;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::contents::written;
use super::disk::{self, Owner};
use super::error::VaultError;
use super::identity::{Identity, TEXT_BYTES};
use crate::values::Value;

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In a file of ours, for nobody else to read.
    File(PathBuf),
    /// In the environment, in [`VARIABLE`].
    Environment,
    /// In a file that systemd made for this process alone (`LoadCredential=`).
    Credential(PathBuf),
    /// In the kernel's memory, as a key of type `user` of this name.
    Keyring(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment => write!(f, "the environment variable {VARIABLE}"),
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
            Self::Keyring(name) => write!(f, "the key '{name}' of the kernel's keyring"),
        }
    }
}

/// The keys of one source: the first is sealed to, and each may open.
///
/// There is more than one only while `rotate-key` is under way, or if that was cut short.
pub(super) struct Keys {
    identities: Vec<Identity>,
    /// The vault that they were written for, as far as that is known.
    vault: Option<PathBuf>,
    /// Whether they were written by a rotation that was under way.
    is_rotation: bool,
}

impl Keys {
    /// Reads them.
    pub(super) fn load(source: &KeySource) -> Result<Self, VaultError> {
        let text = match source {
            KeySource::File(path) => read_file(source, path, true)?,
            // systemd lets the user in by an access list, which shows as a group's bits; the directory is closed to others.
            KeySource::Credential(path) => read_file(source, path, false)?,
            KeySource::Environment => read_taken(source)?,
            KeySource::Keyring(name) => read_keyring(source, name)?,
        };
        Self::parse(&text).map_err(|why| VaultError::NotAKey { source: source.to_string(), why })
    }

    /// A new one alone.
    pub(super) fn generate() -> Result<Self, VaultError> {
        Ok(Self::of(vec![Identity::generate().ok_or(VaultError::NoEntropy)?]))
    }

    fn of(identities: Vec<Identity>) -> Self {
        Self { identities, vault: None, is_rotation: false }
    }

    /// What age calls an identity file: a key in each line; empty lines and those that begin with `#` are none.
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
        let mut keys = Self::of(Vec::new());
        for line in text.lines().map(str::trim_ascii).filter(|line| !line.is_empty()) {
            if line.starts_with('#') {
                keys.vault = line.strip_prefix(VAULT).map(PathBuf::from).or(keys.vault);
                keys.is_rotation |= line == ROTATION;
                continue;
            }
            if keys.identities.len() == KEYS_MAX {
                return Err("it has too many lines");
            }
            let identity = Identity::parse(line);
            keys.identities
                .push(identity.ok_or("a line of it is not an X25519 identity of age, AGE-SECRET-KEY-1…")?);
        }
        if keys.identities.is_empty() { Err("it is empty") } else { Ok(keys) }
    }

    /// Writes them to a file, for this vault. The caller holds the lock of either.
    pub(super) fn save(&self, path: &Path, vault: &Path, now: OffsetDateTime) -> Result<(), VaultError> {
        let mut comments = format!("# created: {}\n{COMMENT}\n", written(now));
        // A path that is no line of text is not worth a format of its own.
        if let Some(vault) = vault.to_str().filter(|path| !path.contains(char::is_control)) {
            comments += &format!("{VAULT}{vault}\n");
        }
        if self.identities.len() > 1 {
            comments += &format!("{ROTATION}\n");
        }
        // Growing would leave a copy behind.
        let bytes = comments.len() + self.identities.len() * (TEXT_BYTES + 1);
        let mut text = Zeroizing::new(Vec::with_capacity(bytes));
        text.extend_from_slice(comments.as_bytes());
        for identity in &self.identities {
            text.extend_from_slice(identity.to_text().as_bytes());
            text.push(b'\n');
        }
        disk::replace(path, &text, Owner::Writer)
    }

    /// That they are not the keys of another vault, which a rotation for `vault` would lock for ever.
    pub(super) fn check_owner(&self, path: &Path, vault: &Path) -> Result<(), VaultError> {
        let state = |path: &Path| path.metadata().ok().map(|there| (there.dev(), there.ino()));
        match &self.vault {
            // One that was moved here, or has two names, is the same.
            Some(other)
                if other != vault && state(other).is_some_and(|there| state(vault) != Some(there)) =>
            {
                Err(VaultError::KeyTaken { key: path.to_owned(), vault: other.clone() })
            }
            _ => Ok(()),
        }
    }

    /// That a rotation drops none but what it has made: a key that opens something else is not ours to forget.
    pub(super) fn check_rotation(&self, path: &Path) -> Result<(), VaultError> {
        match self.identities.len() {
            1 => Ok(()),
            2 if self.is_rotation => Ok(()),
            _ => Err(VaultError::KeysOfOthers(path.to_owned())),
        }
    }

    /// Every key.
    pub(super) fn all(&self) -> &[Identity] {
        &self.identities
    }

    /// The one to seal to.
    pub(super) fn first(&self) -> &Identity {
        &self.identities[0]
    }

    /// These, and behind them `others`.
    pub(super) fn before(mut self, others: Self) -> Self {
        self.identities.extend(others.identities);
        self
    }

    /// The one at this place alone.
    pub(super) fn only(mut self, index: usize) -> Self {
        Self::of(vec![self.identities.swap_remove(index)])
    }
}

fn read_file(source: &KeySource, path: &Path, is_ours: bool) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let found = disk::read(path, TEXT_BYTES_MAX).map_err(|error| match error {
        VaultError::Io { kind: io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, said, .. } => {
            VaultError::NoKey { source: source.to_string(), said }
        }
        other => other,
    })?;
    if is_ours && found.mode & 0o077 != 0 {
        return Err(VaultError::KeyExposed { key: path.to_owned(), mode: found.mode });
    }
    Ok(found.bytes)
}

/// Takes the key out of the environment, which lies outside every wiped memory and is shown to whoever may look into the
/// process. Before there is a second thread; what stays there all the same is said.
pub(crate) fn take() -> Option<String> {
    let (key, is_wiped) = dataplane::take_variable(VARIABLE)?;
    if !key.is_empty() {
        // Once for the process: nobody has set it before.
        let _ = TAKEN.set(Secret::new(Value::new(key)));
    }
    (!is_wiped).then(|| format!("{VARIABLE} could not be wiped from the environment"))
}

/// Whether there was one.
pub(super) fn is_taken() -> bool {
    TAKEN.get().is_some()
}

fn read_taken(source: &KeySource) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let key = TAKEN.get().map(|key| Zeroizing::new(key.expose(<[u8]>::to_vec)));
    key.ok_or_else(|| VaultError::NoKey { source: source.to_string(), said: "it is not set".to_owned() })
}

/// What stood in [`VARIABLE`] when the process was started.
static TAKEN: OnceLock<Secret> = OnceLock::new();

/// The variable with the key itself.
pub(super) const VARIABLE: &str = "SECRETLESS_VAULT_KEY";

/// The session's keyring first, as the kernel itself would look, and then the user's.
///
/// A process of a session that is not linked to the user's keyring (a service of systemd's, a session without
/// `pam_keyinit`) sees the user's keys and may not read them, for it does not possess them. A link from the thread's
/// own keyring, which ends with the thread, is what makes it possess them: keyrings(7).
fn read_keyring(source: &KeySource, name: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let failed =
        |error: KeyError| VaultError::NoKey { source: source.to_string(), said: words(error).to_owned() };
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, false);
    let found = session.and_then(|keyring| keyring.search(name)).or_else(|_| {
        let thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
        thread.link_keyring_id(KeyRingIdentifier::User)?;
        KeyRing::from_special_id(KeyRingIdentifier::User, false)?.search(name)
    });
    let mut text = Zeroizing::new(vec![0; TEXT_BYTES_MAX]);
    let bytes = found.and_then(|key| key.read(&mut *text)).map_err(failed)?;
    // The kernel says how large the key is, also where that is more than fits.
    text.truncate(bytes);
    Ok(text)
}

fn words(error: KeyError) -> &'static str {
    match error {
        KeyError::KeyDoesNotExist | KeyError::KeyringDoesNotExist => {
            "there is none; after a reboot it must be loaded anew"
        }
        KeyError::KeyExpired => "it has expired",
        KeyError::KeyRevoked => "it was revoked",
        KeyError::AccessDenied => "it may not be read",
        KeyError::PermissionDenied => "the kernel refuses: in a container, keyrings are often switched off",
        KeyError::OperationNotSupported => "this kernel has none",
        _ => "the kernel refuses",
    }
}

const COMMENT: &str =
    "# The key of a vault of secretless-broker: keep it away from the vault and from copies of it.";

/// Before the vault's path.
const VAULT: &str = "# vault: ";

const ROTATION: &str =
    "# A rotation is under way: run `secretless-broker secret rotate-key` again to finish it.";

/// A key has 74 bytes, and there may be comments.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Two while a rotation is under way. Each is tried, so there is an end to it.
const KEYS_MAX: usize = 8;

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
