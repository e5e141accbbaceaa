//! The section `providers:`.

use super::*;

fn with_stores(stores: &str, from: &str) -> String {
    let password = format!("{{host: db, password: {{from: {from}, get: /run/secrets/x}}}}");
    format!("{}providers:\n{stores}", with_service("").replace("{host: db}", &password))
}

#[test]
fn a_store_with_a_name_is_what_credentials_may_come_from() {
    let loaded = loaded(&with_stores("  team: {type: file}\n  file:\n", "team"));
    assert_eq!(literal(&loaded.config.services[0], "password"), "team /run/secrets/x");
    let stores: Vec<_> = loaded.config.stores.iter().map(|store| (&*store.name, store.kind.name())).collect();
    assert_eq!(stores, [("file", "file"), ("team", "file")]);
}

#[test]
fn a_store_comes_behind_those_that_it_needs() {
    let needs = "  a: {type: command, run: [pass, {from: z, get: /x}], timeout: 5}\n  z: {type: file}\n";
    let stores = loaded(&with_stores(needs, "a")).config.stores;
    let names: Vec<_> = stores.iter().map(|store| (&*store.name, store.settings.len())).collect();
    assert_eq!(names, [("z", 0), ("a", 3)]);
}

#[test]
fn what_is_wrong_with_one_store_is_not_said_of_another() {
    let stores =
        "  a: {type: fil}\n  b: {type: command, run: [x], timeout: 6m}\n  team: {type: file, mode: x}\n";
    let said = report(&with_stores(stores, "team"));
    for expected in ["kind of provider `fil`", "expected a time", "providers.team.mode: unknown setting"] {
        assert!(said.contains(expected), "{said}");
    }
    // Nor of who takes values from it.
    for name in ["team", "a"] {
        let said = report(&with_stores(stores, name));
        assert!(!said.contains("unknown provider"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_store_is_named() {
    for (stores, from, expected) in [
        ("  team: {type: fil}\n", "file", "providers.team.type: there is no kind of provider `fil`"),
        ("  team: {}\n", "file", "providers.team.type: there is no kind of provider `team`"),
        (
            "  team: {type: file, mode: x}\n",
            "team",
            "providers.team.mode: unknown setting\n  help: `file` has no settings",
        ),
        (
            "  team: {kind: file}\n",
            "team",
            "providers.team.kind: unknown setting\n  help: did you mean `type`?",
        ),
        (
            "  a: {type: command, run: [x, {from: a, get: b}]}\n",
            "a",
            "providers.a: `a` needs a value of its own to be asked for any",
        ),
        ("  literal: {type: file}\n", "file", "`literal` cannot be the name of a store"),
        ("  env: {type: file}\n", "file", "providers.env: `env` is a kind of provider itself"),
        ("  team: file\n", "file", "expected a mapping"),
        ("  pass: {type: command}\n", "pass", "providers.pass: there is no `run`"),
        (
            "  pass: {type: command, run: pass}\n",
            "pass",
            "providers.pass.run: expected a list, found a single value",
        ),
        (
            "  pass: {type: command, run: []}\n",
            "pass",
            "providers.pass.run: expected a list, found an empty one",
        ),
        ("  pass: {type: command, run: [pass], timeout: 6m}\n", "pass", "expected a time from `1s` to `5m`"),
        ("  pass: {type: command, run: [pass], timeout: [5]}\n", "pass", "found a list"),
        (
            "  pass: {type: command, run: [pass, {from: nowhere, get: x}]}\n",
            "pass",
            "providers.pass.run[1].from: unknown provider",
        ),
        ("  v: {type: local, path: /v}\n", "v", "providers.v.path: unknown setting"),
        ("  v: {type: local, vault: /v}\n", "v", "providers.v: there is `vault` and no `key`"),
        ("  v: {type: local, key: /k}\n", "v", "providers.v: there is `key` and no `vault`"),
        ("  v: {type: local, vault: '', key: /k}\n", "v", "providers.v.vault: a path cannot be empty"),
        (
            "  v: {type: local, vault: {from: env, get: V}, key: /k}\n",
            "v",
            "providers.v.vault: `vault` cannot come from elsewhere",
        ),
        (
            "  v: {type: local, vault: /v, key: /k}\n",
            "v",
            "begins with a letter or a digit\n  help: correct what `local` is",
        ),
        ("  x: {type: file}\n", "command", "`command` needs settings, `run` for one"),
        (
            "  a: {type: command, run: [{from: b, get: x}]}\n  b: {type: command, run: [{from: a, get: x}]}\n",
            "a",
            "`a`, `b` need each other's values",
        ),
        ("  team: {type: file}\n", "teem", "did you mean `team`?"),
        ("  team: {type: keychain}\n", "file", "the provider `keychain` is not supported yet"),
    ] {
        let said = report(&with_stores(stores, from));
        assert!(said.contains(expected), "{stores}{said}");
    }
}

/// A file whose password comes from a store of `vault`, which the file describes in these words.
fn with_vault(settings: &str) -> String {
    let password = "{host: db, password: {from: team, get: 'kv/db#password'}}";
    format!(
        "{}providers:\n  team: {{type: vault{settings}}}\n",
        with_service("").replace("{host: db}", password)
    )
}

#[test]
fn settings_of_a_kind_are_judged_each_for_itself_and_together() {
    for (settings, expected) in [
        (
            ", adress: https://vault",
            "providers.team.adress: unknown setting\n  help: did you mean `address`?",
        ),
        (", address: vault, token: t", "providers.team.address: has no scheme: write https://HOST:PORT"),
        (", skipVerify: perhaps", "providers.team.skipVerify: is neither `true` nor `false`"),
        (", clientCert: /c.pem", "there is `clientCert` and no `clientKey`"),
        (
            ", roleId: r",
            "providers.team.roleId: there is no `login` that it belongs to\n  help: write `login: approle`",
        ),
        (", login: approl", "providers.team.login: is none of `approle`, `kubernetes`"),
        (", login: approle", "providers.team.login: `login: approle` needs `roleId`"),
        (
            ", login: kubernetes, role: r, password: hunter2",
            "providers.team.password: `login: kubernetes` has no such setting",
        ),
        (", address: https://vault", "providers.team.address: there is no login for it"),
    ] {
        let said = report(&with_vault(settings));
        assert!(said.contains(expected), "{settings}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for settings in [
        "",
        ", namespace: team, timeout: 5s, retries: 0, skipVerify: true",
        ", address: https://vault, token: {from: env, get: VAULT_TOKEN}",
        ", address: https://vault, login: approle, roleId: r, secretId: {from: file, get: /run/secret}",
    ] {
        assert_eq!(loaded(&with_vault(settings)).config.stores.len(), 1, "{settings}");
    }
}

/// A file whose password is `get` of a store of `http`, which the file describes in these words, if in any.
fn with_http(settings: Option<&str>, get: &str) -> String {
    let from = if settings.is_some() { "web" } else { "http" };
    let password = format!("{{host: db, password: {{from: {from}, get: '{get}'}}}}");
    let file = with_service("").replace("{host: db}", &password);
    let stores = settings.map(|settings| format!("providers:\n  web: {{type: http{settings}}}\n"));
    file + &stores.unwrap_or_default()
}

const GET: &str = "services.pg.credentials.password.get:";

#[test]
fn what_an_http_server_is_asked_for_is_an_address_or_a_path_as_the_store_has_it() {
    let url = Some(", url: https://h/base");
    for (settings, get, words) in [
        (
            None,
            "orders/password",
            "is no address like http://HOST/PATH: write it in full, or give the store a name",
        ),
        (None, "http://ann:hunter2@h/a", "holds a user or a password: give the store a name"),
        (None, "http://h/a#", "there is nothing behind"),
        (None, "http://h/a?hunter2#/b~2", "a '~' of a JSON pointer (RFC 6901) is followed by 0 or 1"),
        (Some(""), "orders", "is no address like http://HOST/PATH"),
        (url, "https://h/base/a", "is a whole address, and its store has a `url`"),
        (url, "a/../../b", "has an empty name, ''.'' or ''..'' in its path"),
        (url, "//evil/a", "has an empty name"),
    ] {
        let said = report(&with_http(settings, get));
        let words = words.replace("''", "'");
        assert!(said.contains(&format!("{GET} {words}")), "{get}: {said}");
        assert!(
            said.contains("help: correct what `http` is asked for") && !said.contains("hunter2"),
            "{said}"
        );
    }
    for (settings, get) in [
        (None, "http://uts.internal/secrets/orders/password"),
        (None, "https://h/a?b=c#/d/0"),
        (Some(", timeout: 5s, caCert: /ca.pem"), "https://h/a#b"),
        (url, "orders/db#/data/password"),
        (url, "#password"),
    ] {
        loaded(&with_http(settings, get));
    }
}

#[test]
fn settings_of_a_web_server_are_judged() {
    for (settings, expected) in [
        (
            ", url: 'https://ann:hunter2@h'",
            "url: holds a user or a password: write `username` and `password`",
        ),
        (", url: 'https://h?hunter2'", "url: has a `?` or a `#`"),
        (", url: {from: env, get: U}", "url: `url` cannot come from elsewhere"),
        (", bearer: hunter2", "bearer: there is no `url`"),
        (", url: https://h, bearer: 'hunter2 x'", "bearer: is no token"),
        (", url: https://h, headers: 'A: hunter2'", "headers: expected a list"),
        (", url: https://h, headers: ['hunter2']", "headers[0]: is no header like `Name: value`"),
        (
            ", url: https://h, headers: ['A: b', 'Host: hunter2']",
            "headers[1]: has a header that is not for the file to say",
        ),
        (", url: https://h, username: a", "there is `username` and no `password`"),
        (", url: https://h, bearer: a, username: a, password: hunter2", "username: `bearer` says it already"),
        (
            ", url: https://h, headers: ['A: b', 'Authorization: hunter2'], bearer: x",
            "bearer: a header of `headers` says it already",
        ),
        (", url: http://h, caCert: /c", "caCert: `url` is in clear, where it means nothing"),
    ] {
        let said = report(&with_http(Some(settings), "a"));
        assert!(said.contains(expected), "{settings}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    loaded(&with_http(
        Some(", url: https://h, headers: ['A: b', {from: env, get: H}], bearer: {from: env, get: T}"),
        "a",
    ));
}

#[test]
fn a_query_and_what_is_sent_are_not_explained() {
    let file = with_http(
        Some(", url: 'https://h/base', headers: ['X-Key: hunter2'], bearer: hunter2"),
        "a?token=hunter2#/b",
    );
    let said = explain(&loaded(&file).config);
    let store = "store web (http)\n  bearer       in the file\n  headers      in the file\n  url          https://h/base\n";
    assert!(said.starts_with(store), "{said}");
    assert!(said.contains("  password     from web: a?...#/b\n") && !said.contains("hunter2"), "{said}");
}

#[test]
fn what_a_store_must_be_told_is_there_and_comes_from_elsewhere() {
    let rds = "  rds: {type: command, run: [token, '{host}:{port}', '{username}']}\n";
    let with = |credentials: &str, more: &str| {
        let text = with_service("").replace("{host: db}", &format!("{{{credentials}}}"));
        format!("{text}providers:\n{rds}{more}")
    };
    let password = "password: {from: rds, get: eu}";
    for (credentials, more, expected) in [
        (
            format!("host: db, username: me, {password}"),
            "",
            "services.pg.credentials.password: `rds` must be told the service's `port`, and there is none",
        ),
        (
            format!("host: db, port: '1', username: {{from: rds, get: name}}, {password}"),
            "",
            "`rds` must be told the service's `username`, which comes late itself",
        ),
        (
            format!("host: db, port: '1', username: me, {password}"),
            "  v: {type: http, url: 'https://v.test/', bearer: {from: rds, get: x}}\n",
            "providers.v.bearer: `rds` must be told of a service, and is asked for none here",
        ),
    ] {
        let said = report(&with(&credentials, more));
        assert!(said.contains(expected), "{said}");
    }
    loaded(&with(&format!("host: db, port: '1', username: {{from: env, get: U}}, {password}"), ""));
}
