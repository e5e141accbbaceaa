//! What the store's answers mean.
//!
//! Owns the envelope around every answer and the store's own words for a failure. Knows no path.

use std::time::Duration;

use crate::web::client::Answer;
use crate::web::json::Json;

/// How long the store says that a secret is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// Until somebody changes it, which nobody tells. A hint of when to look again: 0 if there is none.
    Open { seconds: u64 },
    /// As long as its lease.
    Leased(Leased),
    /// Until the store itself changes it, which is in so many seconds.
    Rotated { seconds: u64 },
}

/// A lease as the store tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leased {
    pub(super) id: String,
    pub(super) lasts: Duration,
    pub(super) is_renewable: bool,
}

impl Leased {
    /// The lease that `answer` is about, if there is one.
    pub(super) fn of(answer: Json<'_>) -> Option<Self> {
        let id = answer.member("lease_id").and_then(Json::text).filter(|id| !id.is_empty())?;
        let seconds = answer.member("lease_duration").and_then(Json::number).unwrap_or_default();
        let lasts = Duration::from_secs(seconds).clamp(LEASE_MIN, LEASE_MAX);
        Some(Self { id, lasts, is_renewable: answer.member("renewable").is_some_and(Json::is_true) })
    }
}

/// A secret as it lies in an answer.
pub(super) struct Found<'a> {
    pub(super) data: Json<'a>,
    pub(super) terms: Terms,
}

/// What came, by what it means to whoever asked.
pub(super) enum Meaning<'a> {
    Found(Found<'a>),
    /// It is not there, or not any more.
    Missing,
    /// We may not have it, or nobody knows our token.
    Forbidden,
    /// The store has a problem with what it was asked, in these words.
    Failing(String),
    /// It is not there, or not in a state to answer.
    Away(String),
}

impl<'a> Meaning<'a> {
    /// What `answer` to `what` means: the words name it.
    pub(super) fn of(answer: &'a Answer, what: &str) -> Self {
        match answer.status {
            200 => {
                let Some(json) = Json::parse(&answer.body).filter(|json| json.is_object()) else {
                    return Self::Away(format!(
                        "{what}: the answer is no JSON: is this the store's address?"
                    ));
                };
                let Some(data) = json.member("data").filter(|data| data.is_object()) else {
                    return Self::Missing;
                };
                Self::Found(Found { data, terms: terms(json, data) })
            }
            204 => Self::Missing,
            // What is not there is said in the store's form; another server's page is not the store's word.
            404 if is_from_store(answer) => Self::Missing,
            403 if is_from_store(answer) => Self::Forbidden,
            400 | 405 | 500 if is_from_store(answer) => Self::Failing(refusal(answer, what)),
            _ => Self::Away(refusal(answer, what)),
        }
    }
}

fn terms(answer: Json<'_>, data: Json<'_>) -> Terms {
    if let Some(lease) = Leased::of(answer) {
        return Terms::Leased(lease);
    }
    let seconds = answer.member("lease_duration").and_then(Json::number).unwrap_or_default();
    // A static role: the account stays, and its password is changed by the store.
    let is_rotated = data.member("last_vault_rotation").is_some();
    match data.member("ttl").filter(|_| is_rotated) {
        Some(ttl) => Terms::Rotated { seconds: ttl.number().unwrap_or_default() },
        None => Terms::Open { seconds },
    }
}

/// Whether an error has the store's own form.
pub(super) fn is_from_store(answer: &Answer) -> bool {
    let json = Json::parse(&answer.body);
    json.is_some_and(|json| ["errors", "data", "warnings"].iter().any(|name| json.member(name).is_some()))
}

/// An error in the words of the store's own client, on one line.
pub(super) fn refusal(answer: &Answer, what: &str) -> String {
    let mut words = format!("{what}: Error making API request. Code: {}. Errors:", answer.status);
    let errors = Json::parse(&answer.body).and_then(|json| json.member("errors"));
    let errors = errors.map(|errors| errors.elements(ERRORS_SHOWN)).unwrap_or_default();
    for error in errors.into_iter().filter_map(Json::text) {
        words.push_str(" * ");
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let error: String = error.chars().take(ERROR_CHARS_SHOWN).map(printable).collect();
        // The store sets its lists in columns.
        words.push_str(&error.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    words
}

/// A store that gives less, or says nothing, is not asked for a new account all the time.
const LEASE_MIN: Duration = Duration::from_secs(2);

/// No time of a store's makes a clock overflow.
const LEASE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A store says one or two; more is not read by anybody.
const ERRORS_SHOWN: usize = 3;
const ERROR_CHARS_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    fn label(status: u16, body: &str) -> &'static str {
        match Meaning::of(&answer(status, body), "x") {
            Meaning::Found(_) => "found",
            Meaning::Missing => "missing",
            Meaning::Forbidden => "forbidden",
            Meaning::Failing(_) => "failing",
            Meaning::Away(_) => "away",
        }
    }

    #[test]
    fn a_secret_comes_with_the_terms_of_its_lease() {
        let body = r#"{"lease_id": "database/creds/app/x", "renewable": true, "lease_duration": 3600,
                       "data": {"username": "u"}}"#;
        let answer = answer(200, body);
        let Meaning::Found(found) = Meaning::of(&answer, "x") else { panic!("it is found") };
        let (id, lasts) = ("database/creds/app/x".to_owned(), Duration::from_secs(3600));
        assert_eq!(found.terms, Terms::Leased(Leased { id, lasts, is_renewable: true }));
        assert!(found.data.member("username").is_some());
    }

    #[test]
    fn a_secret_without_a_lease_says_when_it_changes_or_nothing() {
        let terms = |body: &str| match Meaning::of(&answer(200, body), "x") {
            Meaning::Found(found) => found.terms,
            _ => panic!("it is found"),
        };
        let seconds = 60;
        // KV version 1, with a field `ttl` of the writer's.
        let kv = r#"{"lease_id": "", "lease_duration": 60, "data": {"ttl": "1m", "password": "p"}}"#;
        assert_eq!(terms(kv), Terms::Open { seconds });
        // What OpenBao 2.7.2 answers for a static role of its database engine, shortened.
        let role = r#"{"lease_id": "", "lease_duration": 0, "data": {"last_vault_rotation": "2026-11-28T01:00:00Z",
                       "rotation_period": 3600, "ttl": 60, "username": "u", "password": "p"}}"#;
        assert_eq!(terms(role), Terms::Rotated { seconds });
        // It is late with it: "ttl" is below zero.
        assert_eq!(terms(&role.replace("\"ttl\": 60", "\"ttl\": -3")), Terms::Rotated { seconds: 0 });
    }

    #[test]
    fn only_the_stores_own_words_say_that_something_is_gone() {
        assert_eq!(label(404, r#"{"errors": []}"#), "missing");
        // A version that was deleted.
        assert_eq!(label(404, r#"{"data": {"data": null, "metadata": {}}}"#), "missing");
        assert_eq!(label(404, "<h1>404 page not found</h1>"), "away");
        assert_eq!(label(403, r#"{"errors": ["permission denied"]}"#), "forbidden");
        assert_eq!(label(403, "Forbidden by proxy"), "away");
        assert_eq!(label(200, "<html>sign in</html>"), "away");
        assert_eq!(label(200, "[]"), "away");
        assert_eq!(label(200, r#"{"data": null}"#), "missing");
        assert_eq!(label(204, ""), "missing");
        for status in [412, 429, 472, 473, 502, 503] {
            assert_eq!(label(status, r#"{"errors": ["x"]}"#), "away", "{status}");
        }
        // One path that it cannot read is no word about the others.
        for status in [400, 500] {
            assert_eq!(label(status, r#"{"errors": ["x"]}"#), "failing", "{status}");
            assert_eq!(label(status, "x"), "away", "{status}");
        }
    }

    #[test]
    fn an_errors_words_are_bounded_and_on_one_line() {
        let long = "y".repeat(10_000);
        let body = format!(r#"{{"errors": ["Vault is\nsealed", "{long}", "c", "d"]}}"#);
        let words = refusal(&answer(503, &body), "Get \"http://a/v1/x\"");
        let start =
            "Get \"http://a/v1/x\": Error making API request. Code: 503. Errors: * Vault is sealed * yyy";
        assert!(words.starts_with(start), "{words}");
        assert!(words.ends_with("y * c"), "{words}");
        assert!(words.len() < 500);
    }
}
