//! `secretless-broker secret`: what a person is asked and told about the embedded vault.
//!
//! Owns these words and the exit codes. A value comes on standard input and goes to standard output, and nowhere else.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::cli::{Deed, SecretOptions};
use crate::os_words::words;
use crate::prompt;
use crate::terminal;
use crate::vault_file::{
    Change, KeySource, Listed, Places, Seen, VALUE_BYTES_MAX, Vault, VaultError, check_name,
};

/// Does what was asked for.
pub(crate) fn run(options: SecretOptions) -> ExitCode {
    match act(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            terminal::err(&format!("error: {words}\n"));
            ExitCode::FAILURE
        }
    }
}

fn act(SecretOptions { places, deed }: SecretOptions) -> Result<(), String> {
    let places = Places::find(&places).map_err(|error| error.to_string())?;
    let vault = Vault::at(places.clone());
    let said = |error: VaultError| error.to_string();
    match deed {
        Deed::Set { name, raw } => {
            // Nobody types a value for nothing.
            check_name(&name)?;
            let value = value_of(&name, raw)?;
            let change = vault.set(&name, value).map_err(said)?;
            terminal::out(&told(change, &places));
            terminal::out(&format!("{name} is set in {}\n", places.vault.display()));
        }
        Deed::Get { name, reveal: false } => {
            return Err(format!(
                "this would show the value of {name} to whoever sees the screen: if you want that, add --reveal"
            ));
        }
        Deed::Get { name, reveal: true } => {
            let found = vault.values(&[&name], &Seen::new()).map_err(said)?;
            warn(found.note.as_deref());
            for value in &found.values {
                let shown = value.expose(terminal::out_secret);
                shown.map_err(|error| format!("standard output: {}", words(&error)))?;
            }
        }
        Deed::List => {
            let Listed { entries, note } = vault.list().map_err(said)?;
            warn(note.as_deref());
            let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, set_at) in entries {
                terminal::out(&format!("{name:width$}  {set_at}\n"));
            }
        }
        Deed::Remove { name } => {
            vault.remove(&name).map_err(said)?;
            terminal::out(&format!("{name} is gone from {}\n", places.vault.display()));
        }
        Deed::RotateKey => {
            vault.rotate_key().map_err(said)?;
            terminal::out(&format!(
                "{} holds a new key, and {} is sealed to it\nA broker that has the key from elsewhere, a keyring say, needs the new one there.\nThe old key still opens copies of the vault that were made before: if it \
                 is known to others, change the secrets themselves.\n",
                places.key,
                places.vault.display()
            ));
        }
    }
    Ok(())
}

fn warn(note: Option<&str>) {
    if let Some(note) = note {
        terminal::err(&format!("warning: {note}: run `chmod 600` on it\n"));
    }
}

/// What somebody who has just got a vault should know.
fn told(change: Change, places: &Places) -> String {
    if !change.made_vault {
        return String::new();
    }
    let (vault, key) = (places.vault.display(), &places.key);
    let made = match change.made_key {
        true => format!("made the vault {vault}\n and its key {key}\n"),
        false => format!("made the vault {vault}\n for the key in {key}\n"),
    };
    let gone = match &places.key {
        KeySource::Keyring(_) => {
            "The kernel's keyring is empty after a reboot: keep a copy of the key where the vault is not.\n"
        }
        _ => "Keep a copy of both, apart from each other: without the key nothing opens the vault.\n",
    };
    format!(
        "{made}A copy of the vault alone tells nobody a secret. It protects nothing from root, nor from this user, who can read the \
         key.\n{gone}"
    )
}

/// The value, from a pipe or from a person.
fn value_of(name: &str, raw: bool) -> Result<Zeroizing<Vec<u8>>, String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let value = prompt::ask(&stdin, &format!("The value of {name} (it is not shown): "));
        return value.map_err(|error| error.to_string());
    }
    // Past the buffer of std's stdin, which nobody wipes.
    let value = stdin.as_fd().try_clone_to_owned().and_then(|fd| read_value(&mut File::from(fd), raw));
    value
        .map_err(|error| format!("standard input: {}", words(&error)))?
        .ok_or_else(|| VaultError::LargeValue(name.to_owned()).to_string())
}

/// Everything up to the end; `None` if it is more than a value may have. No copy is left behind.
fn read_value(input: &mut impl Read, raw: bool) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // One byte more than a value and the newline behind it.
    let mut value = Zeroizing::new(vec![0; VALUE_BYTES_MAX + NEWLINE_BYTES_MAX + 1]);
    let mut filled = 0;
    while filled < value.len() {
        match input.read(&mut value[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled == value.len() {
        return Ok(None);
    }
    value.truncate(filled);
    if !raw {
        trim_newline(&mut value);
    }
    Ok(Some(value).filter(|value| value.len() <= VALUE_BYTES_MAX))
}

/// One newline, as `echo` leaves it; Windows' form, too.
fn trim_newline(value: &mut Vec<u8>) {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
}

/// `\r\n`
const NEWLINE_BYTES_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], raw: bool) -> Option<Vec<u8>> {
        read_value(&mut &*input, raw).expect("memory does not fail").map(|value| value.to_vec())
    }

    #[test]
    fn strips_one_newline_unless_raw() {
        for (input, value) in [
            ("s3\n", "s3"),
            ("s3\r\n", "s3"),
            ("s3\n\n", "s3\n"),
            (" s3 ", " s3 "),
            ("s3\r", "s3\r"),
            ("\n", ""),
        ] {
            assert_eq!(read(input.as_bytes(), false), Some(value.into()), "{input:?}");
            assert_eq!(read(input.as_bytes(), true), Some(input.into()), "{input:?}");
        }
        assert_eq!(read(&[0, 255, b'\n', 0], false), Some(vec![0, 255, b'\n', 0]));
    }

    #[test]
    fn takes_the_largest_value_with_its_newline_and_nothing_beyond() {
        let largest = vec![b'x'; 65536];
        let with_newline = [&largest[..], b"\n"].concat();
        assert_eq!(read(&with_newline, false), Some(largest.clone()));
        assert_eq!(read(&largest, true), Some(largest.clone()));
        assert_eq!(read(&with_newline, true), None);
        assert_eq!(read(&[&largest[..], b"xx"].concat(), false), None);
        assert_eq!(read(&[&largest[..], &largest[..]].concat(), false), None);
    }
}
