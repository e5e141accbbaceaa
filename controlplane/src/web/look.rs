//! A look at the way to a store, for whoever checks a file.
//!
//! Owns what is said about ways that cannot be gone, and about those on which others can listen. Asks nobody.

use std::path::Path;

use super::line::Line;
use super::said::Wrong;
use super::tls;
use crate::diagnostics::printable;
use crate::providers::Flaw;

/// Settings that cannot be.
pub(crate) fn wrong(wrong: Wrong) -> Flaw {
    fatal(wrong.0, "correct it: a variable is one of the broker's environment")
}

/// Something without which the store cannot be asked.
pub(crate) fn fatal(words: String, help: &str) -> Flaw {
    Flaw { words, help: help.to_owned(), is_fatal: true }
}

/// A file of secrets that others can read.
pub(crate) fn shared(path: &Path) -> Flaw {
    let path = printable(&path.display().to_string());
    let words = format!("{path} holds a secret and is readable by its group or by others");
    Flaw { words, help: format!("run `chmod 600 {path}`"), is_fatal: false }
}

/// Why the store cannot be asked on this line, as far as files tell.
pub(crate) fn broken(line: &Line) -> Option<Flaw> {
    let words = line.is_encrypted().then(|| tls::config(line).err()).flatten()?;
    Some(fatal(words, "name files of PEM that the broker can read"))
}

/// Who else may see what comes on this line.
pub(crate) fn open(line: &Line) -> Option<Flaw> {
    let host = line.address.host().unwrap_or_default();
    let (words, help) = if !line.is_encrypted() && !line.stays_here() {
        let words = format!("secrets from {host} come in clear: whoever is on the way can read them");
        (words, "write https://, or be sure of the network")
    } else if line.skip_verify {
        let words = format!("`{}` takes anybody for {host}", super::keys::SKIP_VERIFY);
        let help = match line.roots {
            Some(_) => "remove it: beside it, the authority that is named means nothing",
            None => "remove it, and name the authority of the store's certificate: `caCert: /path`",
        };
        (words, help)
    } else {
        return None;
    };
    Some(Flaw { words, help: help.to_owned(), is_fatal: false })
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn line(address: &'static str, skip_verify: &'static str) -> Line {
        let address = address.parse().expect("an address");
        let said = |name| match name {
            super::super::keys::SKIP_VERIFY => Ok(Some(Zeroizing::new(skip_verify.to_owned()))),
            _ => Ok(None),
        };
        Line::of(address, said, |_| None).unwrap_or_else(|wrong| panic!("{}", wrong.0))
    }

    #[test]
    fn lines_that_others_can_listen_on_are_told_apart() {
        let seen = |address, skip| open(&line(address, skip)).map(|flaw| flaw.words);
        for here in
            ["http://localhost:8200", "http://127.0.0.2:1", "http://[::1]:8200/x", "https://vault.test"]
        {
            assert_eq!(seen(here, "false"), None, "{here}");
        }
        for there in ["http://vault.test:8200", "http://10.0.0.1", "http://localhost.test"] {
            assert!(seen(there, "true").is_some_and(|words| words.contains("in clear")), "{there}");
        }
        assert_eq!(
            seen("https://vault.test", "true").as_deref(),
            Some("`skipVerify` takes anybody for vault.test")
        );
    }
}
