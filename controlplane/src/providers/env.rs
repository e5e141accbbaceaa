//! `env`: values of the broker's own environment.
//!
//! Owns the reading of variables. The environment lies outside every wiped memory from the start of the process and
//! never changes while it runs, so a value is fetched when it is asked for and never again by itself.

use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use protocol::Secret;

use super::{FetchError, Fetched, Fetching, Flaw, Item, Kind, Provider, Request, Settings};
use crate::diagnostics::printable;
use crate::environment;

/// The kind `env`, and the one store of it that there is.
pub(super) struct Env;

impl Kind for Env {
    fn name(&self) -> &'static str {
        "env"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        if id.is_empty() {
            return Err("the name of an environment variable is empty".into());
        }
        // POSIX, Base Definitions 8.1: "names shall not contain any bytes that have the encoded value of the
        // character '='"; a NUL would make std panic.
        if id.contains(['=', '\0']) {
            return Err(format!("'{}' cannot be the name of an environment variable", id.escape_debug()));
        }
        Ok(())
    }

    fn open(&self, _: Settings) -> Arc<dyn Provider> {
        Arc::new(Env)
    }
}

impl Provider for Env {
    fn is_constant(&self) -> bool {
        true
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        let error = read(item).err()?;
        let help = match item.id.strip_prefix('$') {
            Some(name) => format!("write `get: {}`, without `$`", printable(name.trim_matches(['{', '}']))),
            None => "it must be in the environment of the broker when it starts".to_owned(),
        };
        Some(Flaw { words: error.to_string(), help, is_fatal: true })
    }

    fn fetch(&self, request: Request) -> Fetching {
        let fetched = request.items.iter().map(read).collect::<Result<Vec<_>, _>>().map(Fetched::new);
        Box::pin(std::future::ready(fetched))
    }
}

/// An empty variable is a value, as it is for the Go broker.
fn read(item: &Item) -> Result<Secret, FetchError> {
    if let Some(taken) = environment::taken(&item.id) {
        return Ok(taken);
    }
    match std::env::var_os(&item.id) {
        Some(value) => Ok(Secret::from_heap(value.into_vec())),
        None => Err(FetchError::NotFound(format!("env cannot find environment variable '{}'", item.id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(ids: &[&str]) -> Result<Fetched, FetchError> {
        let items = ids.iter().map(|id| Item { id: (*id).into(), raw: false, is_public: false }).collect();
        crate::testing::block_on(Env.fetch(Request::of(items)))
    }

    #[test]
    fn gives_values_in_the_order_of_the_request() {
        // Cargo sets both for every test that it runs.
        let fetched = fetch(&["CARGO_PKG_NAME", "CARGO_PKG_VERSION"]).unwrap_or_else(|e| panic!("{e}"));
        let texts: Vec<Vec<u8>> = fetched.values.iter().map(|value| value.expose(<[u8]>::to_vec)).collect();
        assert_eq!(texts, [b"controlplane".to_vec(), b"0.1.0".to_vec()]);
    }

    #[test]
    fn names_the_variable_that_is_not_there() {
        let error = fetch(&["CARGO_PKG_NAME", "NOT_A_VARIABLE_HERE"]).err();
        let words = "env cannot find environment variable 'NOT_A_VARIABLE_HERE'".to_owned();
        assert_eq!(error, Some(FetchError::NotFound(words)));
    }

    #[test]
    fn a_name_written_as_in_a_shell_is_told_the_right_one() {
        for id in ["$HOME", "${HOME}"] {
            let item = Item { id: id.to_owned(), raw: false, is_public: false };
            let help = Env.look(&item).map(|flaw| flaw.help);
            assert_eq!(help.as_deref(), Some("write `get: HOME`, without `$`"));
        }
    }

    #[test]
    fn refuses_names_that_no_variable_can_have() {
        assert!(Env.check_id("PGPASSWORD").is_ok());
        assert!(Env.check_id("").is_err());
        assert!(Env.check_id("A=B").is_err());
        assert!(Env.check_id("A\0").is_err());
    }
}
