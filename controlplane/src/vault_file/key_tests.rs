//! Keys: the text they are written in, what their sources must be like, and what refuses to be one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::TempDir;

fn keys() -> Keys {
    Keys::generate().unwrap_or_else(|error| panic!("{error}"))
}

fn text_of(keys: &Keys) -> Vec<String> {
    keys.all().iter().map(|key| key.to_text().to_string()).collect()
}

fn saved(dir: &TempDir, keys: &Keys) -> PathBuf {
    let path = dir.path().join("vault.key");
    keys.save(&path, Path::new("/v"), OffsetDateTime::UNIX_EPOCH).unwrap_or_else(|error| panic!("{error}"));
    path
}

fn load(source: &KeySource) -> Result<Vec<String>, VaultError> {
    Keys::load(source).map(|keys| text_of(&keys))
}

#[test]
fn a_key_file_is_what_the_stock_tool_calls_an_identity_file() {
    let dir = TempDir::new();
    let keys = keys();
    let path = saved(&dir, &keys);
    let text = fs::read_to_string(&path).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "# created: 1970-01-01T00:00:00Z");
    assert!(lines[1].starts_with("# "), "{}", lines[1]);
    assert_eq!(lines[2], "# vault: /v");
    assert_eq!(lines[3..], text_of(&keys));
    // Who knows the recipient can seal a file that we would take for ours.
    assert!(!text.contains("age1"), "the recipient is as private as the key");
    assert_eq!(load(&KeySource::File(path)), Ok(text_of(&keys)));
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_remedy() {
    let dir = TempDir::new();
    let keys = keys();
    let path = saved(&dir, &keys);
    let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    for mode in [0o640, 0o604, 0o620, 0o660, 0o644] {
        set(mode);
        let error = load(&KeySource::File(path.clone())).expect_err("is refused");
        assert_eq!(error, VaultError::KeyExposed { key: path.clone(), mode });
        let words = error.to_string();
        assert!(words.contains(&format!("run `chmod 600 {}`", path.display())), "{words}");
        assert!(!words.contains("AGE-SECRET"), "{words}");
    }
    for mode in [0o600, 0o400] {
        set(mode);
        assert_eq!(load(&KeySource::File(path.clone())), Ok(text_of(&keys)));
    }
    // systemd opens a credential to the service's user by an access list, which shows as the group's bits.
    set(0o440);
    assert_eq!(load(&KeySource::Credential(path.clone())), Ok(text_of(&keys)));
}

#[test]
fn says_that_a_key_is_not_there() {
    let dir = TempDir::new();
    let path = dir.path().join("vault.key");
    for source in [KeySource::File(path.clone()), KeySource::Credential(path)] {
        let error = load(&source).expect_err("nothing is there");
        assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
    }
    let error = load(&KeySource::Environment).expect_err("it is not set");
    assert!(error.to_string().contains("SECRETLESS_VAULT_KEY: it is not set"), "{error}");
}

#[test]
fn refuses_what_is_no_key_and_does_not_repeat_it() {
    for (text, words) in [
        ("", "it is empty"),
        ("# a comment\n\n", "it is empty"),
        ("hunter2\n", "not an X25519 identity"),
        ("AGE-SECRET-KEY-1\n", "not an X25519 identity"),
        (
            "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR\n",
            "not an X25519 identity",
        ),
        ("\u{fffd}", "not an X25519 identity"),
    ] {
        let why = Keys::parse(text.as_bytes()).err().expect("is refused");
        assert!(why.contains(words) && !why.contains("hunter2"), "{text:?}: {why}");
    }
    assert_eq!(Keys::parse(b"\xff").err(), Some("it is not text"));
    let line = format!("{}\n", text_of(&keys())[0]);
    assert!(Keys::parse(line.repeat(KEYS_MAX).as_bytes()).is_ok());
    assert_eq!(Keys::parse(line.repeat(KEYS_MAX + 1).as_bytes()).err(), Some("it has too many lines"));
}

#[test]
fn keys_of_a_rotation_stand_in_order() {
    let (old, new) = (keys(), keys());
    let (old_text, new_text) = (text_of(&old), text_of(&new));
    let both = new.before(old);
    assert_eq!(text_of(&both), [new_text.clone(), old_text].concat());
    assert_eq!(both.first().to_text().as_str(), new_text[0]);
    assert_eq!(text_of(&both.only(0)), new_text);
}

/// Where the kernel lets us have keys. In a container it often does not, and what is said then is checked.
#[test]
fn a_key_of_the_kernels_keyring_is_found_in_the_session_and_with_the_user() {
    let keys = keys();
    let text = text_of(&keys);
    for (place, name) in [(KeyRingIdentifier::Session, "session"), (KeyRingIdentifier::User, "user")] {
        let name = format!("secretless-test-{name}-{}", std::process::id());
        let source = KeySource::Keyring(name.clone());
        let error = load(&source).expect_err("it is not there yet");
        assert!(matches!(error, VaultError::NoKey { .. }) && error.to_string().contains(&name), "{error}");
        let added = KeyRing::from_special_id(place, true).and_then(|ring| {
            let key = ring.add_key(&name, text[0].as_bytes())?;
            Ok((ring, key))
        });
        let Ok((ring, key)) = added else { continue };
        assert_eq!(load(&source), Ok(text.clone()), "{place:?}");
        let _ = ring.unlink_key(key);
        assert!(load(&source).is_err(), "it is gone");
    }
}
