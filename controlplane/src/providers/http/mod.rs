//! `http`: values that an HTTP server answers, plain or in JSON.
//!
//! Owns the kind, and what a look at a store's settings tells. What is asked and what the answers mean is in the files beside
//! this one.

mod address;
mod answer;
mod conflicts;
mod fetch;
mod id;
mod keys;
mod proof;
mod question;

use std::sync::Arc;

use super::{Conflict, Fetching, Flaw, Item, Kind, KnownSetting, Provider, Request, Settings, Written};
use crate::environment;
use crate::web::client::Answer;
use crate::web::look;
use crate::web::said::literals;
use fetch::Store;
use id::Id;
use keys::{OF_LINE, SETTINGS, URL};

/// The kind `http`. Without settings its values have whole addresses.
pub(super) struct Http;

/// One store.
struct Opened(Arc<Store>);

impl Kind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn check_id(&self, id: &str) -> Result<(), String> {
        self.check_id_with(id, &|_| false)
    }

    fn check_id_with(&self, id: &str, has: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let place = Id::parse(id)?.place;
        // Whatever the store's own address is, paths stand behind it in the same way.
        let address = if has(URL) { address::below(EXAMPLE, place) } else { address::absolute(place) };
        address.map(drop).map_err(str::to_owned)
    }

    fn shown(&self, id: &str) -> String {
        address::shown(id)
    }

    fn trims(&self) -> bool {
        true
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

    fn place<'i>(&self, id: &'i str) -> &'i str {
        id.split_once('#').map_or(id, |(place, _)| place)
    }

    fn host<'i>(&self, id: &'i str) -> Option<&'i str> {
        if self.0.settings.has(URL) { None } else { address::host(id) }
    }

    fn look(&self, item: &Item) -> Option<Flaw> {
        let settings = &self.0.settings;
        // What comes from another store would have to be fetched.
        if !settings.are_literal(&OF_LINE) {
            return None;
        }
        let values = literals(settings, &OF_LINE);
        let line = question::line_to(self.place(&item.id), settings, &values, environment::text);
        match line {
            Err(wrong) => Some(look::wrong(wrong)),
            Ok(line) => look::broken(&line).or_else(|| look::open(&line)),
        }
    }

    fn fetch(&self, request: Request) -> Fetching {
        Box::pin(fetch::fetch(Arc::clone(&self.0), request))
    }
}

const EXAMPLE: &str = "https://host";

/// Takes `text` for what a configuration file asks for. For fuzzing: it is taken apart, or refused with words; and below an address
/// there is no other host.
pub fn id_for_fuzz(text: &str) {
    match Id::parse(text) {
        Ok(id) => {
            assert!(text.starts_with(id.place));
            if let Ok(address) = address::below("https://host:1/base", id.place) {
                assert_eq!(address.authority().map(ToString::to_string).as_deref(), Some("host:1"));
                assert!(address.path().starts_with("/base"));
            }
            let _ = address::absolute(id.place);
        }
        Err(words) => assert!(!words.is_empty() && words.len() < 200),
    }
    let shown = address::shown(text);
    assert!(!shown.split('#').next().is_some_and(|place| place.trim_end_matches("?...").contains('?')));
}

/// Takes `body` for what a server answers with this status, and looks in it for what `part` names: a pointer, a member, or nothing for
/// all of it. For fuzzing: there is a value that is in the answer, or there are words that hold nothing of it.
pub fn answer_for_fuzz(status: u16, part: &str, body: &[u8]) {
    let body = zeroize::Zeroizing::new(body.to_vec());
    answer::for_fuzz(&Answer { status, body }, part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::each_prefix_of_seeds;

    #[test]
    fn hostile_ids_and_answers_are_refused_with_words() {
        each_prefix_of_seeds("http_id", |bytes| id_for_fuzz(&String::from_utf8_lossy(bytes)));
        each_prefix_of_seeds("http_answer", |bytes| {
            let Some((_, rest)) = bytes.split_first() else { return };
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (part, body) =
                (String::from_utf8_lossy(&rest[..end]), rest.get(end + 1..).unwrap_or_default());
            for status in [200, 204, 302, 401, 404, 429, 500] {
                answer_for_fuzz(status, &part, body);
            }
        });
    }
}
