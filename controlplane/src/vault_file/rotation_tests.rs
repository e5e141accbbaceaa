//! A new key: whoever is killed between two steps, the key file has the key that the vault is sealed to.

use std::fs;
use std::path::Path;

use super::super::vault::tests::{get, set, vault_in};
use super::super::{key::Keys, places::Places};
use super::*;
use crate::testing::TempDir;

fn keys_in(vault: &Vault) -> Vec<String> {
    let keys = Keys::load(&vault.places.key).unwrap_or_else(|error| panic!("{error}"));
    keys.all().iter().map(|key| key.to_text().to_string()).collect()
}

/// The places as they would be for a key in `file`.
fn with_key(vault: &Vault, file: &Path) -> Vault {
    Vault::at(Places { key: KeySource::File(file.to_owned()), ..vault.places.clone() })
}

#[test]
fn the_new_key_opens_the_vault_and_the_old_one_does_not() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let KeySource::File(path) = &vault.places.key else { panic!("a file") };
    let old = dir.path().join("old.key");
    fs::copy(path, &old).expect("copies");
    let before = keys_in(&vault);
    assert_eq!(vault.rotate_key(), Ok(()));
    assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
    let after = keys_in(&vault);
    assert!(after.len() == 1 && after != before);
    assert!(matches!(get(&with_key(&vault, &old), "pw"), Err(VaultError::WrongKey { .. })));
}

#[test]
fn a_rotation_that_stops_behind_any_step_loses_nothing_and_can_be_repeated() {
    for first in 0..=STEPS.len() {
        for second in 0..=STEPS.len() {
            let dir = TempDir::new();
            let vault = vault_in(&dir);
            set(&vault, "pw", b"hunter2");
            for stop in [first, second] {
                assert_eq!(vault.rotate(&STEPS[..stop]), Ok(()));
                assert_eq!(
                    get(&vault, "pw"),
                    Ok(b"hunter2".to_vec()),
                    "stopped behind {first} and {second} steps"
                );
                assert!(keys_in(&vault).len() <= 2, "the ones that open nothing are dropped");
            }
            // What was begun does not stand in the way of what comes next.
            set(&vault, "other", b"1");
            assert_eq!(vault.rotate_key(), Ok(()));
            assert_eq!(keys_in(&vault).len(), 1);
            assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
            assert_eq!(get(&vault, "other"), Ok(b"1".to_vec()));
        }
    }
}

#[test]
fn a_key_that_may_open_something_else_is_not_forgotten() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let KeySource::File(path) = &vault.places.key else { panic!("a file") };
    let other = Keys::generate().unwrap_or_else(|error| panic!("{error}"));
    let text = fs::read_to_string(path).expect("text");
    let both = format!("{text}{}\n", other.first().to_text().as_str());
    fs::write(path, &both).expect("ours");
    assert_eq!(vault.rotate_key(), Err(VaultError::KeysOfOthers(path.clone())));
    assert_eq!(fs::read_to_string(path).expect("text"), both);
    fs::write(path, text).expect("ours");
    assert_eq!(vault.rotate(&STEPS[..1]), Ok(()));
    let three = format!("{}{}\n", fs::read_to_string(path).expect("text"), other.first().to_text().as_str());
    fs::write(path, three).expect("ours");
    assert_eq!(vault.rotate_key(), Err(VaultError::KeysOfOthers(path.clone())));
    assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
}

#[test]
fn a_reader_is_never_without_the_key() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let places = vault.places.clone();
    let rotations = std::thread::spawn(move || {
        let vault = Vault::at(places);
        for _ in 0..50 {
            assert_eq!(vault.rotate_key(), Ok(()));
        }
    });
    while !rotations.is_finished() {
        assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
    }
    rotations.join().expect("rotates");
}

#[test]
fn a_key_that_is_not_in_a_file_is_for_its_owner_to_change() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let before = fs::read(&vault.places.vault).expect("is there");
    for key in
        [KeySource::Environment, KeySource::Keyring("x".to_owned()), KeySource::Credential("/x".into())]
    {
        let elsewhere = Vault::at(Places { key: key.clone(), ..vault.places.clone() });
        assert_eq!(elsewhere.rotate_key(), Err(VaultError::KeyNotOurs(key.to_string())));
    }
    assert_eq!(fs::read(&vault.places.vault).expect("is there"), before);
}
