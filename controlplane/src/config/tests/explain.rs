//! What `explain` says.

use super::*;

#[test]
fn a_service_is_explained_without_a_secret() {
    let file = "version: \"2\"\n\
        providers:\n  team: {type: file}\n  safe: {type: local, vault: /srv/v.age, key: /etc/v.key}\n\
        services:\n\
        \x20 orders:\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    clientTls: required\n\
        \x20   onRotation: drain\n    drainWithin: 10m\n    refresh: 30s\n    stale: 0\n\
        \x20   credentials:\n      host: \"::1\"\n      port: 6432\n      username: hunter1\n\
        \x20     password: {from: team, get: /run/secrets/orders}\n      sslmode: verify-full\n\
        \x20 shop:\n    connector: mysql\n    listenOn: unix:///run/shop.sock\n    socket: {group: 7, mode: 0600}\n\
        \x20   credentials: {host: /run/mysqld.sock, username: hunter2, password: hunter3}\n\
        \x20   limits: {sessions: 20}\n    timeouts: {idle: 90s, dial: 250ms}\n\
        \x20 vague:\n    connector: pg\n    listenOn: tcp://127.0.0.1:5433\n    onRotation: close\n\
        \x20   credentials: {host: {from: env, get: DB_HOST}, token: {from: keychain, get: a#b}, application_name: books}\n";
    let said = explain(&loaded(file).config);
    let expected = "\
store safe (local)
  key          /etc/v.key
  vault        /srv/v.age

store team (file)

orders (pg)
  listens on   tcp://127.0.0.1:5432, in TLS
  reaches      [::1]:6432
  host         ::1
  password     from team: /run/secrets/orders
  port         6432
  sslmode      verify-full
  username     in the file
  values are   read when they change; the last ones serve on while they cannot be
  rotation     open sessions end when they are idle for 30 s, at the latest after 10 min
  sessions     at most 10000; dial 10 s, handshake 30 s, idle without a limit

shop (mysql)
  listens on   unix:///run/shop.sock, mode 0600, owner ours, group 7, in clear or in TLS
  reaches      /run/mysqld.sock
  host         /run/mysqld.sock
  password     in the file
  username     in the file
  rotation     open sessions are kept
  sessions     at most 20; dial 250 ms, handshake 9 s, idle 90 s

vague (pg)
  listens on   tcp://127.0.0.1:5433, in clear
  reaches      what its values say
  application_name in the file
  host         from env: DB_HOST
  token        from keychain, which is not supported yet
  values are   read once
  rotation     open sessions end within 5 s
  sessions     at most 10000; dial 10 s, handshake 30 s, idle without a limit
";
    let differing = said.lines().zip(expected.lines()).find(|(said, expected)| said != expected);
    assert!(said == expected, "{differing:?}\n{said}");
}

#[test]
fn stores_are_explained_by_what_is_no_secret_and_each_way_to_keep_values_fresh_is_named() {
    let file = "version: \"2\"\n\
        providers:\n  pass: {type: command, run: [pass, show, \"--hunter2\"], timeout: 5s}\n\
        \x20 team: {type: vault, address: \"https://vault.test:8200\", tokenFile: /run/token, caCert: /ca.pem}\n\
        \x20 shell: {type: command, run: [\"curl -H hunter4\"]}\n\
        \x20 hasty: {type: vault, address: \"https://vault.test:8200\", tokenFile: hunter5}\n\
        \x20 rest: {type: http, url: \"https://h.test/x\", bearer: hunter3}\n\
        services:\n  db:\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    credentials:\n\
        \x20     host: {from: env, get: DB_HOST}\n      username: {from: file, get: /user}\n\
        \x20     password: {from: pass, get: a}\n      sslmode: {from: team, get: \"kv/a#mode\"}\n";
    let said = explain(&loaded(file).config);
    for line in [
        "  run          pass, and 2 more words",
        "  timeout      5s",
        "  tokenFile    /run/token",
        "  address      https://vault.test:8200",
        "  caCert       /ca.pem",
        "  bearer       in the file",
        "  url          https://h.test/x",
        "  values are   read once (from env)",
        "  values are   read when they change; the last ones serve on while they cannot be (from file)",
        "  values are   asked for every 5 min and when the target refuses one; the last values serve 1 h longer while the \
         store fails (from pass)",
        "  values are   asked for every 5 min and when the target refuses one; the last values serve 1 h longer while the \
         store fails; what is leased is renewed and replaced in its own time, and no session outlives it (from team)",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
    assert!(!said.contains("hunter"), "{said}");
}
