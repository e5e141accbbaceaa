//! Logins that are kept alive, and let go.
//!
//! Owns the task that renews the token of a login as long as the store prolongs it, so that what hangs on the token lives, and
//! the farewell. No fetch waits for either.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::grant::{Denial, Grant};
use super::session::Due;
use super::store::Store;
use super::token::{Origin, Token};
use crate::clock;
use crate::offload::offload;
use crate::providers::Closing;
use crate::web::client::GRACE;

/// Renews the token of this login whenever it is due, until there is another, or the store is gone.
pub(super) fn keep(store: &Arc<Store>, login: u64) {
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        loop {
            let Some(store) = store.upgrade() else { return };
            let due = store.session.lock().await.due(login, clock::now());
            match due {
                Due::Never => return,
                Due::Renew(token) => renew(&store, login, token).await,
                Due::At(at) => {
                    drop(store);
                    tokio::time::sleep(clock::until(at).min(LOOK_INTERVAL)).await;
                }
            }
        }
    });
}

async fn renew(store: &Arc<Store>, login: u64, token: Arc<Token>) {
    let asked = clock::now();
    let work = format!("vault: renew the token of login {login} of {:p}", Arc::as_ptr(store));
    let renewed = offload(&work, PATIENCE + GRACE, move || ask(&token, Instant::now() + PATIENCE)).await;
    let mut session = store.session.lock().await;
    match renewed {
        Ok(Ok(grant)) => session.on_renewed(login, &grant, asked),
        Ok(Err(Denial::Refused(_))) => session.on_renewal_failed(login, true, clock::now()),
        Ok(Err(Denial::Failing(_))) | Err(_) => session.on_renewal_failed(login, false, clock::now()),
    }
}

/// Asks for more time. Blocks.
fn ask(token: &Token, deadline: Instant) -> Result<Grant, Denial> {
    let Origin::Login { site, .. } = &token.origin else {
        return Err(Denial::Refused("it is not ours".into()));
    };
    let client = Client::new(site, deadline).map_err(Denial::Failing)?;
    let answer = client.put("auth/token/renew-self", Some(&token.secret), b"{}").map_err(Denial::Failing)?;
    Grant::of(&answer, "renew the token")
}

/// Revokes every login of ours that lives: its token, and what hangs on that.
pub(super) fn close(store: Arc<Store>) -> Closing {
    Box::pin(async move {
        // A login under way is waited for, or it would be left behind.
        let tokens = store.session.lock().await.close(clock::now());
        if tokens.is_empty() {
            return;
        }
        let work = format!("vault: close {:p}", Arc::as_ptr(&store));
        let revoked = offload(&work, PATIENCE + GRACE, move || {
            for token in tokens {
                revoke(&token, Instant::now() + PATIENCE);
            }
        });
        // A token that is left behind ends by itself.
        let _ = revoked.await;
    })
}

/// Blocks.
fn revoke(token: &Token, deadline: Instant) {
    if let Origin::Login { site, is_revocable: true, .. } = &token.origin
        && let Ok(client) = Client::new(site, deadline)
    {
        let _ = client.put("auth/token/revoke-self", Some(&token.secret), b"{}");
    }
}

/// For one request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A timer stands still in a machine that sleeps; the time of a token does not.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
