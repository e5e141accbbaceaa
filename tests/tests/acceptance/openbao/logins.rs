//! Logins of the broker's own, each at a real OpenBao.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::broker::File;
use tests::certificates::Authority;
use tests::jwt::Signer;
use tests::openbao::{OpenBao, Options, Tls};
use tests::postgres::Login;
use tests::{process, wait};

use super::{
    answer, assert_silent, file_with, from_file, launch_file, served, service_of_team, wait_for_reason,
    written,
};
use crate::support::session;

/// A store with this password in it, and a policy that lets read it.
fn store_with(login: &Login, options: &Options) -> (OpenBao, String) {
    let store = OpenBao::start(options).unwrap();
    store.write("kv/db", &json!({"password": login.password})).unwrap();
    let policy = store.policy("path \"kv/db\" { capabilities = [\"read\"] }").unwrap();
    (store, policy)
}

/// The tokens that the store knows, by their accessors.
pub(super) fn accessors(store: &OpenBao) -> Vec<String> {
    let listed = store.read("auth/token/accessors?list=true").unwrap();
    let keys = listed["data"]["keys"].as_array().cloned().unwrap_or_default();
    keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A broker with this file logs in and serves; when it stops, its token is nobody's any more, and so it is after a check that
/// asks the store. No secret is in what either says.
fn serves(file: &File, store: &OpenBao, login: &Login, secrets: &[&str]) {
    let before = accessors(store).len();
    let mut check = Command::new(tests::broker::binary().unwrap());
    check.args(["check", "--online", "-f"]).arg(file.write().unwrap());
    let checked = process::run(&mut check).unwrap();
    assert!(checked.status.success(), "{checked}");
    assert!(!secrets.iter().any(|secret| checked.to_string().contains(secret)), "{checked}");
    assert_eq!(accessors(store).len(), before, "the check has let go of its login");
    let broker = launch_file(file, &[]);
    broker.wait_until_ready().unwrap();
    session(&file.services[0].listen, login);
    assert_eq!(accessors(store).len(), before + 1, "one login is enough for all");
    assert_silent(&broker, secrets);
    assert!(broker.stop().unwrap().success());
    assert_eq!(accessors(store).len(), before, "the login is revoked");
    assert!(!broker.said().contains("warn"), "{}", broker.said());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A role `app` of AppRole at `mount` with these fields: its id and a secret id.
pub(super) fn approle(store: &OpenBao, mount: &str, mut role: Value) -> (String, String) {
    store.write(&format!("sys/auth/{mount}"), &json!({"type": "approle"})).unwrap();
    let path = format!("auth/{mount}/role/app");
    role["token_type"] = "service".into();
    store.write(&path, &role).unwrap();
    let role_id = text(&store.read(&format!("{path}/role-id")).unwrap()["data"]["role_id"]);
    let made = store.write(&format!("{path}/secret-id"), &json!({})).unwrap();
    (role_id, text(&made["data"]["secret_id"]))
}

#[test]
fn an_application_role_logs_in_with_a_secret_from_another_store() {
    let (login, service) = service_of_team();
    let (store, policy) = store_with(&login, &Options::default());
    let (role_id, secret_id) = approle(&store, "team/approle", json!({"token_policies": [policy]}));
    let file = file_with(
        &service,
        &[
            ("address", &store.url()),
            ("login", "approle"),
            ("mount", "team/approle"),
            ("roleId", &role_id),
            ("secretId", &from_file("secret-id", &secret_id)),
        ],
    );
    serves(&file, &store, &login, &[&secret_id, &role_id]);
}

#[test]
fn a_user_logs_in_with_a_password() {
    let (login, service) = service_of_team();
    let (store, policy) = store_with(&login, &Options::default());
    store.write("sys/auth/userpass", &json!({"type": "userpass"})).unwrap();
    let user = json!({"password": "correct-horse", "token_policies": [policy]});
    store.write("auth/userpass/users/ann", &user).unwrap();
    let url = store.url();
    let entry = [
        ("address", url.as_str()),
        ("login", "userpass"),
        ("username", "ann"),
        ("password", "correct-horse"),
    ];
    serves(&file_with(&service, &entry), &store, &login, &["correct-horse"]);
}

#[test]
fn a_certificate_logs_in() {
    let (login, service) = service_of_team();
    let clients = Authority::new("the store's clients");
    let identity = Authority::shared().server(&["127.0.0.1"]);
    let tls = Tls { identity, client_root: Some(clients.certificate.clone()) };
    let (store, policy) = store_with(&login, &Options { tls: Some(tls), ..Options::default() });
    store.write("sys/auth/cert", &json!({"type": "cert"})).unwrap();
    let role = json!({"certificate": clients.certificate, "token_policies": [policy]});
    store.write("auth/cert/certs/broker", &role).unwrap();
    let ours = clients.client("broker");
    let entry = [
        ("address", store.tls_url()),
        ("caCert", written("root.pem", &Authority::shared().certificate)),
        ("clientCert", written("client.pem", &ours.certificate)),
        // The key need not lie in a file of its own.
        ("clientKey", from_file("client.key", &ours.key)),
        ("login", "cert".to_owned()),
        ("role", "broker".to_owned()),
    ];
    let entry = entry.each_ref().map(|(name, value)| (*name, value.as_str()));
    serves(&file_with(&service, &entry), &store, &login, &[ours.key.lines().nth(1).unwrap()]);

    let stranger = written("stranger.pem", &Authority::stranger().certificate);
    let entry = entry.map(|(name, value)| (name, if name == "caCert" { stranger.as_str() } else { value }));
    let broker = launch_file(&file_with(&service, &entry), &[]);
    wait_for_reason(&broker, "tls: invalid peer certificate: UnknownIssuer");
}

/// Claims about `subject`, good for an hour, with `more` beside them.
fn claims(subject: &str, mut more: Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    more["sub"] = subject.into();
    more["iat"] = (now - 60).into();
    more["nbf"] = (now - 60).into();
    more["exp"] = (now + 3600).into();
    more
}

#[test]
fn a_signed_token_logs_in() {
    let (login, service) = service_of_team();
    let (store, policy) = store_with(&login, &Options::default());
    let signer = Signer::new();
    store.write("sys/auth/jwt", &json!({"type": "jwt"})).unwrap();
    let config = json!({"jwt_validation_pubkeys": [signer.public_key()], "jwt_supported_algs": ["ES256"]});
    store.write("auth/jwt/config", &config).unwrap();
    let role = json!({
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["store"],
        "token_policies": [policy],
    });
    store.write("auth/jwt/role/app", &role).unwrap();
    let token = signer.token(&claims("broker", json!({"aud": "store"})));
    let url = store.url();
    let file = written("token", &format!("{token}\n"));
    for (name, value) in [("jwtFile", file.as_str()), ("jwt", &token)] {
        let entry = [("address", url.as_str()), ("login", "jwt"), ("role", "app"), (name, value)];
        serves(&file_with(&service, &entry), &store, &login, &[&token]);
    }
}

#[test]
fn a_service_account_logs_in_with_the_token_that_lies_there_at_the_time() {
    let (login, service) = service_of_team();
    let service = service.line("failureTtl: 1s");
    let (store, policy) = store_with(&login, &Options::default());
    let signer = Signer::new();
    let token = |name: &str| {
        let account = json!({"namespace": "shop", "serviceaccount": {"name": name, "uid": "u1"}});
        let subject = format!("system:serviceaccount:shop:{name}");
        signer.token(&claims(&subject, json!({"kubernetes.io": account})))
    };
    let (good, other) = (token("broker"), token("other"));
    // A double of the one answer of Kubernetes' API server that the store asks for: TokenReview.
    let reviewed = good.clone();
    let kubernetes = served(move |head, body| {
        assert!(head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews"), "{head}");
        let is_good = body.contains(&reviewed);
        let user = json!({"username": "system:serviceaccount:shop:broker", "uid": "u1", "groups": []});
        let status = json!({"authenticated": is_good, "user": user});
        let review =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
        answer("201 Created\r\nContent-Type: application/json", review.to_string().as_bytes())
    });
    store.write("sys/auth/kubernetes", &json!({"type": "kubernetes"})).unwrap();
    let config = json!({
        "kubernetes_host": format!("http://127.0.0.1:{}", kubernetes.port),
        "kubernetes_ca_cert": Authority::shared().certificate,
        "disable_local_ca_jwt": true,
    });
    store.write("auth/kubernetes/config", &config).unwrap();
    let role = json!({
        "bound_service_account_names": ["broker"],
        "bound_service_account_namespaces": ["shop"],
        "token_policies": [policy],
    });
    store.write("auth/kubernetes/role/app", &role).unwrap();

    let file_of_token = written("token", &other);
    let url = store.url();
    let entry =
        [("address", url.as_str()), ("login", "kubernetes"), ("role", "app"), ("jwtFile", &file_of_token)];
    let file = file_with(&service, &entry);
    let broker = launch_file(&file, &[]);
    wait_for_reason(&broker, "log in at 'auth/kubernetes/login': Error making API request. Code: 403.");
    assert_silent(&broker, &[&other]);
    assert!(broker.stop().unwrap().success());
    // The kubelet replaces it while the broker runs.
    let broker = launch_file(&file, &[]);
    // What it shows then is another thing: nobody waits for the end of the rest.
    wait_for_reason(&broker, "the store has refused our logins in a row and is left alone");
    // After four more the rest is a quarter of an hour.
    for (name, minutes) in [("second", 2), ("third", 4), ("fourth", 8), ("fifth", 16)] {
        std::fs::write(&file_of_token, token(name)).unwrap();
        wait_for_reason(&broker, &format!("is left alone for up to {minutes} min"));
    }
    std::fs::write(&file_of_token, &good).unwrap();
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    assert_silent(&broker, &[&good, &other]);
    assert!(broker.stop().unwrap().success());
}

#[test]
fn a_token_of_the_file_is_used_and_left_alone() {
    let (login, service) = service_of_team();
    let (store, _) = store_with(&login, &Options::default());
    let token = store.reader(&["kv/db"]).unwrap();
    let url = store.url();
    let lying = written("token", &token);
    for (name, value) in [("token", token.as_str()), ("tokenFile", &lying)] {
        let before = accessors(&store);
        let file = file_with(&service, &[("address", &url), (name, value)]);
        let broker = launch_file(&file, &[("VAULT_TOKEN", "of.another.store")]);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert_silent(&broker, &[&token, "of.another.store"]);
        assert!(broker.stop().unwrap().success());
        assert_eq!(accessors(&store), before);
    }
}

#[test]
fn stores_of_several_names_have_logins_of_their_own_and_one_may_give_another_its_secret() {
    let (login, service) = service_of_team();
    let (store, policy) = store_with(&login, &Options::default());
    let (role_id, secret_id) = approle(&store, "approle", json!({"token_policies": [policy]}));
    let (inner, _) = store_with(&login, &Options::default());
    inner.write("kv/role", &json!({"id": role_id, "secret": secret_id})).unwrap();
    let token = inner.reader(&["kv/role"]).unwrap();
    let (url, inner_url) = (store.url(), inner.url());
    let mut file = file_with(
        &service,
        &[
            ("address", &url),
            ("login", "approle"),
            ("roleId", "{from: vault, get: kv/role#id}"),
            ("secretId", "{from: vault, get: kv/role#secret}"),
        ],
    );
    file.services[0] = file.services[0].clone().line("refresh: 1s");
    let broker = launch_file(&file, &[("VAULT_ADDR", &inner_url), ("VAULT_TOKEN", &token)]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    // Once it is logged in, nobody needs the other store.
    inner.stop().unwrap();
    let before = broker.metric("secretless_credential_fetch_total", &["team", "ok"]).unwrap();
    wait::until("it is asked again", || {
        broker.metric("secretless_credential_fetch_total", &["team", "ok"]).unwrap() > before + 1.0
    });
    assert_silent(&broker, &[&secret_id, &token]);
}
