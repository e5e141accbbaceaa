//! What of a secret stays behind in the broker's memory.

use serde_json::json;
use tests::broker::pg;
use tests::openbao::shared;
use tests::postgres::{Major, shared as postgres, unguessable};

use super::{answer, file_with, from_file, launch, launch_file, served, service_of_team, vault};
use crate::doubles::is_gone;
use crate::memory::assert_nowhere_else;
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
        for pair in passwords.windows(2) {
            set(&pair[1]);
            session(&service.listen, &login);
            for password in pair {
                // As it is, and as it was in the store's answer.
                let escaped = serde_json::to_string(password).unwrap();
                let escaped = escaped.trim_matches('"').replace('<', "\\u003c").replace('&', "\\u0026");
                for form in [password, &escaped] {
                    is_gone(&broker, form);
                }
            }
        }
    }
}

#[test]
fn what_a_login_proves_is_forgotten_and_its_token_lies_where_it_is_used() {
    let (login, service) = service_of_team();
    let (secret, token, password) = (unguessable(), format!("s.{}", unguessable()), login.password.clone());
    // A double, for only it knows the token that it gives.
    let given = token.clone();
    let store = served(move |head, _| {
        let auth = json!({"client_token": given, "lease_duration": 3600, "renewable": true});
        let body = json!({"auth": auth, "data": {"password": password}});
        assert!(head.contains("/login/ann ") || head.contains(&given), "{head}");
        answer("200 OK", body.to_string().as_bytes())
    });
    let url = format!("http://127.0.0.1:{}", store.port);
    let proof = from_file("password", &secret);
    let entry = [("address", url.as_str()), ("login", "userpass"), ("username", "ann"), ("password", &proof)];
    let broker = launch_file(&file_with(&service, &entry), &[]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    is_gone(&broker, &secret);
    assert_nowhere_else(&broker, &token);
}
