//! What the store answers to a login and to a renewal.
//!
//! Owns the token in such an answer and its terms. Knows nothing of what is done with them.

use std::time::Duration;

use dataplane::SecretArena;
use protocol::Secret;

use super::answer::{is_from_store, refusal};
use crate::web::client::Answer;
use crate::web::header::is_token;
use crate::web::json::Json;

/// A token that we have been given.
pub(super) struct Grant {
    pub(super) token: Secret,
    /// How long it lives from the answer on; `None` for ever.
    pub(super) lasts: Option<Duration>,
    pub(super) renewable: bool,
    /// Whether it can be revoked: one of a batch cannot.
    pub(super) is_revocable: bool,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The store does not let us in, or not any more.
    Refused(String),
    /// The store has a problem of its own.
    Failing(String),
}

impl Grant {
    /// What `answer` to `what` grants.
    pub(super) fn of(answer: &Answer, what: &str) -> Result<Self, Denial> {
        match answer.status {
            200 => {}
            // A mount that is not there is as much our mistake as a wrong password.
            400 | 401 | 403 | 404 if is_from_store(answer) => {
                return Err(Denial::Refused(refusal(answer, what)));
            }
            _ => return Err(Denial::Failing(refusal(answer, what))),
        }
        let strange = |words: &str| Denial::Failing(format!("{what}: {words}"));
        let json = Json::parse(&answer.body).filter(|json| json.is_object());
        let json = json.ok_or_else(|| strange("the answer is no JSON: is this the store's address?"))?;
        let auth = json.member("auth").filter(|auth| auth.is_object());
        // A second factor is asked for here, too.
        let auth = auth.ok_or_else(|| strange("the answer has no token in it"))?;
        let token = auth.member("client_token").and_then(|token| token.bytes().ok());
        let token =
            token.filter(|token| is_token(token)).ok_or_else(|| strange("the answer has no token in it"))?;
        let seconds = auth.member("lease_duration").and_then(Json::number).unwrap_or_default();
        Ok(Self {
            token: SecretArena::of_process().secret(&token),
            lasts: (seconds > 0).then(|| Duration::from_secs(seconds.min(YEAR_SECONDS))),
            renewable: auth.member("renewable").is_some_and(Json::is_true),
            is_revocable: auth.member("token_type").and_then(Json::text).is_none_or(|kind| kind != "batch"),
        })
    }
}

/// No time of a store's makes a clock overflow.
const YEAR_SECONDS: u64 = 365 * 24 * 3600;

/// See [`super::grant_for_fuzz`].
pub(super) fn for_fuzz(answer: &Answer) {
    match Grant::of(answer, "log in") {
        Ok(grant) => {
            assert!(!grant.token.is_empty() && grant.token.len() <= answer.body.len());
            assert!(grant.lasts.is_none_or(|lasts| !lasts.is_zero()));
        }
        Err(Denial::Refused(words) | Denial::Failing(words)) => {
            assert!(words.len() < 4_000 && !words.contains('\n'), "{words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn grant(status: u16, body: &str) -> Result<Grant, Denial> {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        Grant::of(&Answer { status, body }, "log in")
    }

    #[test]
    fn a_token_comes_with_its_terms() {
        // What OpenBao 2.7.2 answers to a login, shortened.
        let body = r#"{"data": null, "auth": {"client_token": "s.abc", "accessor": "a", "token_type": "service",
                       "lease_duration": 1200, "renewable": true}}"#;
        let granted = grant(200, body).unwrap_or_else(|denial| panic!("{denial:?}"));
        assert_eq!(granted.token.expose(<[u8]>::to_vec), b"s.abc");
        assert_eq!(granted.lasts, Some(Duration::from_secs(1200)));
        assert!(granted.renewable && granted.is_revocable);
        let batch = body.replace("service", "batch").replace("true", "false").replace("1200", "0");
        let granted = grant(200, &batch).unwrap_or_else(|denial| panic!("{denial:?}"));
        assert_eq!((granted.lasts, granted.renewable, granted.is_revocable), (None, false, false));
    }

    #[test]
    fn only_the_stores_own_words_refuse_a_login() {
        let label = |status, body| match grant(status, body) {
            Ok(_) => "granted",
            Err(Denial::Refused(_)) => "refused",
            Err(Denial::Failing(_)) => "failing",
        };
        for status in [400, 401, 403, 404] {
            assert_eq!(label(status, r#"{"errors": ["invalid role or secret ID"]}"#), "refused");
            assert_eq!(label(status, "<h1>Forbidden</h1>"), "failing");
        }
        for status in [204, 412, 429, 472, 473, 500, 502, 503] {
            assert_eq!(label(status, r#"{"errors": ["x"]}"#), "failing", "{status}");
        }
        for strange in
            ["", "[]", "{}", r#"{"auth": null}"#, r#"{"auth": {}}"#, r#"{"auth": {"client_token": "a b"}}"#]
        {
            assert_eq!(label(200, strange), "failing", "{strange}");
        }
    }
}
