//! What of a secret stays behind in the broker's memory.

use serde_json::json;
use tests::broker::pg;
use tests::openbao::shared;
use tests::postgres::{Major, shared as postgres, unguessable};
use tests::wait;

use super::{launch, vault};
use crate::secrecy::copies_in_memory;
use crate::support::session;

#[test]
fn a_value_lies_where_it_is_used_and_nowhere_once_it_is_replaced() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    for address in [store.url(), store.tls_url()] {
        let login = cluster.user(None).unwrap();
        // What JSON escapes, as Go does it, has to be put together elsewhere.
        let passwords = [(); 3].map(|()| format!("{}<\"&", unguessable()));
        let set = |password: &str| {
            cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
            store.write("kv/secrecy", &json!({"other": "x", "password": password})).unwrap();
        };
        set(&passwords[0]);
        let service = pg("db", cluster, &login).credential("password", vault("kv/secrecy#password"));
        let token = store.reader(&["kv/secrecy"]).unwrap();
        let variables =
            [("VAULT_ADDR", address.as_str()), ("VAULT_TOKEN", &token), ("VAULT_SKIP_VERIFY", "true")];
        let broker = launch([service.clone()], &variables);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        if copies_in_memory(&broker, &passwords[0]).is_none() {
            return; // Only root may look: the process is not dumpable.
        }
        for pair in passwords.windows(2) {
            set(&pair[1]);
            session(&service.listen, &login);
            // As it is, and as it was in the store's answer.
            let escaped = serde_json::to_string(&pair[0]).unwrap();
            let escaped = escaped.trim_matches('"').replace('<', "\\u003c").replace('&', "\\u0026");
            for form in [&pair[0], &escaped] {
                // What the TLS library decrypts lies in memory of its own, which it frees and does not wipe: a copy may be left
                // there until somebody else needs the place.
                let most = if address.starts_with("https") { 2 } else { 0 };
                let what = format!("the old password is nowhere, of {address}");
                wait::until(&what, || copies_in_memory(&broker, form).is_some_and(|copies| copies <= most));
            }
            assert!(copies_in_memory(&broker, &pair[1]).is_some_and(|copies| (1..=4).contains(&copies)));
        }
    }
}
