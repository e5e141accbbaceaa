//! Accounts that the store makes at the target, and accounts whose passwords it changes.

use std::collections::BTreeSet;

use serde_json::json;
use tests::broker::{Broker, Service, mysql, pg};
use tests::mysql::{Account, Client, Endpoint, Plugin, Which};
use tests::openbao::{OpenBao, shared};
use tests::postgres::{Cluster, Login, Major, shared as postgres};
use tests::wait;

use super::{broker, vault};
use crate::support::session;

/// An engine for databases at `mount`, and a connection `db` of it.
fn engine(store: &OpenBao, mount: &str, config: &serde_json::Value) {
    store.write(&format!("sys/mounts/{mount}"), &json!({"type": "database"})).unwrap();
    store.write(&format!("{mount}/config/db"), config).unwrap();
}

/// The same for a PostgreSQL server, where the store acts as a superuser of its own.
fn postgres_engine(store: &OpenBao, mount: &str, cluster: &Cluster) -> Login {
    let manager = cluster.user(None).unwrap();
    cluster.sql(&format!("ALTER ROLE {} SUPERUSER", manager.name)).unwrap();
    let url = format!(
        "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
        cluster.port
    );
    let config = json!({
        "plugin_name": "postgresql-database-plugin",
        "connection_url": url,
        "username": manager.name,
        "password": manager.password,
        "allowed_roles": "*",
    });
    engine(store, mount, &config);
    manager
}

fn fetches(broker: &Broker) -> f64 {
    broker.metric("secretless_credential_fetch_total", &["vault"]).unwrap()
}

#[test]
fn an_account_of_postgresql_is_made_for_the_broker_and_replaced_before_its_end() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let manager = postgres_engine(store, "pg-dynamic", cluster);
    let role = json!({
        "db_name": "db",
        "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
        "default_ttl": "12s",
        "max_ttl": "12s",
    });
    store.write("pg-dynamic/roles/app", &role).unwrap();
    let service = pg("db", cluster, &manager)
        .credential("username", vault("pg-dynamic/creds/app#username"))
        .credential("password", vault("pg-dynamic/creds/app#password"));
    let broker = broker([service.clone()], store, &["pg-dynamic/creds/app"]);
    let user = || session(&service.listen, &manager).query("SELECT current_user").unwrap().concat();
    let mut users = BTreeSet::from([user()]);
    assert!(users.iter().all(|user| user.starts_with("v-")), "{users:?}");
    // Each lease has its account, and each account its lease's end. Nobody is ever refused.
    wait::until("two more accounts were used", || {
        users.insert(user());
        users.len() == 3
    });
    assert!(fetches(&broker) <= 4.0, "{} fetches for {users:?}", fetches(&broker));
    assert!(broker.stop().unwrap().success());
}

#[test]
fn an_account_of_mariadb_is_made_for_the_broker() {
    let store = shared();
    let server = tests::mysql::shared(Which::Distribution).unwrap();
    let manager = server.user(Plugin::NativePassword).unwrap();
    server.sql(&format!("GRANT ALL ON *.* TO {} WITH GRANT OPTION", quoted(&manager))).unwrap();
    let config = json!({
        "plugin_name": "mysql-database-plugin",
        "connection_url": format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{})/", server.port),
        "username": manager.name,
        "password": manager.password,
        "allowed_roles": "*",
    });
    engine(store, "my-dynamic", &config);
    let role = json!({
        "db_name": "db",
        "creation_statements": "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT ALL ON *.* TO '{{name}}'@'%'",
        "default_ttl": "1h",
    });
    store.write("my-dynamic/roles/app", &role).unwrap();
    let service = mysql("db", server, &manager)
        .literal("sslmode", "disable")
        .credential("username", vault("my-dynamic/creds/app#username"))
        .credential("password", vault("my-dynamic/creds/app#password"));
    let endpoint = Endpoint::broker(&service.listen, &manager);
    let broker = broker([service], store, &["my-dynamic/creds/app"]);
    let user = || Client::new(&endpoint).unwrap().query("SELECT CURRENT_USER()").unwrap();
    let first = user();
    assert!(first.starts_with("v-") && first == user(), "{first}");
    assert_eq!(fetches(&broker), 1.0);
    assert!(broker.stop().unwrap().success());
}

/// As `GRANT` names it.
fn quoted(account: &Account) -> String {
    let current = account.current_user();
    let (name, host) = current.split_once('@').unwrap_or((&current, "%"));
    format!("'{name}'@'{host}'")
}

/// A role of the store that changes the password of a real one every five seconds, and a service that uses it.
fn static_role(store: &OpenBao, cluster: &Cluster) -> (Login, Service) {
    let manager = postgres_engine(store, "pg-static", cluster);
    let login = cluster.user(None).unwrap();
    let role = json!({
        "db_name": "db",
        "username": login.name,
        "rotation_period": "5s",
        "rotation_statements": "ALTER ROLE \"{{name}}\" PASSWORD '{{password}}'",
    });
    store.write("pg-static/static-roles/app", &role).unwrap();
    let service = pg("db", cluster, &manager)
        .credential("username", vault("pg-static/static-creds/app#username"))
        .credential("password", vault("pg-static/static-creds/app#password"));
    (login, service)
}

#[test]
fn a_password_that_the_store_changes_is_fetched_when_it_has_changed_and_not_before() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let (login, service) = static_role(store, cluster);
    let broker = broker([service.clone()], store, &["pg-static/static-creds/app"]);
    let password = || store.read("pg-static/static-creds/app").unwrap()["data"]["password"].to_string();
    let mut passwords = BTreeSet::from([password()]);
    // What its own clock has brought is taken up without a client that is refused first.
    wait::until("the password has changed three times", || {
        let mut open = session(&service.listen, &login);
        assert_eq!(open.query("SELECT current_user").unwrap(), [login.name.as_str()]);
        passwords.insert(password());
        passwords.len() == 4
    });
    let changes = broker.metric("secretless_credential_generation", &["db"]).unwrap();
    assert!(changes >= 3.0, "{changes} generations");
    // One when it is due, some while the store is late, one for a session that was in between.
    assert!(fetches(&broker) <= 8.0 * changes, "{} fetches for {changes} passwords", fetches(&broker));
    assert!(broker.stop().unwrap().success());
}
