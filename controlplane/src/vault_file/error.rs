//! Why a vault cannot be used, by cause, each with its remedy.
//!
//! Owns the words that a person reads. They name files, variables and secrets, and never hold any of a value or a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::contents::{ContentsError, ENTRIES_MAX, VALUE_BYTES_MAX};
use crate::os_words::words;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VaultError {
    /// There is no home directory, and nobody said where the vault is.
    NoHome,
    /// The place of the vault was said, and that of its key was not.
    KeyUnsaid,
    /// The place of the vault was said, and systemd's credentials lack the key; where they are, and what it is called there.
    NoCredential { directory: PathBuf, name: &'static str },
    /// These two both say where the key is.
    TwoKeys(&'static str, &'static str),
    /// There is no vault; the command that makes one.
    NoVault { vault: PathBuf, command: String },
    /// There is a vault, and no key where it should be; the source of the key and what was said there.
    NoKey { source: String, said: String },
    /// Group or others can read the key.
    KeyExposed { key: PathBuf, mode: u32 },
    /// What should be a key is none.
    NotAKey { source: String, why: &'static str },
    /// The key opens something else.
    WrongKey { vault: PathBuf, source: String },
    /// The vault is no file of the format.
    NotAVault { vault: PathBuf, why: String },
    /// Somebody has changed the vault, or it was cut off.
    Tampered { vault: PathBuf },
    /// What is sealed is not what we seal.
    Unreadable { vault: PathBuf, why: ContentsError },
    /// It is older than one that was there before.
    RolledBack { vault: PathBuf, counter: u64, seen: u64 },
    /// The vault has no secret of this name, and what helps.
    NoSecret { vault: PathBuf, name: String, help: String },
    /// It cannot be a name.
    Name(String),
    /// There is nothing to set.
    EmptyValue(String),
    /// The value is too large.
    LargeValue(String),
    /// The vault has as many secrets as it may.
    Full(PathBuf),
    /// It would be larger than we read.
    LargeVault(PathBuf),
    /// Key and vault would lie together.
    Together(PathBuf),
    /// Somebody else writes, and has not finished in time.
    Busy(PathBuf),
    /// The key does not lie where we could write another.
    KeyNotOurs(String),
    /// This key is another vault's.
    KeyTaken { key: PathBuf, vault: PathBuf },
    /// Some of these keys may open something else.
    KeysOfOthers(PathBuf),
    /// It belongs to another user, whose it would cease to be.
    OthersFile(PathBuf),
    /// It is a link that another user can turn.
    OthersLink(PathBuf),
    /// The kernel gives no entropy, or the library refuses what it never should.
    NoEntropy,
    /// A call of the kernel failed, for this path.
    Io { call: &'static str, path: PathBuf, kind: io::ErrorKind, said: String },
}

impl VaultError {
    /// What came of `call` on `path`.
    pub(super) fn io(call: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { call, path: path.to_owned(), kind: error.kind(), said: words(error) }
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str(
                "there is no home directory to keep a vault in: say where it is in SECRETLESS_VAULT and SECRETLESS_VAULT_KEY_FILE, or, \
                 where it is a command that asks, with --vault and --key",
            ),
            Self::KeyUnsaid => f.write_str(
                "the place of the vault was given, and that of its key was not: every vault has a key of its own; name it in \
                 SECRETLESS_VAULT_KEY_FILE, or, where it is a command that asks, with --key",
            ),
            Self::NoCredential { directory, name } => write!(
                f,
                "there is no {name} in {}, where systemd puts a unit's credentials: give the unit `LoadCredential={name}:FILE`, or \
                 name the key's file in SECRETLESS_VAULT_KEY_FILE",
                directory.display()
            ),
            Self::TwoKeys(one, other) => write!(f, "{one} and {other} are both set: unset one of them"),
            Self::NoVault { vault, command } => {
                write!(f, "there is no vault {}: `{command}` makes one", vault.display())
            }
            Self::NoKey { source, said } => {
                write!(f, "the key of the vault is not there: {source}: {said}; without it nothing opens the vault: put a copy of it there")
            }
            Self::KeyExposed { key, mode } => {
                let key = key.display();
                write!(f, "{key} is a key that its group or others can read (mode {mode:03o}): run `chmod 600 {key}`")
            }
            Self::NotAKey { source, why } => write!(f, "{source} is not the key of a vault: {why}"),
            Self::WrongKey { vault, source } => {
                write!(f, "{source} is not the key of {}: it is sealed to another; if the key was rotated, put the new one there", vault.display())
            }
            Self::NotAVault { vault, why } => write!(f, "{} is not a vault: {why}; put a copy of the vault in its place, or name another file", vault.display()),
            Self::Tampered { vault } => write!(
                f,
                "{} is not as it was written: somebody has changed it, or it was cut off; put a copy in its place",
                vault.display()
            ),
            Self::Unreadable { vault, why } => write!(f, "{} cannot be read: {why}; put a copy in its place", vault.display()),
            Self::RolledBack { vault, counter, seen } => write!(
                f,
                "{} is older than it was (counter {counter}, and {seen} was seen): somebody has put an old copy in its \
                 place; if that is meant, set a secret anew or restart the broker",
                vault.display()
            ),
            Self::NoSecret { vault, name, help } => {
                write!(f, "there is no secret {name} in {}: {help}", vault.display())
            }
            Self::Name(words) => f.write_str(words),
            Self::EmptyValue(name) => write!(f, "the value of {name} is empty: it is read from standard input"),
            Self::LargeValue(name) => write!(f, "the value of {name} has more than {VALUE_BYTES_MAX} bytes"),
            Self::Full(vault) => write!(f, "{} has {ENTRIES_MAX} secrets, and no room for more", vault.display()),
            Self::LargeVault(vault) => {
                write!(f, "{}: no room for more: it would be larger than a vault may be", vault.display())
            }
            Self::Together(directory) => write!(
                f,
                "key and vault would both lie in {}: who copies one would copy the other; name different directories",
                directory.display()
            ),
            Self::Busy(lock) => write!(
                f,
                "somebody else is writing the vault, and has not finished: {} is locked",
                lock.display()
            ),
            Self::KeyNotOurs(source) => write!(
                f,
                "the key comes from {source}, where this command cannot write another: put it into a file, name that with --key, \
                 run this again, and bring the new key back"
            ),
            Self::KeyTaken { key, vault } => write!(
                f,
                "{} is the key of {}, which a rotation of the key for another vault would lock: name another key",
                key.display(),
                vault.display()
            ),
            Self::KeysOfOthers(path) => write!(
                f,
                "{} has keys besides that of the vault, and this would forget them: leave that one alone in it",
                path.display()
            ),
            Self::OthersFile(path) => write!(
                f,
                "{} belongs to another user, who could not read it afterwards: run this as that user",
                path.display()
            ),
            Self::OthersLink(path) => write!(
                f,
                "{} is a link that another user can turn to a file of yours: name what it should lead to",
                path.display()
            ),
            Self::NoEntropy => f.write_str("the kernel gives no randomness"),
            Self::Io { call, path, said, .. } => write!(f, "{call} {}: {said}", path.display()),
        }
    }
}

impl std::error::Error for VaultError {}
