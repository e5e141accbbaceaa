//! `local`: values of the embedded vault.
//!
//! Owns what a vault's answer means to the broker, and which versions it has seen. The vault itself is in
//! `vault_file/`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::SecretMemory;

use super::{
    FetchError, Fetched, Fetching, Flaw, Item, Kind, KnownSetting, Provider, Request, Settings, Shown,
};
use crate::clock;
use crate::diagnostics::printable;
use crate::offload::{Lost, offload};
use crate::vault_file::{PlaceFlags, Places, Seen, Vault, VaultError, check_name};

/// The kind `local`.
pub(super) struct Local;

/// One vault: the one of its settings, or without any that of the broker's environment.
struct Opened(PlaceFlags);

/// Both or none: two vaults with one key would be a trap, for a rotation of the one would lock the other.
const SETTINGS: [KnownSetting; 2] = [path(VAULT, KEY), path(KEY, VAULT)];

const fn path(name: &'static str, partner: &'static str) -> KnownSetting {
    KnownSetting {
        is_fixed: true,
        shown: Shown::Always,
        partner: Some(partner),
        check: check_path,
        ..KnownSetting::new(name)
    }
}

const VAULT: &str = "vault";
const KEY: &str = "key";

impl Kind for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        check_name(id)
    }

    fn settings(&self) -> &'static [KnownSetting] {
        &SETTINGS
    }

    fn open(&self, settings: Settings) -> Arc<dyn Provider> {
        let path = |name| settings.fixed(name).map(|value| PathBuf::from(OsStr::from_bytes(value.bytes())));
        Arc::new(Opened(PlaceFlags { vault: path(VAULT), key: path(KEY) }))
    }
}

fn check_path(path: &[u8]) -> Result<(), &'static str> {
    match path {
        [] => Err("a path cannot be empty"),
        path if path.contains(&0) => Err("a path cannot hold a NUL byte"),
        _ => Ok(()),
    }
}

impl Opened {
    /// What is said of a path that leads elsewhere for who is started elsewhere.
    fn relative(&self) -> Option<String> {
        let mut paths = [(VAULT, &self.0.vault), (KEY, &self.0.key)].into_iter();
        let (name, path) =
            paths.find_map(|(name, path)| Some((name, path.as_ref().filter(|it| it.is_relative())?)))?;
        let path = printable(&path.display().to_string());
        Some(format!("`{name}: {path}` begins where the broker is started"))
    }
}

impl Provider for Opened {
    fn fetch(&self, request: Request) -> Fetching {
        let places = Places::find(&self.0);
        Box::pin(async move {
            // Opening a large vault takes milliseconds, and its disk may hang.
            let places = places.map_err(|error| fetch_error(&error))?;
            let work = format!("read {}", places.vault.display());
            match offload(&work, PATIENCE, move || read(places, &request.items)).await {
                Ok(fetched) => fetched.map_err(|error| fetch_error(&error)),
                Err(Lost::TooSlow | Lost::StillStuck) => {
                    Err(FetchError::Failing(format!("{work}: i/o timeout")))
                }
                Err(Lost::Died) => Err(FetchError::Failing(format!("{work}: interrupted"))),
            }
        })
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        let places = Places::find(&self.0);
        let vault = places.as_ref().map(|places| places.vault.display().to_string()).unwrap_or_default();
        let (words, help, is_fatal) = match places.and_then(|places| read(places, std::slice::from_ref(item)))
        {
            Ok(fetched) => match fetched.notes.into_iter().next() {
                Some(note) => (note, format!("run `chmod 600 {vault}`"), false),
                None => (self.relative()?, "write whole paths".to_owned(), false),
            },
            Err(error) => match self.relative() {
                Some(words) => (format!("{error}; {words}"), "write whole paths".to_owned(), true),
                None => (error.to_string(), WAITS.to_owned(), true),
            },
        };
        Some(Flaw { words, help, is_fatal })
    }

    fn watch_path(&self, _: &str) -> Option<PathBuf> {
        Places::find(&self.0).ok().map(|places| places.vault)
    }
}

fn read(places: Places, items: &[Item]) -> Result<Fetched, VaultError> {
    let names: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let found = Vault::at(places).values(&names, &SEEN)?;
    let mut fetched = Fetched::new(found.values);
    fetched.notes.extend(found.note);
    fetched.refetch_at = Some(clock::now() + REFETCH_AFTER);
    Ok(fetched)
}

/// An old copy is refused for as long as the process runs, whoever reloads its configuration.
static SEEN: Seen = Seen::new();

fn fetch_error(error: &VaultError) -> FetchError {
    let words = error.to_string();
    match error {
        VaultError::NoVault { .. } | VaultError::NoKey { .. } | VaultError::NoSecret { .. } => {
            FetchError::NotFound(words)
        }
        VaultError::KeyExposed { .. } | VaultError::WrongKey { .. } => FetchError::Denied(words),
        VaultError::Io { kind: std::io::ErrorKind::PermissionDenied, .. } => FetchError::Denied(words),
        VaultError::NotAKey { .. }
        | VaultError::NotAVault { .. }
        | VaultError::Tampered { .. }
        | VaultError::Unreadable { .. }
        | VaultError::RolledBack { .. } => FetchError::Unusable(words),
        _ => FetchError::Failing(words),
    }
}

const WAITS: &str = "the service waits for it: its clients cannot connect until it can be read";

/// A local file is read in milliseconds; a disk that takes this long is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// The key may lie where nobody watches, and changes made on another machine of a network file system raise no event
/// here.
const REFETCH_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use protocol::Secret;
    use zeroize::Zeroizing;

    use super::*;
    use crate::settings::Setting;
    use crate::testing::{TempDir, block_on};
    use crate::values::Value;

    #[test]
    fn takes_names_that_a_vault_can_have() {
        assert!(Local.check_id("shop-password").is_ok());
        assert!(Local.check_id("shop password").is_err());
        assert!(Local.check_id("").is_err());
    }

    fn opened(dir: &TempDir, name: &str) -> Arc<dyn Provider> {
        let path = |file: &str| dir.path().join(name).join(file).display().to_string();
        let setting = |name: &str, path: String| {
            (name.to_owned(), Setting::Literal(Value::new(Secret::from_heap(path.into_bytes()))))
        };
        Local.open(Settings::new([setting(VAULT, path("data/v.age")), setting(KEY, path("key/v.key"))]))
    }

    fn set(dir: &TempDir, name: &str, value: &str) {
        let path = |file: &str| Some(dir.path().join(name).join(file));
        let flags = PlaceFlags { vault: path("data/v.age"), key: path("key/v.key") };
        let vault = Vault::at(Places::find(&flags).unwrap_or_else(|error| panic!("{error}")));
        vault.set("pw", Zeroizing::new(value.into())).unwrap_or_else(|error| panic!("{error}"));
    }

    fn item(id: &str) -> Item {
        Item { id: id.to_owned(), raw: false, is_public: false }
    }

    #[test]
    fn each_store_with_settings_is_a_vault_of_its_own() {
        let dir = TempDir::new();
        for name in ["one", "two"] {
            set(&dir, name, name);
            let store = opened(&dir, name);
            let fetched = block_on(store.fetch(Request::of(vec![item("pw")])));
            let fetched = fetched.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(fetched.values[0].expose(<[u8]>::to_vec), name.as_bytes());
            assert_eq!(store.watch_path("pw"), Some(dir.path().join(name).join("data/v.age")));
            assert!(!store.must_be_asked() && !store.is_constant());
        }
    }

    #[test]
    fn a_look_says_what_is_wrong_with_vault_key_and_name() {
        let dir = TempDir::new();
        let store = opened(&dir, "one");
        let look = |id: &str| store.look(&item(id)).map(|flaw| (flaw.words, flaw.is_fatal));
        let says = |id: &str, words: &str| {
            let (said, is_fatal) = look(id).unwrap_or_else(|| panic!("{words} is a flaw"));
            assert!(is_fatal && said.contains(words), "{said}");
        };
        says("pw", "there is no vault");
        set(&dir, "one", "hunter2");
        assert_eq!(look("pw"), None);
        let vault = dir.path().join("one/data/v.age").display().to_string();
        let key = dir.path().join("one/key/v.key").display().to_string();
        says("other", &format!("`secretless-broker secret set other --vault {vault} --key {key}` makes it"));
        let chmod = |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        chmod(&vault, 0o640).expect("ours");
        let flaw = store.look(&item("pw")).unwrap_or_else(|| panic!("an open vault is a flaw"));
        assert_eq!((flaw.help, flaw.is_fatal), (format!("run `chmod 600 {vault}`"), false));
        chmod(&key, 0o640).expect("ours");
        says("pw", &format!("run `chmod 600 {key}`"));
        chmod(&key, 0o600).expect("ours");
        set(&dir, "two", "1");
        fs::copy(dir.path().join("two/key/v.key"), &key).expect("ours");
        says("pw", "it is sealed to another");
        fs::write(&vault, "").expect("ours");
        says("pw", "it is empty");
        fs::remove_file(&key).expect("ours");
        says("pw", "the key of the vault is not there");
    }

    #[test]
    fn sorts_failures_by_what_to_do_about_them() {
        let vault = PathBuf::from("/v");
        let labels = [
            (VaultError::NoVault { vault: vault.clone(), command: String::new() }, "not_found"),
            (VaultError::KeyExposed { key: vault.clone(), mode: 0o640 }, "denied"),
            (VaultError::WrongKey { vault: vault.clone(), source: "/k".to_owned() }, "denied"),
            (VaultError::Tampered { vault: vault.clone() }, "unusable"),
            (VaultError::RolledBack { vault: vault.clone(), counter: 1, seen: 2 }, "unusable"),
            (VaultError::Busy(vault), "failing"),
        ];
        for (error, label) in labels {
            assert_eq!(fetch_error(&error).label(), label);
        }
    }
}
