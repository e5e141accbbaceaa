//! The embedded vault, used as a person uses it: by the program's own commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::broker::binary;
use crate::failure::{Doing, Result};
use crate::places;
use crate::process::{Finished, run_with_input};

/// The places of a vault and its key, in a fresh directory.
#[derive(Clone, Debug)]
pub struct Vault {
    /// The vault.
    pub vault: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Vault {
    /// Places where nothing is yet.
    pub fn new() -> Result<Self> {
        let directory = places::fresh("vault")?;
        Ok(Self { vault: directory.join("data/vault.age"), key: directory.join("key/vault.key") })
    }

    /// The environment that tells a process of these places.
    pub fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SECRETLESS_VAULT", &self.vault).env("SECRETLESS_VAULT_KEY_FILE", &self.key)
    }

    /// `secretless-broker secret` with these words, ready to run.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        self.tell(command.arg("secret").args(words));
        Ok(command)
    }

    /// Runs it, with `input` on its standard input.
    pub fn run(&self, words: &[&str], input: &[u8]) -> Result<Finished> {
        run_with_input(&mut self.command(words)?, input)
    }

    /// Sets a secret.
    pub fn set(&self, name: &str, value: &str) -> Result<String> {
        self.run(&["set", name], value.as_bytes())?.succeeded()
    }

    /// Shows a secret.
    pub fn get(&self, name: &str) -> Result<String> {
        self.run(&["get", name, "--reveal"], b"")?.succeeded()
    }

    /// Writes `bytes` over one of the two, as somebody who is not us would.
    pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
        let beside = path.with_extension("forged");
        fs::write(&beside, bytes).doing(format_args!("write {}", beside.display()))?;
        fs::rename(&beside, path).doing(format_args!("replace {}", path.display()))
    }
}
