//! `local`: values of the embedded vault.
//!
//! Owns what a vault's answer means to the broker, and which versions it has seen. The vault itself is in
//! `vault_file/`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{FetchError, Fetched, Fetching, Flaw, Item, Provider, Request};
use crate::offload::{Lost, offload};
use crate::vault_file::{PlaceFlags, Places, Seen, Vault, VaultError, check_name};

/// The provider `local`.
pub(super) struct Local;

impl Provider for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        check_name(id)
    }

    fn fetch(&self, request: Request) -> Fetching {
        Box::pin(async move {
            // Opening a large vault takes milliseconds, and its disk may hang.
            let places = places().map_err(|error| fetch_error(&error))?;
            let work = format!("read {}", places.vault.display());
            match offload(&work, PATIENCE, move || read(places, &request.items)).await {
                Ok(fetched) => fetched.map_err(|error| fetch_error(&error)),
                Err(Lost::TooSlow | Lost::StillStuck) => {
                    Err(FetchError::Unavailable(format!("{work}: i/o timeout")))
                }
                Err(Lost::Died) => Err(FetchError::Unavailable(format!("{work}: interrupted"))),
            }
        })
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        match places().and_then(|places| read(places, std::slice::from_ref(item))) {
            Ok(fetched) => {
                let help = "run `chmod 600` on it".to_owned();
                fetched.notes.into_iter().next().map(|words| Flaw { words, help, is_fatal: false })
            }
            Err(error) => {
                let help =
                    "the service waits for it: its clients cannot connect until it is there".to_owned();
                Some(Flaw { words: error.to_string(), help, is_fatal: true })
            }
        }
    }

    fn watch_path(&self, _: &str) -> Option<PathBuf> {
        places().ok().map(|places| places.vault)
    }
}

/// The environment of the broker says where its vault is.
fn places() -> Result<Places, VaultError> {
    Places::find(&PlaceFlags::default())
}

fn read(places: Places, items: &[Item]) -> Result<Fetched, VaultError> {
    let names: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let found = Vault::at(places).values(&names, &SEEN)?;
    let mut fetched = Fetched::new(found.values);
    fetched.notes.extend(found.note);
    fetched.refetch_at = Some(Instant::now() + REFETCH_AFTER);
    Ok(fetched)
}

/// An old copy is refused for as long as the process runs, whoever reloads its configuration.
static SEEN: Seen = Seen::new();

fn fetch_error(error: &VaultError) -> FetchError {
    let words = error.to_string();
    match error {
        VaultError::NoVault(_) | VaultError::NoKey { .. } | VaultError::NoSecret { .. } => {
            FetchError::NotFound(words)
        }
        VaultError::KeyExposed { .. } | VaultError::WrongKey { .. } => FetchError::Denied(words),
        VaultError::Io { kind: std::io::ErrorKind::PermissionDenied, .. } => FetchError::Denied(words),
        VaultError::NotAKey { .. }
        | VaultError::NotAVault { .. }
        | VaultError::Tampered { .. }
        | VaultError::Unreadable { .. }
        | VaultError::RolledBack { .. } => FetchError::Unusable(words),
        _ => FetchError::Unavailable(words),
    }
}

/// A local file is read in milliseconds; a disk that takes this long is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// The key may lie where nobody watches, and changes made on another machine of a network file system raise no event
/// here.
const REFETCH_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_that_a_vault_can_have() {
        assert!(Local.check_id("shop-password").is_ok());
        assert!(Local.check_id("shop password").is_err());
        assert!(Local.check_id("").is_err());
    }

    #[test]
    fn sorts_failures_by_what_to_do_about_them() {
        let vault = PathBuf::from("/v");
        let labels = [
            (VaultError::NoVault(vault.clone()), "not_found"),
            (VaultError::KeyExposed { key: vault.clone(), mode: 0o640 }, "denied"),
            (VaultError::WrongKey { vault: vault.clone(), source: "/k".to_owned() }, "denied"),
            (VaultError::Tampered { vault: vault.clone() }, "unusable"),
            (VaultError::RolledBack { vault: vault.clone(), counter: 1, seen: 2 }, "unusable"),
            (VaultError::Busy(vault), "unavailable"),
        ];
        for (error, label) in labels {
            assert_eq!(fetch_error(&error).label(), label);
        }
    }
}
