//! Accounts that the store makes at the target, and accounts whose passwords it changes.

use std::collections::BTreeSet;

use serde_json::json;
use tests::broker::{Broker, File, Service, mysql, pg};
use tests::mysql::{Account, Client, Endpoint, Plugin, Which};
use tests::openbao::{OpenBao, shared};
use tests::postgres::{Cluster, Login, Major, shared as postgres};
use tests::wait;

use super::{broker, launch, launch_file, vault};
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

/// How often the store was asked for values, and not for more time.
fn fetches(broker: &Broker) -> f64 {
    broker.metric("secretless_credential_fetch_total", &["vault", "\"ok\""]).unwrap()
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

/// The accounts that the store has made in PostgreSQL for the role `name`.
fn accounts(cluster: &Cluster, name: &str) -> BTreeSet<String> {
    let like = format!("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%-{name}-%'");
    cluster.sql(&like).unwrap().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A role `name` of an engine for this server, whose leases last as said, and a service that uses it.
fn dynamic_role(store: &OpenBao, cluster: &Cluster, name: &str, ttl: &str, max_ttl: &str) -> Service {
    let manager = postgres_engine(store, name, cluster);
    let role = json!({
        "db_name": "db",
        "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'",
        "default_ttl": ttl,
        "max_ttl": max_ttl,
    });
    store.write(&format!("{name}/roles/{name}"), &role).unwrap();
    pg("db", cluster, &manager)
        .literal("database", &manager.name)
        .credential("username", vault(&format!("{name}/creds/{name}#username")))
        .credential("password", vault(&format!("{name}/creds/{name}#password")))
}

/// What lets somebody take leases of the role `name`, prolong and revoke them.
fn rules(name: &str) -> String {
    format!(
        "path \"{name}/creds/{name}\" {{ capabilities = [\"read\"] }}\n\
         path \"sys/leases/renew\" {{ capabilities = [\"update\"] }}\n\
         path \"sys/leases/revoke\" {{ capabilities = [\"update\"] }}\n"
    )
}

/// A token of somebody who may.
fn tenant(store: &OpenBao, name: &str) -> String {
    store.token(&rules(name)).unwrap()
}

fn user(service: &Service) -> String {
    let mut wire = tests::wire::Wire::connect(&service.listen).unwrap();
    wire.log_in("").unwrap();
    wire.query("SELECT current_user").unwrap().concat()
}

#[test]
fn a_lease_is_renewed_while_it_may_be_and_given_back_when_the_broker_stops() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let service = dynamic_role(store, cluster, "renewed", "6s", "1h");
    let variables = [("VAULT_ADDR", &*store.url()), ("VAULT_TOKEN", &*tenant(store, "renewed"))];
    let broker = launch([service.clone()], &variables);
    broker.wait_until_ready().unwrap();
    let first = user(&service);
    assert_eq!(accounts(cluster, "renewed"), BTreeSet::from([first.clone()]));
    // Three times its own length: without a renewal it would be gone.
    wait::until("it has been renewed", || {
        broker
            .metric("secretless_credential_fetch_total", &["vault", "renewed"])
            .is_ok_and(|count| count >= 4.0)
    });
    assert_eq!(user(&service), first);
    assert_eq!(broker.metric("secretless_leases", &[]).unwrap(), 1.0);
    assert!(broker.metric("secretless_credential_lease_seconds", &["db"]).unwrap() <= 6.0);
    assert!(broker.stop().unwrap().success());
    assert_eq!(accounts(cluster, "renewed"), BTreeSet::new(), "it was given back before the process ended");
}

#[test]
fn a_lease_at_its_end_is_replaced_and_goes_back_with_its_last_session_which_ends_in_time() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let service = dynamic_role(store, cluster, "replaced", "8s", "8s");
    let variables = [("VAULT_ADDR", &*store.url()), ("VAULT_TOKEN", &*tenant(store, "replaced"))];
    let broker = launch([service.clone()], &variables);
    broker.wait_until_ready().unwrap();
    let first = user(&service);
    wait::until("another account is in use", || user(&service) != first);
    // Nobody had a session open: it went back long before its end.
    wait::until("the first account is gone", || !accounts(cluster, "replaced").contains(&first));

    let mut open = tests::wire::Wire::connect(&service.listen).unwrap();
    open.log_in("").unwrap();
    let second = open.query("SELECT current_user").unwrap().concat();
    wait::until("a third account is in use", || user(&service) != second);
    // The open session has its account until shortly before the lease ends, and then neither.
    let said = open.rest().unwrap_or_default();
    assert!(said.is_empty() || String::from_utf8_lossy(&said).contains("57P01"), "{said:?}");
    assert!(broker.metric("secretless_sessions_recycled_total", &["db"]).unwrap() >= 1.0);
    wait::until("the second account is gone", || !accounts(cluster, "replaced").contains(&second));
    assert!(broker.stop().unwrap().success());
    assert_eq!(accounts(cluster, "replaced"), BTreeSet::new());
}

#[test]
fn an_account_that_is_dropped_is_replaced_and_a_reload_keeps_the_lease() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let service = dynamic_role(store, cluster, "dropped", "1h", "1h");
    let file = File::with([service.clone()]).unwrap();
    let variables = [("VAULT_ADDR", &*store.url()), ("VAULT_TOKEN", &*tenant(store, "dropped"))];
    let broker = launch_file(&file, &variables);
    broker.wait_until_ready().unwrap();
    let first = user(&service);
    broker.reload(&file).unwrap();
    assert_eq!(user(&service), first);
    cluster.sql(&format!("DROP ROLE \"{first}\"")).unwrap();
    // The client notices nothing.
    let second = user(&service);
    assert_ne!(second, first);
    assert_eq!(accounts(cluster, "dropped"), BTreeSet::from([second]));
    assert!(broker.stop().unwrap().success());
}

#[test]
fn check_online_gives_back_what_it_was_given() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let service = dynamic_role(store, cluster, "checked", "1h", "1h");
    let file = File::with([service]).unwrap();
    let token = tenant(store, "checked");
    let mut command = std::process::Command::new(tests::broker::binary().unwrap());
    command.args(["check", "--online", "-f"]).arg(file.write().unwrap());
    command.env("VAULT_ADDR", store.url()).env("VAULT_TOKEN", &token);
    let finished = tests::process::run(&mut command).unwrap();
    assert!(finished.status.success(), "{finished}");
    assert!(finished.to_string().contains("every value is there"), "{finished}");
    assert!(!finished.to_string().contains(&token), "{finished}");
    assert_eq!(accounts(cluster, "checked"), BTreeSet::new());
}

#[test]
fn an_account_that_is_to_end_by_itself_outlives_the_login_and_a_check_leaves_none() {
    let (store, cluster) = (shared(), postgres(Major::Distribution));
    let service = dynamic_role(store, cluster, "kept", "1h", "1h");
    store.write("sys/policies/acl/kept", &json!({"policy": rules("kept")})).unwrap();
    let (role_id, secret_id) =
        super::logins::approle(store, "approle-kept", json!({"token_policies": ["kept"]}));
    let from = |part: &str| super::Value::From("own", format!("kept/creds/kept#{part}"));
    let service = service.credential("username", from("username")).credential("password", from("password"));
    let mut file = File::with([service.clone()]).unwrap();
    file.providers.push(format!(
        "own: {{type: vault, address: '{}', login: approle, mount: approle-kept, roleId: '{role_id}', \
         secretId: '{secret_id}', revoke: never}}",
        store.url()
    ));
    let broker = launch_file(&file, &[]);
    broker.wait_until_ready().unwrap();
    let first = user(&service);
    assert!(broker.stop().unwrap().success());
    assert_eq!(accounts(cluster, "kept"), BTreeSet::from([first.clone()]));

    let mut check = tests::broker::command(&file.write().unwrap()).unwrap();
    let finished = tests::process::run(check.args(["check", "--online"])).unwrap();
    assert!(finished.to_string().contains("every value is there"), "{finished}");
    assert_eq!(accounts(cluster, "kept"), BTreeSet::from([first]));
}
