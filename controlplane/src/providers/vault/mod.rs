//! `vault`: values of HashiCorp Vault and of OpenBao.
//!
//! Owns the kind, and what a look at a store's settings tells. What is asked and what the answers mean is in the files beside
//! this one.

mod answer;
mod asking;
mod body;
mod client;
mod conflicts;
mod grant;
mod id;
mod keys;
mod lease;
mod login;
mod read;
mod renewal;
mod said;
mod session;
mod site;
mod store;
#[cfg(test)]
mod testing;
mod token;

use std::sync::Arc;
use std::time::Duration;

use super::{
    Closing, Conflict, Fetching, Flaw, Item, Kind, KnownSetting, Lease, Provider, Renewing, Request,
    Revoking, Settings, Written,
};
use crate::web::client::Answer;
use crate::web::look;
use crate::web::said::literals;
use asking::Way;
use id::{Id, strange_version};
use keys::{OF_THE_WAY, SETTINGS, TOKEN};
use login::Method;
use site::strange_path;
use store::Store;

/// The kind `vault`. Without settings it is the store that the environment names.
pub(super) struct Vault;

/// One store.
struct Opened(Arc<Store>);

impl Kind for Vault {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        Id::parse(id).map(|_| ())
    }

    fn settings(&self) -> &'static [KnownSetting] {
        &SETTINGS
    }

    fn check_settings(&self, written: &Written<'_>) -> Vec<Conflict> {
        conflicts::of(written)
    }

    fn open(&self, settings: Settings) -> Arc<dyn Provider> {
        Arc::new(Opened(Arc::new(Store::new(settings))))
    }
}

impl Provider for Opened {
    fn must_be_asked(&self) -> bool {
        true
    }

    fn gives_leases(&self) -> bool {
        true
    }

    fn place<'i>(&self, id: &'i str) -> &'i str {
        id.split_once('#').map_or(id, |(place, _)| place)
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        let settings = &self.0.settings;
        // What comes from another store would have to be fetched. Who we are may come later.
        let of_site: Vec<&str> = OF_THE_WAY.into_iter().filter(|name| *name != TOKEN).collect();
        if !settings.are_literal(&of_site) {
            return None;
        }
        match Way::of(settings, &literals(settings, &OF_THE_WAY)) {
            Err(wrong) => Some(look::wrong(wrong)),
            Ok(way) => way.flaw(settings).or_else(|| {
                let name = strange_version(&item.id)?;
                let words = format!("'?{name}=' is taken for a part of the path '{}'", item.id);
                Some(Flaw { words, help: "did you mean `?version=`?".to_owned(), is_fatal: false })
            }),
        }
    }

    fn hurry(&self) {
        self.0.hurry();
    }

    fn fetch(&self, request: Request) -> Fetching {
        Box::pin(asking::fetch(Arc::clone(&self.0), request))
    }

    fn renew(&self, lease: &Lease, time: Duration) -> Renewing {
        lease::renew(Arc::clone(&self.0), lease.clone(), time)
    }

    fn revoke(&self, lease: &Lease) -> Revoking {
        lease::revoke(Arc::clone(&self.0), lease.clone())
    }

    fn close(&self) -> Closing {
        renewal::close(Arc::clone(&self.0))
    }
}

impl Way {
    /// What is wrong with it, and with what a login needs.
    fn flaw(&self, settings: &Settings) -> Option<Flaw> {
        let is_token = self.method == Method::Token;
        let proof = if !settings.are_literal(if is_token { &[TOKEN] } else { self.method.takes() }) {
            None
        } else if is_token {
            self.token.read().err()
        } else {
            self.method.proof(&literals(settings, self.method.takes())).err()
        };
        let help = if is_token {
            "the broker needs a token when it starts"
        } else {
            "the broker needs it when it logs in"
        };
        let line = &self.site.line;
        let flaw = look::broken(line).or_else(|| Some(look::fatal(proof?, help)));
        let shared = || self.token.shared().filter(|_| is_token).map(look::shared);
        let strange = || {
            let words = strange_path(&line.address)?.to_owned();
            Some(Flaw {
                words,
                help: "write `https://HOST:PORT`, unless it is meant".to_owned(),
                is_fatal: false,
            })
        };
        flaw.or_else(|| look::open(line)).or_else(shared).or_else(strange)
    }
}

/// Takes `text` for what a configuration file asks for. For fuzzing: it is taken apart, or refused with words.
pub fn id_for_fuzz(text: &str) {
    match Id::parse(text) {
        Ok(id) => {
            assert!(!id.place.path.is_empty() && !id.field.is_empty());
            assert!(!id.place.path.split('/').any(|segment| matches!(segment, "" | "." | "..")));
        }
        Err(words) => assert!(!words.is_empty()),
    }
}

/// Takes `body` for what a store answers with this status when it is asked for a secret, and looks for `field` in it. For
/// fuzzing: there is a value that is in the answer, or there are words that hold nothing of it.
pub fn answer_for_fuzz(status: u16, field: &str, body: &[u8]) {
    let body = zeroize::Zeroizing::new(body.to_vec());
    read::for_fuzz(&Answer { status, body }, field);
}

/// Takes `body` for what a store answers with this status to a login. For fuzzing: there is a token that is in the answer, or
/// there are words of bounded size.
pub fn grant_for_fuzz(status: u16, body: &[u8]) {
    let body = zeroize::Zeroizing::new(body.to_vec());
    grant::for_fuzz(&Answer { status, body });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_prefix_of_seeds;

    #[test]
    fn hostile_ids_and_answers_are_refused_with_words() {
        each_prefix_of_seeds("vault_id", |bytes| id_for_fuzz(&String::from_utf8_lossy(bytes)));
        each_prefix_of_seeds("vault_answer", |bytes| {
            let Some((_, rest)) = bytes.split_first() else { return };
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (field, body) =
                (String::from_utf8_lossy(&rest[..end]), rest.get(end + 1..).unwrap_or_default());
            for status in [200, 204, 400, 403, 404, 500] {
                answer_for_fuzz(status, &field, body);
            }
        });
        each_prefix_of_seeds("vault_grant", |bytes| {
            let Some((_, body)) = bytes.split_first() else { return };
            [200, 400, 403, 500].into_iter().for_each(|status| grant_for_fuzz(status, body));
        });
    }

    #[test]
    fn a_name_that_cannot_be_asked_for_is_refused_when_the_file_is_read() {
        assert!(Vault.check_id("secret/data/app#data.password").is_ok());
        let words = Vault.check_id("kv/app#").expect_err("it names no field");
        assert_eq!(words, "there is no field behind '#': name one, or leave '#' out for the field 'value'");
    }
}
