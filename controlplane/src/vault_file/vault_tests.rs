//! A vault: making it, changing it, and everything that can be wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::identity::Identity;
use super::super::places::PlaceFlags;
use super::*;
use crate::testing::TempDir;

/// A vault in a directory of its own, with a key in another.
pub(in super::super) fn vault_in(dir: &TempDir) -> Vault {
    vault_at(dir.path().join("data/vault.age"), dir.path().join("key/vault.key"))
}

fn vault_at(vault: PathBuf, key: PathBuf) -> Vault {
    let flags = PlaceFlags { vault: Some(vault), key: Some(key) };
    Vault::at(Places::find(&flags).unwrap_or_else(|error| panic!("{error}")))
}

#[track_caller]
pub(in super::super) fn set(vault: &Vault, name: &str, value: &[u8]) -> Change {
    vault.set(name, Zeroizing::new(value.to_vec())).unwrap_or_else(|error| panic!("{error}"))
}

pub(in super::super) fn get(vault: &Vault, name: &str) -> Result<Vec<u8>, VaultError> {
    let found = vault.values(&[name], &Seen::new())?;
    Ok(found.values[0].expose(<[u8]>::to_vec))
}

fn key_path(vault: &Vault) -> PathBuf {
    match &vault.places.key {
        KeySource::File(path) => path.clone(),
        other => panic!("{other}"),
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("is there").permissions().mode() & 0o777
}

#[test]
fn the_first_secret_makes_the_vault_and_its_key() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    assert_eq!(get(&vault, "pw"), Err(vault.no_vault()));
    assert_eq!(set(&vault, "pw", b"hunter2"), Change { made_vault: true, made_key: true });
    assert_eq!(set(&vault, "other", &[0, 255, 10]), Change::default());
    assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
    assert_eq!(get(&vault, "other"), Ok(vec![0, 255, 10]));
    assert_eq!((mode(&vault.places.vault), mode(&key_path(&vault))), (0o600, 0o600));
    let sealed = fs::read(&vault.places.vault).expect("is there");
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
}

#[test]
fn a_secret_is_replaced_listed_and_removed() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "b", b"1");
    set(&vault, "a", b"2");
    set(&vault, "b", b"3");
    let listed = || vault.list().expect("is there").entries;
    let names: Vec<String> = listed().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b"]);
    let (_, set_at) = listed().remove(0);
    assert!(set_at.len() == 20 && set_at.ends_with('Z'), "{set_at}");
    assert_eq!(get(&vault, "b"), Ok(b"3".to_vec()));
    assert_eq!(vault.remove("b"), Ok(()));
    assert_eq!(get(&vault, "b"), Err(vault.no_secret("b")));
    set(&vault, "shop-password", b"4");
    let said = |name| vault.remove(name).expect_err("it is not there").to_string();
    assert!(
        said("b").ends_with("`secretless-broker secret list` shows those that are there"),
        "{}",
        said("b")
    );
    assert!(said("shop-pasword").ends_with("did you mean shop-password?"));
}

#[test]
fn values_are_of_one_version_or_none() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "username", b"shop");
    let missing = vault.values(&["username", "password"], &Seen::new()).err();
    assert!(matches!(missing, Some(VaultError::NoSecret { name, .. }) if name == "password"));
    set(&vault, "password", b"pw");
    let found = vault.values(&["password", "username", "password"], &Seen::new()).expect("both are there");
    let texts: Vec<Vec<u8>> = found.values.iter().map(|value| value.expose(<[u8]>::to_vec)).collect();
    assert_eq!(texts, [&b"pw"[..], b"shop", b"pw"]);
}

#[test]
fn what_cannot_be_a_secret_is_refused_and_changes_nothing() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    let try_set = |name: &str, bytes: usize| vault.set(name, Zeroizing::new(vec![b'x'; bytes])).err();
    assert!(matches!(try_set("no good", 1), Some(VaultError::Name(_))));
    assert_eq!(try_set("pw", 0), Some(VaultError::EmptyValue("pw".to_owned())));
    assert_eq!(try_set("pw", 65_537), Some(VaultError::LargeValue("pw".to_owned())));
    assert!(!vault.places.vault.exists() && !key_path(&vault).exists());
    assert_eq!(try_set("pw", 65_536), None);
}

#[test]
fn a_vault_has_an_end() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "first", b"1");
    let Opened { mut contents, keys, .. } = vault.open().unwrap_or_else(|error| panic!("{error}"));
    let now = OffsetDateTime::UNIX_EPOCH;
    for index in 1..ENTRIES_MAX {
        let entry = Entry { set_at: now, value: Zeroizing::new(vec![b'x']) };
        contents.entries.insert(format!("name-{index}"), entry);
    }
    let lock = vault.lock().unwrap_or_else(|error| panic!("{error}"));
    vault.write(&lock, &mut contents, &keys, now).unwrap_or_else(|error| panic!("{error}"));
    drop(lock);
    let full = VaultError::Full(vault.places.vault.clone());
    assert_eq!(vault.set("one-more", Zeroizing::new(vec![1])), Err(full));
    set(&vault, "first", b"2");
    for entry in contents.entries.values_mut() {
        entry.value = Zeroizing::new(vec![b'x'; VALUE_BYTES_MAX]);
    }
    let lock = vault.lock().unwrap_or_else(|error| panic!("{error}"));
    let large = vault.write(&lock, &mut contents, &keys, now);
    assert_eq!(large, Err(VaultError::LargeVault(vault.places.vault.clone())));
    assert_eq!(get(&vault, "first"), Ok(b"2".to_vec()), "the one before is whole");
}

#[test]
fn key_and_vault_are_not_made_in_one_directory() {
    let dir = TempDir::new();
    let vault = vault_at(dir.path().join("both/vault.age"), dir.path().join("both/../both/vault.key"));
    let refused = vault.set("pw", Zeroizing::new(vec![1]));
    assert!(matches!(refused, Err(VaultError::Together(_))), "{refused:?}");
    assert!(!vault.places.vault.exists() && !dir.path().join("both/vault.key").exists());
}

#[test]
fn a_vault_without_its_key_gets_no_other_one() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"1");
    let before = fs::read(&vault.places.vault).expect("is there");
    fs::remove_file(key_path(&vault)).expect("ours");
    for outcome in
        [get(&vault, "pw").err(), vault.set("pw", Zeroizing::new(vec![1])).err(), vault.rotate_key().err()]
    {
        assert!(matches!(outcome, Some(VaultError::NoKey { .. })), "{outcome:?}");
    }
    assert!(!key_path(&vault).exists());
    assert_eq!(fs::read(&vault.places.vault).expect("is there"), before);
}

#[test]
fn a_key_that_is_there_is_used_for_a_vault_that_is_not() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"1");
    // As after a first attempt that was cut short between the two, or a vault that was lost.
    fs::remove_file(&vault.places.vault).expect("ours");
    assert_eq!(set(&vault, "pw", b"2"), Change { made_vault: true, made_key: false });
    assert_eq!(get(&vault, "pw"), Ok(b"2".to_vec()));
}

#[test]
fn a_key_is_one_vaults_alone() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"1");
    let other = vault_at(dir.path().join("data/other.age"), key_path(&vault));
    let taken = VaultError::KeyTaken { key: key_path(&vault), vault: vault.places.vault.clone() };
    assert_eq!(other.set("pw", Zeroizing::new(vec![1])), Err(taken.clone()));
    assert!(!other.places.vault.exists());
    // A copy is not rotated while the original is there: nothing would open that any more.
    fs::copy(&vault.places.vault, &other.places.vault).expect("copies");
    assert_eq!(other.rotate_key(), Err(taken));
    assert_eq!(vault.rotate_key(), Ok(()));
    // One that was moved is the same vault, and so is one of two names.
    fs::rename(&vault.places.vault, &other.places.vault).expect("moves");
    assert_eq!(other.rotate_key(), Ok(()));
    std::os::unix::fs::symlink(&other.places.vault, &vault.places.vault).expect("links");
    assert_eq!(vault.rotate_key(), Ok(()));
    assert_eq!(get(&vault, "pw"), Ok(b"1".to_vec()));
}

#[test]
fn first_writers_of_two_vaults_do_not_make_each_others_key() {
    let dir = TempDir::new();
    let key = dir.path().join("key/vault.key");
    let outcomes: Vec<_> = (0..8)
        .map(|index| {
            let vault = vault_at(dir.path().join(format!("data/{index}.age")), key.clone());
            std::thread::spawn(move || (vault.set("pw", Zeroizing::new(vec![1])).is_ok(), vault))
        })
        .collect();
    for outcome in outcomes {
        let (is_set, vault) = outcome.join().expect("ends");
        assert_eq!(get(&vault, "pw").is_ok(), is_set, "what was set can be read");
    }
    let names = key.parent().expect("has one").read_dir().expect("is there");
    assert_eq!(names.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>(), ["vault.key"]);
}

#[test]
fn another_key_opens_nothing_and_says_so() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let other = Keys::generate().unwrap_or_else(|error| panic!("{error}"));
    other
        .save(&key_path(&vault), &vault.places.vault, OffsetDateTime::UNIX_EPOCH)
        .unwrap_or_else(|error| panic!("{error}"));
    let wrong = VaultError::WrongKey {
        vault: vault.places.vault.clone(),
        source: key_path(&vault).display().to_string(),
    };
    assert_eq!(get(&vault, "pw"), Err(wrong.clone()));
    assert_eq!(vault.set("pw", Zeroizing::new(vec![1])), Err(wrong), "nor is it written over");
}

#[test]
fn a_damaged_vault_is_refused_and_not_written_over() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let sound = fs::read(&vault.places.vault).expect("is there");
    let mut changed = sound.clone();
    *changed.last_mut().expect("has bytes") ^= 1;
    for (bytes, words) in [
        (&b""[..], "is not a vault: it is empty"),
        (b"PK\x03\x04 something else\n", "is not a vault: it does not begin as"),
        (&sound[..sound.len() / 2], "is not "),
        (&sound[..sound.len() - 1], "is not as it was written"),
        (&changed, "is not as it was written"),
    ] {
        fs::write(&vault.places.vault, bytes).expect("ours");
        let error = get(&vault, "pw").expect_err("is refused");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(vault.set("pw", Zeroizing::new(vec![1])).err(), Some(error.clone()));
        assert_eq!(vault.rotate_key(), Err(error));
        assert_eq!(fs::read(&vault.places.vault).expect("is there"), bytes);
    }
    // Sealed with the right key, and no list of secrets.
    let keys = Keys::load(&vault.places.key).unwrap_or_else(|error| panic!("{error}"));
    fs::write(&vault.places.vault, age::seal(b"hunter2", keys.first()).expect("seals")).expect("ours");
    let error = get(&vault, "pw").expect_err("is refused");
    assert!(error.to_string().ends_with("is not a list of secrets; put a copy in its place"), "{error}");
}

#[test]
fn a_vault_that_others_can_get_at_earns_a_word() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let note = || vault.values(&["pw"], &Seen::new()).expect("is there").note;
    assert_eq!(note(), None);
    fs::set_permissions(&vault.places.vault, fs::Permissions::from_mode(0o644)).expect("ours");
    assert!(note().is_some_and(|note| note.contains("mode 644") && !note.contains("hunter2")));
}

#[test]
fn an_older_version_is_refused_by_who_has_seen_a_newer_one() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    let seen = Seen::new();
    let ask = || vault.values(&["pw"], &seen).map(|found| found.values[0].expose(<[u8]>::to_vec));
    set(&vault, "pw", b"1");
    let old = fs::read(&vault.places.vault).expect("is there");
    assert_eq!(ask(), Ok(b"1".to_vec()));
    set(&vault, "pw", b"2");
    assert_eq!(ask(), Ok(b"2".to_vec()));
    assert_eq!(ask(), Ok(b"2".to_vec()), "the same version is no older one");

    fs::write(&vault.places.vault, &old).expect("ours");
    for _ in 0..2 {
        let error = ask().expect_err("an old copy");
        assert!(matches!(error, VaultError::RolledBack { counter, seen, .. } if counter < seen), "{error}");
    }
    assert_eq!(get(&vault, "pw"), Ok(b"1".to_vec()), "another process cannot know, and that is documented");

    // Whoever means it sets a secret: three versions on, the copy is above what was seen, whatever the clock says.
    for value in [b"3", b"4", b"5"] {
        set(&vault, "pw", value);
    }
    assert_eq!(ask(), Ok(b"5".to_vec()));
}

#[test]
fn the_counter_grows_with_each_version_and_is_never_below_the_time() {
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).expect("it is later than 1970");
    let counter = || vault.open().unwrap_or_else(|error| panic!("{error}")).contents.counter;
    let mut last = 0;
    for _ in 0..5 {
        set(&vault, "pw", b"1");
        assert!(counter() > last && counter() >= now, "{} after {last}", counter());
        last = counter();
    }
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let dir = TempDir::new();
    let path = dir.path().to_owned();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let places = vault_in(&dir).places;
            std::thread::spawn(move || {
                let vault = Vault::at(places);
                for round in 0..10 {
                    set(&vault, &format!("w{writer}-{round}"), format!("{writer} {round}").as_bytes());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("writes");
    }
    let vault = vault_in(&dir);
    assert_eq!(vault.list().expect("is there").entries.len(), 40);
    assert_eq!(get(&vault, "w3-9"), Ok(b"3 9".to_vec()));
    assert!(path.join("data/vault.age.lock").exists());
}

#[test]
fn any_of_several_keys_opens_and_the_first_is_sealed_to() {
    // As after a rotation that was cut short.
    let dir = TempDir::new();
    let vault = vault_in(&dir);
    set(&vault, "pw", b"hunter2");
    let ours = Keys::load(&vault.places.key).unwrap_or_else(|error| panic!("{error}"));
    let both = Keys::generate().unwrap_or_else(|error| panic!("{error}")).before(ours);
    both.save(&key_path(&vault), &vault.places.vault, OffsetDateTime::UNIX_EPOCH)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(get(&vault, "pw"), Ok(b"hunter2".to_vec()));
    // The next version is sealed to the first key.
    set(&vault, "pw", b"hunter3");
    let first = std::slice::from_ref::<Identity>(both.first());
    let sealed = fs::read(&vault.places.vault).expect("is there");
    assert!(age::open(Zeroizing::new(sealed), first).is_ok());
}
