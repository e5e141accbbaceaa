//! Where a vault and its key are.
//!
//! Owns the defaults, the flags and the variables, and which of them counts. Reads no file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::VaultError;
use super::key::{self, KeySource, VARIABLE as KEY};

/// Where a vault and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) vault: PathBuf,
    pub(crate) key: KeySource,
    /// What a command must be told to find them.
    pub(super) flags: PlaceFlags,
}

/// What the command line says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceFlags {
    /// `--vault`
    pub vault: Option<PathBuf>,
    /// `--key`
    pub key: Option<PathBuf>,
}

impl Places {
    /// What counts for this process.
    pub(crate) fn find(flags: &PlaceFlags) -> Result<Self, VaultError> {
        let is_root = rustix::process::geteuid().is_root();
        Self::of(flags, is_root, |name| match name {
            // It is in the environment no more. What it says is the key's to know.
            KEY => key::is_taken().then(OsString::new),
            _ => std::env::var_os(name).filter(|value| !value.is_empty()),
        })
    }

    /// The command line that sets a secret here.
    pub(super) fn set(&self, name: &str) -> String {
        let mut line = format!("secretless-broker secret set {name}");
        for (flag, path) in [("--vault", &self.flags.vault), ("--key", &self.flags.key)] {
            if let Some(path) = path {
                let path = absolute(path).display().to_string();
                line = format!("{line} {flag} {}", quoted(&path));
            }
        }
        line
    }

    /// What counts where the variables are these.
    fn of(
        flags: &PlaceFlags,
        is_root: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, VaultError> {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let named_vault = flags.vault.clone().or_else(|| path(VAULT));
        let named_key = match &flags.key {
            Some(key) => Some(file_or_credential(key.clone(), &variable)),
            None => key_of_variables(&variable)?,
        };
        let home = |given: &str, below: &str| {
            let base = path(given).filter(|base| base.is_absolute());
            base.or_else(|| path("HOME").map(|home| home.join(below))).ok_or(VaultError::NoHome)
        };
        // Two vaults with one key would be a trap: a rotation of the one would lock the other. What the variables say belongs
        // together.
        let is_another = flags.vault.is_some() && path(VAULT).is_some() && flags.vault != path(VAULT);
        let key = match named_key {
            Some(_) if is_another && flags.key.is_none() => return Err(VaultError::KeyUnsaid),
            Some(key) => key,
            None if named_vault.is_some() => match path(CREDENTIALS) {
                Some(directory) => return Err(VaultError::NoCredential { directory, name: CREDENTIAL }),
                None => return Err(VaultError::KeyUnsaid),
            },
            None if is_root => KeySource::File(PathBuf::from(ROOT_KEY)),
            None => KeySource::File(home("XDG_CONFIG_HOME", ".config")?.join(DIRECTORY).join("vault.key")),
        };
        let vault = match named_vault {
            Some(vault) => vault,
            None if is_root => PathBuf::from(ROOT_VAULT),
            None => home("XDG_DATA_HOME", ".local/share")?.join(DIRECTORY).join("vault.age"),
        };
        Ok(Self { vault: absolute(&vault), key: with_absolute_path(key), flags: flags.clone() })
    }
}

/// The one variable that says where the key is.
fn key_of_variables(variable: &impl Fn(&str) -> Option<OsString>) -> Result<Option<KeySource>, VaultError> {
    let said: Vec<&'static str> =
        [KEY, KEY_FILE, KEY_KEYRING].into_iter().filter(|name| variable(name).is_some()).collect();
    if let [one, other, ..] = said[..] {
        return Err(VaultError::TwoKeys(one, other));
    }
    if let Some(name) = variable(KEY_KEYRING) {
        return Ok(Some(KeySource::Keyring(name.to_string_lossy().into_owned())));
    }
    if let Some(path) = variable(KEY_FILE) {
        return Ok(Some(file_or_credential(PathBuf::from(path), variable)));
    }
    if variable(KEY).is_some() {
        return Ok(Some(KeySource::Environment));
    }
    // systemd.exec(5): the directory is there when any credential was loaded, ours or not.
    let credential = variable(CREDENTIALS).map(|directory| Path::new(&directory).join(CREDENTIAL));
    Ok(credential.filter(|path| path.exists()).map(KeySource::Credential))
}

/// A file that systemd made is a credential, whoever names it: its mode is not ours to judge.
fn file_or_credential(path: PathBuf, variable: &impl Fn(&str) -> Option<OsString>) -> KeySource {
    let directory = variable(CREDENTIALS).map(PathBuf::from);
    match directory.is_some_and(|directory| path.parent() == Some(&directory)) {
        true => KeySource::Credential(path),
        false => KeySource::File(path),
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+@:,%".contains(&byte);
    match path.bytes().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// The broker and its watcher may not be where the path was said.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn with_absolute_path(source: KeySource) -> KeySource {
    match source {
        KeySource::File(path) => KeySource::File(absolute(&path)),
        other => other,
    }
}

/// The variable with the path of the vault.
const VAULT: &str = "SECRETLESS_VAULT";

/// The variable with the path of the key.
const KEY_FILE: &str = "SECRETLESS_VAULT_KEY_FILE";

/// The variable with the name of a key in the kernel's keyring.
const KEY_KEYRING: &str = "SECRETLESS_VAULT_KEY_KEYRING";

/// The variable with the directory that systemd made for this process alone.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The name of the credential in a unit of systemd's.
const CREDENTIAL: &str = "secretless-vault-key";

const ROOT_VAULT: &str = "/var/lib/secretless/vault.age";

const ROOT_KEY: &str = "/etc/secretless/vault.key";

/// In a user's directories for data and for settings.
const DIRECTORY: &str = "secretless";

#[cfg(test)]
mod tests {
    use super::*;

    fn places(flags: (&str, &str), is_root: bool, variables: &[(&str, &str)]) -> Result<Places, VaultError> {
        let path = |text: &str| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
        let flags = PlaceFlags { vault: path(flags.0), key: path(flags.1) };
        Places::of(&flags, is_root, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    fn found(flags: (&str, &str), is_root: bool, variables: &[(&str, &str)]) -> (String, String) {
        let places = places(flags, is_root, variables).unwrap_or_else(|error| panic!("{error}"));
        (places.vault.display().to_string(), places.key.to_string())
    }

    fn pair(vault: &str, key: &str) -> (String, String) {
        (vault.to_owned(), key.to_owned())
    }

    #[test]
    fn root_has_the_systems_places_and_a_user_has_his_own() {
        assert_eq!(
            found(("", ""), true, &[("HOME", "/root")]),
            pair("/var/lib/secretless/vault.age", "/etc/secretless/vault.key")
        );
        assert_eq!(
            found(("", ""), false, &[("HOME", "/home/nobody-here")]),
            pair(
                "/home/nobody-here/.local/share/secretless/vault.age",
                "/home/nobody-here/.config/secretless/vault.key"
            )
        );
        let xdg = [("HOME", "/h"), ("XDG_DATA_HOME", "/data"), ("XDG_CONFIG_HOME", "relative")];
        assert_eq!(
            found(("", ""), false, &xdg),
            pair("/data/secretless/vault.age", "/h/.config/secretless/vault.key"),
            "the specification ignores relative paths"
        );
        assert_eq!(places(("", ""), false, &[]), Err(VaultError::NoHome));
    }

    #[test]
    fn flags_come_before_variables() {
        let variables = [(VAULT, "/v"), (KEY_FILE, "/k")];
        assert_eq!(found(("", ""), false, &variables), pair("/v", "/k"));
        assert_eq!(found(("/fv", "/fk"), false, &variables), pair("/fv", "/fk"));
        let source = "the environment variable SECRETLESS_VAULT_KEY";
        assert_eq!(found(("", ""), true, &[(KEY, "x")]).1, source);
        let source = "the key 'mine' of the kernel's keyring";
        assert_eq!(found(("/v", ""), false, &[(KEY_KEYRING, "mine")]), pair("/v", source));
    }

    #[test]
    fn a_vault_that_was_named_needs_a_key_that_was_named() {
        assert_eq!(places(("/v", ""), true, &[]), Err(VaultError::KeyUnsaid));
        assert_eq!(places(("", ""), true, &[(VAULT, "/v")]), Err(VaultError::KeyUnsaid));
        let variables = [(VAULT, "/v"), (KEY_FILE, "/k")];
        assert_eq!(places(("/other", ""), true, &variables), Err(VaultError::KeyUnsaid));
        assert_eq!(found(("/v", ""), true, &variables), pair("/v", "/k"));
    }

    #[test]
    fn two_variables_for_one_key_are_refused() {
        let refused = places(("", ""), true, &[(KEY, "x"), (KEY_FILE, "/k")]);
        assert_eq!(refused, Err(VaultError::TwoKeys(KEY, KEY_FILE)));
    }

    #[test]
    fn a_credential_counts_if_it_is_there() {
        let dir = crate::testing::TempDir::new();
        let directory = dir.path().display().to_string();
        let variables = [(CREDENTIALS, directory.as_str()), (VAULT, "/v")];
        let missing = VaultError::NoCredential { directory: dir.path().to_owned(), name: CREDENTIAL };
        assert_eq!(places(("", ""), true, &variables), Err(missing));
        let path = dir.file(CREDENTIAL, "x");
        let credential = format!("the credential {}", path.display());
        assert_eq!(found(("", ""), true, &variables).1, credential);
        // Its own name does not matter to who names it.
        assert_eq!(found(("/v", &path.display().to_string()), true, &variables).1, credential);
    }

    #[test]
    fn says_how_to_set_a_secret_in_the_vault_that_was_meant() {
        let set = |flags, variables: &[(&str, &str)]| {
            places(flags, true, variables).unwrap_or_else(|error| panic!("{error}")).set("pw")
        };
        assert_eq!(set(("", ""), &[]), "secretless-broker secret set pw");
        assert_eq!(set(("", ""), &[(VAULT, "/v"), (KEY_FILE, "/k")]), "secretless-broker secret set pw");
        assert_eq!(
            set(("/a vault", "/it's"), &[]),
            r"secretless-broker secret set pw --vault '/a vault' --key '/it'\''s'"
        );
    }
}
