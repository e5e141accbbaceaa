//! What `check` says beyond what loading says, and which services it counts as broken.

use super::*;
use crate::testing::TempDir;

/// Keys, helps, and how many services will fail.
fn checked(text: &str) -> (Vec<(String, String)>, usize) {
    let dir = TempDir::new();
    let request = LoadRequest { file: Some(dir.file("broker.yml", text)), ..LoadRequest::default() };
    let loaded = check(&request).expect("it loads");
    let findings = loaded.warnings.findings().iter().filter(|finding| finding.severity == Severity::Warning);
    (findings.map(|finding| (finding.key.clone(), finding.help.clone())).collect(), loaded.doubtful.len())
}

fn mysql(credentials: &str) -> (Vec<(String, String)>, usize) {
    let text = with_service("").replace("connector: pg", "connector: mysql");
    checked(&text.replace("host: db", &format!("host: db, username: me, {credentials}")))
}

fn of(name: &str) -> String {
    format!("services.pg.credentials.{name}")
}

#[test]
fn names_that_other_clients_use_are_known() {
    for (name, meant, doubtful) in
        [("passwd", "password", 1), ("ssl-ca", "sslrootcert", 0), ("pasword", "password", 1)]
    {
        // Others can read the file, which is said of its secrets.
        let (mut said, counted) = mysql(&format!("{name}: x"));
        said.retain(|(_, help)| !help.contains("chmod"));
        assert_eq!((said, counted), (vec![(of(name), format!("did you mean `{meant}`?"))], doubtful));
    }
    let (said, _) = mysql("database: shop");
    assert!(said[0].1.starts_with("it knows username, password, host,"), "{said:?}");
}

#[test]
fn settings_of_stores_that_yaml_takes_for_something_else_are_found() {
    let entry = "type: vault, address: 'https://h.test', login: userpass, skipVerify: yes, timeout: 30";
    for (more, keys) in [
        ("username: n, password: 0123", &["password", "username"][..]),
        ("username: 'n', password: '0123'", &[]),
        ("username: ann, password: s3", &[]),
    ] {
        let providers = format!("providers:\n  team: {{{entry}, {more}}}\n");
        let (said, _) = checked(&format!("{}{providers}", with_service("")));
        let found =
            said.iter().filter(|(_, help)| help.starts_with("put it in quotes")).map(|(key, _)| key.as_str());
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        let expected: Vec<String> = keys.iter().map(|key| format!("providers.team.{key}")).collect();
        assert_eq!(found, expected, "{more}");
    }
}

#[test]
fn a_value_that_cannot_be_had_is_a_service_that_cannot_be_used() {
    for source in ["{from: file, get: /nonexistent/password}", "{from: env, get: NOT_A_VARIABLE_HERE}"] {
        let (said, doubtful) = mysql(&format!("password: {source}"));
        assert_eq!((said.len(), doubtful), (1, 1), "{said:?}");
    }
}

#[test]
fn what_works_and_not_as_somebody_may_think_is_said_and_not_counted() {
    let root = "\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\"";
    let (said, doubtful) = mysql(&format!("sslmode: require, sslrootcert: {root}"));
    let help = "it works; do what the sentence says all the same".to_owned();
    assert_eq!((said, doubtful), (vec![(of("sslrootcert"), help)], 0));
}

#[test]
fn a_socket_needs_a_folder() {
    let text = with_service("").replace("host: db", "host: db, username: me");
    let at = |path: &str| checked(&text.replace("tcp://127.0.0.1:5432", &format!("unix://{path}")));
    let (said, doubtful) = at("/nonexistent/folder/.s.PGSQL.5432");
    assert_eq!((said[0].0.as_str(), doubtful), ("services.pg.listenOn", 1), "{said:?}");
    assert_eq!(at("/tmp/.s.PGSQL.5432"), (Vec::new(), 0));
}

#[test]
fn connectors_are_known_by_their_servers_names() {
    for (word, meant) in [("mariadb", "mysql"), ("postgres", "pg"), ("PostgreSQL", "pg"), ("mysq", "mysql")] {
        let said = report(&with_service("").replace("connector: pg", &format!("connector: {word}")));
        assert!(said.contains(&format!("did you mean `{meant}`?")), "{said}");
    }
}

#[test]
fn what_a_store_needs_and_cannot_have_is_named_where_it_stands_and_breaks_whoever_needs_the_store() {
    let stores = "providers:\n  a: {type: http, url: 'https://a.test/', bearer: {from: env, get: NOT_THERE_A}}\n  \
                  b: {type: http, url: 'https://b.test/', bearer: {from: a, get: token}}\n";
    for (from, is_broken) in [("a", 1), ("b", 1), ("file", 0)] {
        let dir = TempDir::new();
        let id = if from == "file" { dir.file("password", "x").display().to_string() } else { "x".into() };
        let password = format!("{{host: db, username: me, password: {{from: {from}, get: '{id}'}}}}");
        let text = format!("{}{stores}", with_service("").replace("{host: db}", &password));
        let (said, doubtful) = checked(&text);
        let expected = ("providers.a.bearer".to_owned(), "'a' cannot be asked without it".to_owned());
        assert!(said.contains(&expected), "{said:?}");
        assert_eq!(doubtful, is_broken, "{from}: {said:?}");
    }
}

#[test]
fn a_certificate_that_a_store_is_told_is_no_secret() {
    let dir = TempDir::new();
    let root = dir.file("root.pem", "-----BEGIN CERTIFICATE-----");
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    for (setting, is_warned) in [("caCert", false), ("bearer", true)] {
        let store = format!(
            "providers:\n  a: {{type: http, url: 'https://a.test/', {setting}: {{from: file, get: '{}'}}}}\n",
            root.display()
        );
        let (said, _) = checked(&format!("{}{store}", with_service("")));
        let is_named = said.iter().any(|(key, _)| *key == format!("providers.a.{setting}"));
        assert_eq!(is_named, is_warned, "{said:?}");
    }
}

#[test]
fn a_store_whose_answers_others_can_read_is_named_though_its_token_comes_from_elsewhere() {
    for (store, who) in [
        ("type: http, url: 'http://web.test/v1', bearer: {from: file, get: TOKEN}", "web.test"),
        ("type: vault, address: 'http://vault.test:8200', token: {from: file, get: TOKEN}", "vault.test"),
    ] {
        let dir = TempDir::new();
        let token = dir.file("token", "t0ken");
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
        let store = store.replace("TOKEN", &format!("'{}'", token.display()));
        let password = "{host: db, username: me, password: {from: a, get: kv/x#password}}";
        let text = with_service("").replace("{host: db}", password);
        let request = LoadRequest {
            file: Some(dir.file("broker.yml", &format!("{text}providers:\n  a: {{{store}}}\n"))),
            ..LoadRequest::default()
        };
        let loaded = check(&request).expect("it loads");
        let said = loaded.warnings.to_string();
        assert!(said.contains(&format!("secrets from {who} come in clear")), "{said}");
        assert_eq!(loaded.doubtful.len(), 0);
    }
}
