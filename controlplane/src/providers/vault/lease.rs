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
        asking.prolong_token(lease.login, time).await;
        let asked = clock::now();
        let body = json!({"lease_id": lease.id, "increment": time.as_secs()}).to_string();
        let answer = asking.put("renew a lease", "sys/leases/renew", token, body).await?;
        let found = Json::parse(&answer.body).and_then(Leased::of);
        let found =
            found.ok_or_else(|| FetchError::Failing("renew a lease: the answer has none in it".into()))?;
        let (left, can_renew) = asking.left_of(lease.login, asked).await.unwrap_or((found.lasts, true));
        let renewable = found.is_renewable && (can_renew || found.lasts <= left);
        // Stores count whole seconds. What is on the token ends with it, and so would another lease.
        let is_last = found.lasts + Duration::from_secs(1) < time && found.lasts <= left;
        Ok(Granted { duration: found.lasts.min(left), renewable, is_last })
    })
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
