//! The words after `secret`.
//!
//! Owns the flags of the embedded vault's commands. A value never stands among them: what a process was started with
//! can be read by everybody on the machine. Who puts one there all the same is told so, and it is not repeated.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Subcommand};

use super::Exit;
use crate::config::nearest;
use crate::vault_file::{PlaceFlags, check_name};

/// What to do with which vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretOptions {
    /// Where the vault is, as far as the command line says.
    pub places: PlaceFlags,
    /// What to do.
    pub deed: Deed,
}

/// What to do with a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Take a value from standard input.
    Set {
        /// Of the secret.
        name: String,
        /// Keep the newline at its end.
        raw: bool,
    },
    /// Write a value to standard output.
    Get {
        /// Of the secret.
        name: String,
        /// Without it nothing is shown.
        reveal: bool,
    },
    /// Write the names, and when each was set.
    List,
    /// Remove one.
    Remove {
        /// Of the secret.
        name: String,
    },
    /// Seal the vault to a new key.
    RotateKey,
}

#[derive(Args)]
pub(super) struct Line {
    #[command(subcommand)]
    command: Command,

    #[arg(long, value_name = "FILE", global = true)]
    vault: Option<PathBuf>,

    #[arg(long, value_name = "FILE", global = true)]
    key: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Set {
        name: String,
        #[arg(long)]
        raw: bool,
        /// A value that was put here by mistake.
        stray: Vec<OsString>,
    },
    Get {
        name: String,
        #[arg(long)]
        reveal: bool,
    },
    List,
    Rm {
        name: String,
    },
    RotateKey,
}

impl Line {
    pub(super) fn into_options(self) -> Result<SecretOptions, Exit> {
        if let Command::Set { name, .. } | Command::Get { name, .. } | Command::Rm { name } = &self.command {
            // Nothing that cannot be a name is repeated, here or later.
            check_name(name)
                .map_err(|words| Exit::refusal(&format!("{words}. If it was a value: {STRAY}")))?;
        }
        let deed = match self.command {
            Command::Set { name, raw, stray } if stray.is_empty() => Deed::Set { name, raw },
            Command::Set { .. } => return Err(Exit::refusal(STRAY)),
            Command::Get { name, reveal } => Deed::Get { name, reveal },
            Command::List => Deed::List,
            Command::Rm { name } => Deed::Remove { name },
            Command::RotateKey => Deed::RotateKey,
        };
        Ok(SecretOptions { places: PlaceFlags { vault: self.vault, key: self.key }, deed })
    }
}

/// clap repeats the words that it does not understand, and one of them may be a value.
pub(super) fn exit_of(error: &clap::Error) -> Exit {
    match error.kind() {
        // clap's would list every flag of the broker.
        ErrorKind::DisplayHelp => Exit { text: format!("{ABOUT}\n\n{USAGE}\n\n{FLAGS}\n"), code: 0 },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingRequiredArgument => {
            Exit { text: format!("error: NAME is missing, or what to do\n\n{USAGE}\n"), code: 2 }
        }
        ErrorKind::UnknownArgument
        | ErrorKind::InvalidSubcommand
        | ErrorKind::InvalidValue
        | ErrorKind::TooManyValues => {
            let what = meant_by(error)
                .unwrap_or_else(|| "`secret` does not know one of the words behind it".to_owned());
            let text = format!("error: {what}\n\n{USAGE}\n\nIf there was a value on the line: {STRAY}\n");
            Exit { text, code: 2 }
        }
        _ => super::exit_of(error),
    }
}

/// What is said to somebody who has mistyped a word, or is used to another. That word is not repeated.
fn meant_by(error: &clap::Error) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let meant = if let Some(flag) = word(ContextKind::InvalidArg) {
        const FLAGS: [&str; 5] = ["--vault", "--key", "--raw", "--reveal", "--help"];
        if let Some(known) = FLAGS.into_iter().find(|known| *known == flag) {
            return Some(format!("`{known}` means nothing to this command"));
        }
        // What stands behind such a flag is one.
        const OF_VALUES: [&str; 3] = ["--value", "--password", "--secret"];
        let all: Vec<&str> = FLAGS.into_iter().chain(OF_VALUES).collect();
        nearest(flag, &all).filter(|meant| !OF_VALUES.contains(meant))?
    } else {
        match word(ContextKind::InvalidSubcommand)? {
            "add" | "put" | "write" | "create" => "set",
            "show" | "read" | "cat" => "get",
            "ls" | "names" => "list",
            "remove" | "delete" | "del" | "unset" => "rm",
            "rotate" | "rekey" => "rotate-key",
            other => nearest(other, &["set", "get", "list", "rotate-key"])?,
        }
    };
    Some(format!("`secret` does not know one of the words behind it: did you mean `{meant}`?"))
}

const STRAY: &str = "the value of a secret is read from standard input and never from the command line, which everybody on this \
                     machine can read and your shell may have kept: consider that value known, and set another one";

const ABOUT: &str = "Keep secrets in the embedded vault, a sealed file";

const USAGE: &str = "Usage: secretless-broker secret set NAME [--raw] < VALUE\n       \
                     secretless-broker secret get NAME --reveal\n       \
                     secretless-broker secret list\n       \
                     secretless-broker secret rm NAME\n       \
                     secretless-broker secret rotate-key\n\n\
                     Each takes --vault FILE and --key FILE.";

const FLAGS: &str = "  set          set a secret; the first one makes the vault and its key
  get          write a secret to standard output
  list         list the names, and when each was set
  rm           remove a secret
  rotate-key   make a new key, and seal the vault to it

  --raw        keep the newline at the end of the value
  --reveal     show the value
  --vault      the vault [default: $SECRETLESS_VAULT; else ~/.local/share/secretless/vault.age, for root
               /var/lib/secretless/vault.age]
  --key        its key [default: $SECRETLESS_VAULT_KEY_FILE; else ~/.config/secretless/vault.key, for root
               /etc/secretless/vault.key]";

#[cfg(test)]
mod tests {
    use super::super::{Action, parse};
    use super::*;

    fn parse_line(line: &str) -> Result<SecretOptions, Exit> {
        let words = std::iter::once("secretless-broker").chain(line.split('|')).map(OsString::from);
        match parse(words)?.action {
            Action::Secret(options) => Ok(options),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn deed(line: &str) -> Deed {
        parse_line(line).unwrap_or_else(|exit| panic!("{line}: {}", exit.text)).deed
    }

    #[test]
    fn every_deed_has_its_word() {
        let name = || "pw".to_owned();
        assert_eq!(deed("secret|set|pw"), Deed::Set { name: name(), raw: false });
        assert_eq!(deed("secret|set|-raw|pw"), Deed::Set { name: name(), raw: true });
        assert_eq!(deed("secret|get|pw"), Deed::Get { name: name(), reveal: false });
        assert_eq!(deed("secret|get|pw|--reveal"), Deed::Get { name: name(), reveal: true });
        assert_eq!(deed("secret|list"), Deed::List);
        assert_eq!(deed("secret|rm|pw"), Deed::Remove { name: name() });
        assert_eq!(deed("secret|rotate-key"), Deed::RotateKey);
    }

    #[test]
    fn the_places_may_stand_anywhere() {
        let places = PlaceFlags { vault: Some("/v".into()), key: Some("/k".into()) };
        for line in ["secret|--vault|/v|--key|/k|list", "secret|list|-vault=/v|--key=/k"] {
            assert_eq!(parse_line(line).map(|options| options.places), Ok(places.clone()), "{line}");
        }
    }

    #[test]
    fn a_value_on_the_command_line_is_refused_and_not_repeated() {
        for line in [
            "secret|set|pw|hunter2",
            "secret|set|pw|-hunter2",
            "secret|set|pw|--hunter2",
            "secret|set|pw|--value=hunter2",
            "secret|set|pw|--raw=hunter2",
            "secret|hunter2",
            "secret|get|pw|hunter2",
            "secret|--vault|/v|set|pw|hunter2|hunter2",
            "secret|put|pw|hunter2",
            "secret|set|pw|--vaule=hunter2",
            "secret|set|pw|--Value=hunter2",
        ] {
            let exit = parse_line(line).expect_err(line);
            assert!(!exit.text.contains("hunter2"), "{line}: {}", exit.text);
            assert!(exit.text.contains("standard input"), "{line}: {}", exit.text);
            assert_ne!(exit.code, 0, "{line}");
        }
    }

    #[test]
    fn a_word_that_was_mistyped_is_told_the_right_one() {
        for line in ["secret|get|pw|--raw", "secret|list|--reveal"] {
            assert!(
                parse_line(line).expect_err(line).text.contains("means nothing to this command"),
                "{line}"
            );
        }
        for line in ["secret|set|pw|--vaule=x", "secret|set|pw|--Value=x"] {
            assert!(!parse_line(line).expect_err(line).text.contains("did you mean"), "{line}");
        }
        for (line, meant) in [
            ("secret|lsit", "list"),
            ("secret|delete|pw", "rm"),
            ("secret|rotate", "rotate-key"),
            ("secret|get|pw|--revael", "--reveal"),
            ("secret|list|--vautl|/v", "--vault"),
            ("secret|set|pw|--rwa", "--raw"),
        ] {
            let exit = parse_line(line).expect_err(line);
            assert!(exit.text.contains(&format!("did you mean `{meant}`?")), "{line}: {}", exit.text);
            assert_eq!(exit.code, 2);
        }
    }

    #[test]
    fn what_belongs_to_the_broker_does_not_belong_here() {
        assert!(parse_line("secret|list|-f|x.yml").expect_err("no file").text.contains("leave out -f"));
        assert_eq!(parse_line("secret|set").expect_err("no name").code, 2);
        assert_eq!(parse_line("secret").expect_err("no deed").code, 2);
        for line in ["secret|-h", "secret|set|--help"] {
            let help = parse_line(line).expect_err("help");
            assert_eq!(help.code, 0);
            assert!(
                help.text.contains("rotate-key") && !help.text.contains("--allow-remote"),
                "{}",
                help.text
            );
        }
    }
}
