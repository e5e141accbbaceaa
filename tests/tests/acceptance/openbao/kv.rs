//! Secrets of KV, in both versions and every spelling, and their rotation.

use serde_json::json;
use tests::broker::{mysql, pg};
use tests::mysql::{Client, Endpoint, Kind, Plugin};
use tests::openbao::{OpenBao, shared};
use tests::postgres::{Major, shared as postgres, unguessable};
use tests::{mysql as my, wait};

use super::{broker, vault, wait_for_reason};
use crate::support::{psql, refusal, session};

/// Where a secret is written, how it is written, and how a file may spell it.
struct Spelling {
    path: &'static str,
    is_versioned: bool,
    id: &'static str,
    /// What a token must be able to read.
    read: &'static str,
}

const SPELLINGS: [Spelling; 4] = [
    Spelling { path: "kv/spell/one", is_versioned: false, id: "kv/spell/one#", read: "kv/spell/one" },
    // As the Go broker wants it.
    Spelling {
        path: "secret/data/spell/two",
        is_versioned: true,
        id: "secret/data/spell/two#data.",
        read: "secret/data/spell/two",
    },
    // As the store's own client takes it.
    Spelling {
        path: "secret/data/spell/three",
        is_versioned: true,
        id: "secret/spell/three#",
        read: "secret/data/spell/three",
    },
    Spelling {
        path: "secret/data/spell/four",
        is_versioned: true,
        id: "secret/data/spell/four#",
        read: "secret/data/spell/four",
    },
];

impl Spelling {
    fn write(&self, store: &OpenBao, username: &str, password: &str) {
        let secret = json!({"username": username, "password": password});
        let body = if self.is_versioned { json!({"data": secret}) } else { secret };
        store.write(self.path, &body).unwrap();
    }
}

#[test]
fn a_login_of_postgresql_comes_from_either_version_of_kv_however_it_is_spelled() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    for spelling in SPELLINGS {
        let login = cluster.user(None).unwrap();
        spelling.write(store, &login.name, &login.password);
        let service = pg("db", cluster, &login)
            .credential("username", vault(&format!("{}username", spelling.id)))
            .credential("password", vault(&format!("{}password", spelling.id)));
        let broker = broker([service.clone()], store, &[spelling.read]);
        let mut open = session(&service.listen, &login);
        for _ in 0..3 {
            // The server first: the broker asks the store when the old password is refused.
            let password = unguessable();
            cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).unwrap();
            spelling.write(store, &login.name, &password);
            session(&service.listen, &login);
            assert!(!broker.said().contains(&password), "{}", broker.said());
        }
        // Only the second version counts.
        assert_eq!(broker.said().contains(" is in version 4"), spelling.is_versioned, "{}", broker.said());
        assert_eq!(open.query("SELECT 7").unwrap(), ["7"], "open sessions go on");
        drop(open);
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn a_login_of_mariadb_comes_from_kv_and_is_rotated() {
    let store = shared();
    let server = my::shared(my::Which::Distribution).unwrap();
    assert_eq!(server.kind(), Kind::MariaDb);
    for (path, is_versioned, id) in
        [("kv/my/one", false, "kv/my/one"), ("secret/data/my/two", true, "secret/my/two")]
    {
        let mut account = server.user(Plugin::NativePassword).unwrap();
        let write = |password: &str| {
            let secret = json!({"password": password});
            let body = if is_versioned { json!({"data": secret}) } else { secret };
            store.write(path, &body).unwrap();
        };
        write(&account.password);
        let service = mysql("db", server, &account)
            .literal("sslmode", "disable")
            .credential("password", vault(&format!("{id}#password")));
        let endpoint = Endpoint::broker(&service.listen, &account);
        let broker = broker([service], store, &[path]);
        let current = || Client::new(&endpoint).unwrap().query("SELECT CURRENT_USER()").unwrap();
        assert_eq!(current(), account.current_user());
        for _ in 0..2 {
            account.change_password(server).unwrap();
            write(&account.password);
            assert_eq!(current(), account.current_user(), "{}", broker.said());
        }
        assert!(broker.stop().unwrap().success());
    }
}

#[test]
fn a_version_that_is_named_is_the_one_that_is_used() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let login = cluster.user(None).unwrap();
    for password in [&login.password, "of the second version"] {
        store.write("secret/data/versions", &json!({"data": {"password": password}})).unwrap();
    }
    let service =
        pg("db", cluster, &login).credential("password", vault("secret/versions?version=1#password"));
    let newest = pg("newest", cluster, &login).credential("password", vault("secret/versions#password"));
    let flat = pg("flat", cluster, &login).credential("password", vault("kv/versions?version=1#password"));
    store.write("kv/versions", &json!({"password": "p"})).unwrap();
    let token = store.reader(&["secret/data/versions", "kv/versions"]).unwrap();
    let services = [service.clone(), newest.clone(), flat];
    let broker = super::launch(services, &[("VAULT_ADDR", &store.url()), ("VAULT_TOKEN", &token)]);
    wait_for_reason(&broker, "there are no versions at 'kv/versions': it is not in KV version 2");
    session(&service.listen, &login);
    assert_eq!(refusal(&newest.listen, &login.name).field('C'), "28P01");
}

#[test]
fn numbers_and_booleans_are_text_and_fields_may_be_nested() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let login = cluster.user(None).unwrap();
    cluster.sql(&format!("ALTER ROLE {} PASSWORD '31415926535'", login.name)).unwrap();
    let secret = json!({
        "port": cluster.port,
        "login": {"name": login.name, "password.new": 31_415_926_535_u64},
        "quick": true,
    });
    store.write("kv/nested", &secret).unwrap();
    let service = pg("db", cluster, &login)
        .credential("port", vault("kv/nested#port"))
        .credential("username", vault("kv/nested#login.name"))
        .credential("password", vault("kv/nested#login.password.new"))
        .credential("application_name", vault("kv/nested#quick"));
    let _broker = broker([service.clone()], store, &["kv/nested"]);
    let mut session = session(&service.listen, &login);
    assert_eq!(session.query("SHOW application_name").unwrap(), ["true"]);
}

#[test]
fn what_the_store_denies_is_said_in_the_go_brokers_words_and_taken_up_when_it_is_there() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let login = cluster.user(None).unwrap();
    store.write("kv/denied/fields", &json!({"nested": {"a": "b"}})).unwrap();
    let service = |name: &str, id: &str| pg(name, cluster, &login).credential("password", vault(id));
    let late = service("late", "kv/denied/late#password").line("timeouts: {handshake: 2s}");
    let services = [
        late.clone(),
        service("single", "kv/denied/fields#password"),
        service("nested", "kv/denied/fields#nested.password"),
        service("object", "kv/denied/fields#nested"),
        service("foreign", "secret/denied#password"),
    ];
    let token = store.reader(&["kv/denied/*"]).unwrap();
    let broker = super::launch(services, &[("VAULT_ADDR", &store.url()), ("VAULT_TOKEN", &token)]);
    for words in [
        "HashiCorp Vault provider could not find secret 'kv/denied/late'",
        "HashiCorp Vault provider expects the secret to be a string or byte[], got <nil> in the field 'password'",
        "HashiCorp Vault provider expects secret in 'nested.password' at 'kv/denied/fields'",
        "got map[string]interface {} in the field 'nested'",
        "read 'secret/denied': Error making API request. Code: 403. Errors:",
    ] {
        wait_for_reason(&broker, words);
    }
    let error = refusal(&late.listen, &login.name);
    crate::support::assert_is_ours(&error, "late", "57P03", "credential", &login);

    store.write("kv/denied/late", &json!({"password": login.password})).unwrap();
    wait::until("it is taken up", || psql(&late.listen, &login).run("").unwrap().status.success());
}

#[test]
fn a_secret_that_is_deleted_is_out_of_use_after_a_second_look() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let login = cluster.user(None).unwrap();
    let write = || store.write("kv/withdrawn", &json!({"password": login.password})).unwrap();
    write();
    let service = pg("db", cluster, &login)
        .credential("password", vault("kv/withdrawn#password"))
        .line("timeouts: {handshake: 2s}");
    let broker = broker([service.clone()], store, &["kv/withdrawn"]);
    session(&service.listen, &login);

    store.delete("kv/withdrawn").unwrap();
    // Nobody has told the broker. A reload makes it look.
    broker.process().signal(rustix::process::Signal::USR1);
    let said =
        |words: &'static str| broker.process().wait_for_words(words, |said| said.contains(words)).unwrap();
    said("could not find secret 'kv/withdrawn'; the last value stays in use");
    said("could not find secret 'kv/withdrawn'; the store has withdrawn the value");
    wait::until("it is out of use", || broker.get("/ready").unwrap().status == 503);
    let error = refusal(&service.listen, &login.name);
    crate::support::assert_is_ours(&error, "db", "57P03", "credential", &login);

    write();
    broker.wait_until_ready().unwrap();
    session(&service.listen, &login);
}
