//! The ways to a store: TLS, certificates of our own, proxies, namespaces, stores that stand by.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tests::broker::{Service, pg};
use tests::certificates::Authority;
use tests::openbao::{OpenBao, Options, Tls, shared};
use tests::postgres::{Login, Major, shared as postgres};

use super::{launch, served, vault, wait_for_reason, written as file};
use crate::doubles::proxy;
use crate::support::session;

/// A secret at a path of its own in `store`, a service that uses it, and a token for it.
fn secret(store: &OpenBao, path: &str) -> (Login, Service, String) {
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    store.write(path, &json!({"password": login.password})).unwrap();
    let service = pg("db", cluster, &login).credential("password", vault(&format!("{path}#password")));
    (login, service, store.reader(&[path]).unwrap())
}

#[test]
fn a_store_is_believed_by_its_certificate_alone() {
    let store = shared();
    let (login, service, token) = secret(store, "kv/lines/tls");
    let root = file("root.pem", &Authority::shared().certificate);
    let folder = std::path::Path::new(&root).parent().unwrap().display().to_string();
    let stranger = file("stranger.pem", &Authority::stranger().certificate);
    let common = [("VAULT_ADDR", store.tls_url()), ("VAULT_TOKEN", token)];
    let with = |more: &[(&'static str, &str)]| {
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let all: Vec<(&str, String)> = common.iter().cloned().chain(more).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        launch([service.clone()], &all)
    };
    for good in [
        &[("VAULT_CACERT", root.as_str())][..],
        &[("VAULT_CAPATH", folder.as_str())],
        &[("VAULT_CACERT", stranger.as_str()), ("BAO_CACERT", root.as_str())],
        &[("VAULT_CACERT", root.as_str()), ("VAULT_TLS_SERVER_NAME", "bao.test")],
        &[("VAULT_SKIP_VERIFY", "true")],
    ] {
        let broker = with(good);
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert!(broker.stop().unwrap().success());
    }
    for (bad, words) in [
        (&[][..], "tls: invalid peer certificate: UnknownIssuer"),
        (&[("VAULT_CACERT", stranger.as_str())], "tls: invalid peer certificate: UnknownIssuer"),
        (
            &[("VAULT_CACERT", root.as_str()), ("VAULT_TLS_SERVER_NAME", "other.test")],
            "certificate not valid for name",
        ),
        (&[("VAULT_CACERT", "/nowhere.pem")], "open /nowhere.pem: no such file or directory"),
    ] {
        let broker = with(bad);
        wait_for_reason(&broker, words);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn an_address_in_the_wrong_scheme_is_told_the_right_one() {
    let store = shared();
    let (_, service, token) = secret(store, "kv/lines/scheme");
    let (clear, encrypted) = (store.url(), store.tls_url());
    for (wrong, words) in [
        (encrypted.replace("https://", "http://"), "what answers there wants TLS: write `https://`"),
        (clear.replace("http://", "https://"), "tls: what answers there is not TLS: is it `http://`?"),
    ] {
        let broker = launch([service.clone()], &[("VAULT_ADDR", &wrong), ("VAULT_TOKEN", &token)]);
        wait_for_reason(&broker, words);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn what_is_missing_is_named_with_its_version_and_its_namespace() {
    let store = shared();
    let (_, service, _) = secret(store, "kv/lines/missing");
    let service = service.credential("password", vault("kv/nothing?version=7#password"));
    store.write("sys/namespaces/lines-empty", &json!({})).unwrap();
    store.write("lines-empty/sys/mounts/kv", &json!({"type": "kv", "options": {"version": "2"}})).unwrap();
    let token = store.reader(&["lines-empty/kv/data/nothing"]).unwrap();
    let url = store.url();
    let variables =
        [("VAULT_ADDR", url.as_str()), ("VAULT_TOKEN", &token), ("VAULT_NAMESPACE", "lines-empty")];
    let broker = launch([service], &variables);
    wait_for_reason(
        &broker,
        "could not find secret 'kv/nothing' in version 7 in the namespace 'lines-empty'",
    );
}

#[test]
fn a_store_that_wants_to_see_a_certificate_is_shown_ours() {
    let clients = Authority::new("the store's clients");
    let identity = Authority::shared().server(&["127.0.0.1"]);
    let tls = Tls { identity, client_root: Some(clients.certificate.clone()) };
    let store = OpenBao::start(&Options { tls: Some(tls), ..Options::default() }).unwrap();
    let (login, service, token) = secret(&store, "kv/lines/certificate");
    let root = file("root.pem", &Authority::shared().certificate);
    let ours = clients.client("broker");
    let (certificate, key) = (file("client.pem", &ours.certificate), file("client.key", &ours.key));
    let url = store.tls_url();
    let mut variables = vec![("VAULT_ADDR", url.as_str()), ("VAULT_TOKEN", &token), ("VAULT_CACERT", &root)];
    let without = launch([service.clone()], &variables);
    wait_for_reason(&without, "tls: received fatal alert: CertificateRequired");
    assert!(without.stop().unwrap().success());

    variables.extend([("VAULT_CLIENT_CERT", certificate.as_str()), ("VAULT_CLIENT_KEY", key.as_str())]);
    let broker = launch([service.clone()], &variables);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}

#[test]
fn a_namespace_of_the_environment_is_where_paths_begin() {
    let store = shared();
    store.write("sys/namespaces/lines-team", &json!({})).unwrap();
    store.write("lines-team/sys/mounts/kv", &json!({"type": "kv"})).unwrap();
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    store.write("lines-team/kv/db", &json!({"password": login.password})).unwrap();
    let service = pg("db", cluster, &login).credential("password", vault("kv/db#password"));
    let token = store.reader(&["lines-team/kv/db"]).unwrap();
    let broker = launch(
        [service.clone()],
        &[("VAULT_ADDR", &store.url()), ("VAULT_TOKEN", &token), ("VAULT_NAMESPACE", "lines-team")],
    );
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}

#[test]
fn a_store_that_stands_by_names_the_active_one_and_only_in_the_same_scheme() {
    let store = shared();
    let (login, service, token) = secret(store, "kv/lines/standby");
    let (clear, encrypted) = (store.url(), store.tls_url());
    let to = |target: String| {
        served(move |head, _| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let head = "HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n";
            format!("{head}Location: {target}{path}\r\n\r\n").into_bytes()
        })
    };
    let standby = to(clear);
    let url = format!("http://127.0.0.1:{}", standby.port);
    let broker = launch([service.clone()], &[("VAULT_ADDR", &url), ("VAULT_TOKEN", &token)]);
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
    assert!(broker.stop().unwrap().success());

    let other = to(encrypted);
    let url = format!("http://127.0.0.1:{}", other.port);
    let broker = launch([service], &[("VAULT_ADDR", &url), ("VAULT_TOKEN", &token)]);
    wait_for_reason(&broker, "it names another address that is not to be followed");
}

#[test]
fn a_proxy_opens_the_line_to_the_store() {
    let store = shared();
    let (login, service, token) = secret(store, "kv/lines/proxy");
    let (proxy, asked) = proxy();
    let root = file("root.pem", &Authority::shared().certificate);
    for address in [store.url(), store.tls_url()] {
        let proxy_address = format!("http://user:pass%40word@127.0.0.1:{}", proxy.port);
        let before = proxy.connections();
        let broker = launch(
            [service.clone()],
            &[
                ("VAULT_ADDR", &address),
                ("VAULT_TOKEN", &token),
                ("VAULT_CACERT", &root),
                ("VAULT_PROXY_ADDR", &proxy_address),
            ],
        );
        broker.wait_until_ready().unwrap();
        session(&service.listen, &login);
        assert!(proxy.connections() > before);
        assert!(broker.stop().unwrap().success());
    }
    let asked = asked.lock().unwrap();
    assert!(asked.starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", store.port)), "{asked}");
    // "user:pass@word" in Base64.
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n"), "{asked}");
    assert!(!asked.contains(&token));
}

#[test]
fn every_request_says_that_it_is_meant() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    // A double, for a real store does not show what it was sent.
    let store = served(move |head, _| {
        seen.lock().unwrap().push(head.to_lowercase());
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"errors\":[]}".to_vec()
    });
    let cluster = postgres(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).credential("password", vault("kv/a b#password"));
    let url = format!("http://127.0.0.1:{}/base", store.port);
    let broker = launch(
        [service],
        &[
            ("VAULT_ADDR", &url),
            ("BAO_TOKEN", "t0ken"),
            ("VAULT_TOKEN", "other"),
            ("BAO_NAMESPACE", "team/a"),
        ],
    );
    wait_for_reason(&broker, "could not find secret 'kv/a b'");
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("get /base/v1/sys/internal/ui/mounts/kv/a%20b http/1.1\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("get /base/v1/kv/a%20b http/1.1\r\n"), "{heads:?}");
    for head in heads.iter() {
        for line in ["x-vault-request: true", "x-vault-token: t0ken", "x-vault-namespace: team/a"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
    }
}
