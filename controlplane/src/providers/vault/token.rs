//! Tokens: what a store knows us by.
//!
//! Owns a token with what is known about it, and where one comes from that somebody else has got for us. Knows nothing of
//! when one is renewed.

use std::fs;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use dataplane::SecretArena;
use protocol::Secret;
use zeroize::Zeroizing;

use super::keys::{TOKEN, TOKEN_FILE};
use super::said::Said;
use super::site::Site;
use crate::providers::Revoke;
use crate::web::header::is_token;
use crate::web::pem::named;

/// A token.
pub(super) struct Token {
    pub(super) secret: Secret,
    /// How we came by it.
    pub(super) origin: Origin,
}

/// What stands for a token that somebody else has got for us where a login's number would: another one for each token.
pub(super) fn given(token: &Secret) -> u64 {
    GIVEN | token.expose(|bytes| KEYS.hash_one(bytes))
}

/// Whether this stands for such a token.
pub(super) fn is_given(login: u64) -> bool {
    login & GIVEN != 0
}

/// No login of ours gets that far.
const GIVEN: u64 = 1 << 63;

static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A number that tells these secrets from others.
pub(super) fn number_of<'a>(secrets: impl Iterator<Item = (&'static str, &'a Secret)>) -> u64 {
    let mut hasher = KEYS.build_hasher();
    for (name, secret) in secrets {
        name.hash(&mut hasher);
        secret.expose(|bytes| bytes.hash(&mut hasher));
    }
    hasher.finish()
}

/// Whose a token is.
pub(super) enum Origin {
    /// Somebody else has got it for us. It is neither renewed nor revoked here.
    Given,
    /// A login of ours, the first of this store's being 1: what a lease is owned by.
    Login { number: u64, site: Arc<Site>, is_revocable: bool },
}

impl Token {
    /// Whether a login there has given it.
    pub(super) fn is_from(&self, site: &Site) -> bool {
        match &self.origin {
            Origin::Given => false,
            Origin::Login { site: given_at, .. } => {
                given_at.line.address == site.line.address && given_at.namespace == site.namespace
            }
        }
    }

    /// Whether what hangs on it is to end by itself.
    pub(super) fn keeps_leases(&self) -> bool {
        matches!(&self.origin, Origin::Login { site, .. } if site.revoke == Revoke::Never)
    }

    /// The number of the login that it comes from; `None` if it is not from one of ours.
    pub(super) fn login(&self) -> Option<u64> {
        match self.origin {
            Origin::Given => None,
            Origin::Login { number, .. } => Some(number),
        }
    }
}

/// Where a token comes from that somebody else has got for us.
pub(super) enum TokenFrom {
    /// Itself, and who says it.
    Value(Secret, String),
    /// A file, read at each fetch: whoever renews the token replaces the file.
    File(PathBuf),
    /// The same, where the store's own client keeps it, for nobody has said anything else.
    Home(PathBuf),
    /// Nobody has said one for this store.
    Nowhere,
}

impl TokenFrom {
    /// What `said` says about it. The environment's own is for the environment's own store.
    pub(super) fn of(said: &Said<'_>) -> Self {
        if let Some(token) = said.values.get(TOKEN) {
            return Self::Value(
                token.expose(|bytes| SecretArena::of_process().secret(bytes)),
                format!("`{TOKEN}`"),
            );
        }
        if let Some(path) = said.values.get(TOKEN_FILE) {
            return Self::File(path.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()).into());
        }
        if said.has_own_address() {
            return Self::Nowhere;
        }
        match said.variable("TOKEN") {
            Some((token, name)) => Self::Value(SecretArena::of_process().secret(token.as_bytes()), name),
            None => {
                let home = (said.variable)("HOME").map_or_else(PathBuf::new, PathBuf::from);
                Self::Home(home.join(HOME_FILE))
            }
        }
    }

    /// The file that it comes from, if others can read that.
    pub(super) fn shared(&self) -> Option<&Path> {
        let (Self::File(path) | Self::Home(path)) = self else { return None };
        fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o044 != 0).then_some(path)
    }

    /// The token as it is now, or why there is none.
    pub(super) fn read(&self) -> Result<Token, String> {
        let (bytes, place) = match self {
            Self::Value(token, place) => (Zeroizing::new(token.expose(<[u8]>::to_vec)), place.clone()),
            Self::File(path) | Self::Home(path) => {
                let place = named(TOKEN_FILE, path);
                let bytes = fs::read(path).map_err(|error| {
                    let before =
                        if matches!(self, Self::Home(_)) { "VAULT_TOKEN is not set, and " } else { "" };
                    let words = crate::os_words::words(&error);
                    let hint = if path.starts_with("~") {
                        "; `~` is a shell's word: write the whole path"
                    } else {
                        ""
                    };
                    format!("there is no token: {before}{place} cannot be read: {words}{hint}")
                })?;
                (Zeroizing::new(bytes), place)
            }
            Self::Nowhere => return Err(format!("there is no token: say `{TOKEN}`, or `login`")),
        };
        let token = bytes.trim_ascii();
        if !is_token(token) {
            return Err(format!("what {place} holds is no token"));
        }
        Ok(Token { secret: SecretArena::of_process().secret(token), origin: Origin::Given })
    }
}

/// Where the store's own client keeps the token of whoever has logged in.
const HOME_FILE: &str = ".vault-token";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::providers::vault::testing::settings;
    use crate::testing::TempDir;

    fn read(entry: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Result<String, String> {
        let (settings, values) = settings(entry);
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let said = Said { settings: &settings, values: &values, variable: &variable };
        let token = TokenFrom::of(&said).read()?;
        assert_eq!(token.login(), None);
        Ok(token.secret.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    #[test]
    fn a_token_lies_in_the_environment_or_in_a_file_that_may_change() {
        assert_eq!(read(&[], &[("VAULT_TOKEN", "s.one")]).as_deref(), Ok("s.one"));
        let dir = TempDir::new();
        let home = dir.path().display().to_string();
        let of_home = || read(&[], &[("HOME", &home)]);
        let words = of_home().expect_err("there is no file");
        assert!(words.starts_with("there is no token: VAULT_TOKEN is not set, and "), "{words}");
        assert!(words.ends_with(".vault-token cannot be read: no such file or directory"), "{words}");
        for token in ["s.two\n", "s.three"] {
            dir.file(".vault-token", token);
            assert_eq!(of_home().as_deref(), Ok(token.trim()));
        }
        for hostile in ["", "\n", "two words", "s.four\r\nX-Evil: 1", &"x".repeat(8_193)] {
            dir.file(".vault-token", hostile);
            let words = of_home().expect_err("no token");
            assert!(words.ends_with(".vault-token holds is no token"), "{words}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_found() {
        let dir = TempDir::new();
        let file = dir.file("token", "s.one");
        let (settings, values) = settings(&[("tokenFile", file.to_str().expect("text"))]);
        let said = Said { settings: &settings, values: &values, variable: &|_| None };
        let from = TokenFrom::of(&said);
        for (mode, is_shared) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
            assert_eq!(from.shared().is_some(), is_shared, "{mode:o}");
        }
    }

    #[test]
    fn an_entry_says_its_own_token_and_one_with_an_address_is_never_given_the_environments() {
        let variables = [("VAULT_TOKEN", "theirs"), ("BAO_TOKEN", "theirs"), ("HOME", "/")];
        assert_eq!(read(&[("token", "ours")], &variables).as_deref(), Ok("ours"));
        assert_eq!(read(&[("namespace", "team")], &variables).as_deref(), Ok("theirs"));
        let dir = TempDir::new();
        let file = dir.file("token", "file's\n").display().to_string();
        assert_eq!(read(&[("tokenFile", &file)], &variables).as_deref(), Ok("file's"));
        let words = read(&[("tokenFile", "hvs.s3")], &variables).expect_err("it is no path");
        assert!(
            !words.contains("hvs.s3") && words.contains("the file that `tokenFile` names cannot be read"),
            "{words}"
        );
        let words = read(&[("address", "https://ours")], &variables);
        assert_eq!(words, Err("there is no token: say `token`, or `login`".into()));
    }
}
