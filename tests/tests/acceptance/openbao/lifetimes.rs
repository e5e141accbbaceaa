//! The life of a login while the broker runs: renewal, its end, revocation, a store that is away.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::broker::{Broker, Service};
use tests::openbao::{OpenBao, Options, Storage};
use tests::postgres::{Login, Major, shared as postgres, unguessable};
use tests::wait;

use super::logins::{accessors, approle};
use super::{assert_silent, file_with, launch_file, service_of_team};
use crate::support::session;

/// A store, and a broker that has logged in there with a role of these fields.
struct Scene {
    store: OpenBao,
    broker: Broker,
    service: Service,
    login: Login,
    secret_id: String,
}

impl Scene {
    fn new(storage: Storage, mut role: Value, refresh: &str) -> Self {
        let (login, service) = service_of_team();
        let service = service.line(&format!("refresh: {refresh}"));
        let store = OpenBao::start(&Options { storage, ..Options::default() }).unwrap();
        store.write("kv/db", &json!({"password": login.password})).unwrap();
        let policy = store.policy("path \"kv/db\" { capabilities = [\"read\"] }").unwrap();
        role["token_policies"] = json!([policy]);
        let (role_id, secret_id) = approle(&store, "approle", role);
        let url = store.url();
        let entry = [
            ("address", url.as_str()),
            ("login", "approle"),
            ("roleId", &role_id),
            ("secretId", &secret_id),
            ("retries", "0"),
        ];
        let broker = launch_file(&file_with(&service, &entry), &[]);
        broker.wait_until_ready().unwrap();
        Self { store, broker, service, login, secret_id }
    }

    /// What the store says about the broker's token; `None` while it has none.
    fn token(&self) -> Option<Value> {
        accessors(&self.store).iter().find_map(|accessor| {
            let asked = json!({"accessor": accessor});
            let data = self.store.write("auth/token/lookup-accessor", &asked).ok()?["data"].clone();
            (data["path"] == "auth/approle/login").then_some(data)
        })
    }

    fn accessor(&self) -> Option<String> {
        Some(self.token()?["accessor"].as_str()?.to_owned())
    }

    /// Changes the password, at the server first.
    fn rotate(&self) {
        let password = unguessable();
        postgres(Major::Distribution)
            .sql(&format!("ALTER ROLE {} PASSWORD '{password}'", self.login.name))
            .unwrap();
        self.store.write("kv/db", &json!({"password": password})).unwrap();
        session(&self.service.listen, &self.login);
    }

    /// Everything went well, and nothing was told that must not be.
    #[track_caller]
    fn ends_well(&self) {
        assert_silent(&self.broker, &[&self.secret_id]);
        assert!(!self.broker.said().contains("Resolving credentials"), "{}", self.broker.said());
        assert!(self.broker.stop().unwrap().success());
    }
}

#[test]
fn a_token_is_renewed_though_nobody_asks_for_a_value() {
    let scene = Scene::new(Storage::Memory, json!({"token_period": "3s"}), "off");
    let first = scene.accessor().unwrap();
    let mut renewals = std::collections::BTreeSet::new();
    wait::until("it is renewed three times", || {
        renewals.extend(scene.token().and_then(|token| token["last_renewal_time"].as_u64()));
        renewals.len() == 3
    });
    assert_eq!(scene.accessor(), Some(first));
    assert_eq!(scene.broker.metric("secretless_credential_fetch_total", &["team"]).unwrap(), 1.0);
    scene.rotate();
    scene.ends_well();
}

#[test]
fn a_token_that_cannot_live_on_is_replaced_before_its_end_and_nobody_notices() {
    let scene = Scene::new(Storage::Memory, json!({"token_ttl": "3s", "token_max_ttl": "5s"}), "1s");
    let mut logins = std::collections::BTreeSet::new();
    wait::until("it has logged in three times", || {
        logins.extend(scene.accessor());
        session(&scene.service.listen, &scene.login);
        logins.len() == 3
    });
    scene.ends_well();
}

#[test]
fn a_token_that_has_ended_meanwhile_is_replaced_when_a_value_is_asked_for() {
    let scene = Scene::new(Storage::Memory, json!({"token_ttl": "1s", "token_max_ttl": "1s"}), "off");
    wait::until("the token is over", || scene.token().is_none());
    // The database refuses what the broker has; so it asks, as somebody whom the store does not know any more.
    scene.rotate();
    scene.ends_well();
}

#[test]
fn a_revoked_token_is_replaced_within_the_fetch_that_finds_it_out() {
    let scene = Scene::new(Storage::Memory, json!({"token_ttl": "1h"}), "off");
    for _ in 0..2 {
        let accessor = scene.accessor().unwrap();
        scene.store.write("auth/token/revoke-accessor", &json!({"accessor": accessor})).unwrap();
        scene.rotate();
        assert!(scene.accessor().is_some_and(|now| now != accessor));
    }
    scene.ends_well();
}

#[test]
fn a_store_that_is_restarted_and_unsealed_finds_the_login_it_knew() {
    let scene = Scene::new(Storage::Raft, json!({"token_ttl": "1h"}), "off");
    let first = scene.accessor().unwrap();
    let said = |words: &'static str| {
        scene.broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    };
    scene.store.stop().unwrap();
    scene.broker.process().signal(Signal::USR1);
    said("connection refused; the last value stays in use");
    scene.store.resume().unwrap();
    said("Code: 503. Errors: * Vault is sealed; the last value stays in use");
    session(&scene.service.listen, &scene.login);
    scene.store.unseal().unwrap();
    scene.rotate();
    assert_eq!(scene.accessor(), Some(first));
    assert!(scene.broker.stop().unwrap().success());
    wait::until("the login is revoked", || scene.token().is_none());
}

#[test]
fn a_login_is_revoked_when_the_file_describes_its_store_no_more() {
    let scene = Scene::new(Storage::Memory, json!({"token_ttl": "1h"}), "off");
    let first = scene.accessor().unwrap();
    let mut open = session(&scene.service.listen, &scene.login);
    let config = std::fs::read_to_string(scene.broker.config()).unwrap();
    let replace = |content: &str| {
        std::fs::write(scene.broker.config(), content).unwrap();
        scene.broker.process().signal(Signal::USR1);
    };
    // The same in other words is another store.
    replace(&config.replace("retries: 0", "retries: 1"));
    wait::until("there is one login, and another", || {
        accessors(&scene.store).len() == 2 && scene.accessor().is_some_and(|now| now != first)
    });
    let second = scene.accessor();
    // A file that is not put in force leaves nothing behind.
    replace(&config.replace("retries: 0", "retries: 2").replace("kv/db", "kv/none"));
    let words = "would be without a credential";
    scene.broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    wait::until("its login is gone", || accessors(&scene.store).len() == 2);
    assert_eq!(scene.accessor(), second);
    assert_eq!(open.query("SELECT 7").unwrap(), ["7"]);
    drop(open);
    assert!(scene.broker.stop().unwrap().success());
    assert_eq!(scene.token(), None);
}
