//! More time for a lease, and its return.
//!
//! Owns both requests and what their answers mean. When either is made, the control plane says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::answer::{Leased, is_from_store, refusal};
use super::asking::Asking;
use super::client::Client;
use super::site::Site;
use super::store::Store;
use super::token::Token;
use crate::clock;
use crate::providers::{FetchError, Granted, Lease, Renewing, Revoking};
use crate::web::client::Answer;
use crate::web::json::Json;

/// Asks for `time` more, with the token that the lease hangs on.
pub(super) fn renew(store: Arc<Store>, lease: Lease, time: Duration) -> Renewing {
    Box::pin(async move {
        let asking = Asking::of(store).await?;
        let token = asking.token_of(lease.login).await?;
        let asked = clock::now();
        let body = json!({"lease_id": lease.id, "increment": time.as_secs()}).to_string();
        let answer = asking.put("renew a lease", "sys/leases/renew", token, body).await?;
        let found = Json::parse(&answer.body).and_then(Leased::of);
        let found =
            found.ok_or_else(|| FetchError::Failing("renew a lease: the answer has none in it".into()))?;
        let token = asking.left_of(lease.login, asked).await.unwrap_or((found.lasts, true));
        let granted = granted(&found, time, token);
        asking.note_lease(lease.login, asked + granted.duration).await;
        Ok(granted)
    })
}

/// What a store has granted that was asked for `time`: `left` is how long the token lives that the lease hangs on, and whether that
/// is prolonged, too.
fn granted(found: &Leased, time: Duration, (left, can_renew): (Duration, bool)) -> Granted {
    // A store that grants less than was asked for will not grant more: the lease comes to its end.
    let is_short = found.lasts + tolerance(time) < time;
    let renewable = found.is_renewable && !is_short && (can_renew || found.lasts <= left + tolerance(time));
    // Another one would end with the token as well, if it is that which ends.
    let is_last = is_short && found.lasts <= left;
    Granted { duration: found.lasts.min(left), renewable, is_last }
}

/// Stores count whole seconds, and requests take their time.
pub(super) fn tolerance(time: Duration) -> Duration {
    (time / 20).max(Duration::from_secs(1))
}

/// Gives it back, with the token that it hangs on. A lease that the store does not know has been given back.
pub(super) fn revoke(store: Arc<Store>, lease: Lease) -> Revoking {
    Box::pin(async move {
        let asking = Asking::of(store).await?;
        let token = match asking.token_of(lease.login).await {
            Ok(token) => token,
            // What hangs on a token has ended with it, or ends with it.
            Err(FetchError::Denied(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let body = json!({"lease_id": lease.id}).to_string();
        asking.put("give a lease back", "sys/leases/revoke", token, body).await.map(drop)
    })
}

/// Writes `body` to `path`. Blocks.
pub(super) fn put(
    site: &Site,
    token: &Token,
    deadline: Instant,
    (what, path, body): (&str, &str, &str),
) -> Result<Answer, FetchError> {
    let client = Client::new(site, deadline).map_err(FetchError::Unavailable)?;
    let answer = client.put(path, Some(&token.secret), body.as_bytes()).map_err(FetchError::Unavailable)?;
    match answer.status {
        200 | 204 => Ok(answer),
        // It is unknown, at its end, or not ours any more.
        400 | 403 | 404 if is_from_store(&answer) => Err(FetchError::Denied(refusal(&answer, what))),
        500 if is_from_store(&answer) => Err(FetchError::Failing(refusal(&answer, what))),
        _ => Err(FetchError::Unavailable(refusal(&answer, what))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_judged_by_what_the_store_gives_and_bounded_by_the_token() {
        const HOUR: u64 = 3600;
        // What the lease gets, what the token has left and whether that is prolonged; how long it lives, whether it is renewed again,
        // and whether another would live longer.
        for (lasts, left, can_renew, expected) in [
            (HOUR, HOUR * 9, true, (HOUR, true, false)),
            (HOUR, HOUR - 2, true, (HOUR - 2, true, false)),
            (HOUR, 600, true, (600, true, false)),
            (HOUR, 600, false, (600, false, false)),
            (HOUR, HOUR - 2, false, (HOUR - 2, true, false)),
            (HOUR - 2, HOUR * 9, true, (HOUR - 2, true, false)),
            (1800, HOUR * 9, true, (1800, false, true)),
            (1800, 600, true, (600, false, false)),
        ] {
            let seconds = Duration::from_secs;
            let found = Leased { id: "a".to_owned(), lasts: seconds(lasts), is_renewable: true };
            let Granted { duration, renewable, is_last } =
                granted(&found, seconds(HOUR), (seconds(left), can_renew));
            assert_eq!((duration.as_secs(), renewable, is_last), expected, "{lasts} {left} {can_renew}");
        }
    }
}
