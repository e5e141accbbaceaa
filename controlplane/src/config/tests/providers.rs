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
        "  a: {type: fil}\n  b: {type: command, run: [x], timeout: 5m}\n  team: {type: file, mode: x}\n";
    let said = report(&with_stores(stores, "team"));
    for expected in
        ["kind of provider `fil`", "expected whole seconds", "providers.team.mode: unknown setting"]
    {
        assert!(said.contains(expected), "{said}");
    }
    assert!(!said.contains("unknown provider"), "{said}");
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
        ("  literal: {type: file}\n", "file", "`literal` cannot be the name of a store"),
        ("  team: file\n", "file", "expected a mapping"),
        ("  pass: {type: command}\n", "pass", "providers.pass: there is no `run`"),
        (
            "  pass: {type: command, run: pass}\n",
            "pass",
            "providers.pass.run: expected a list, found a single value",
        ),
        ("  pass: {type: command, run: []}\n", "pass", "providers.pass.run: expected a list"),
        (
            "  pass: {type: command, run: [pass], timeout: 5m}\n",
            "pass",
            "expected whole seconds from 1 to 300",
        ),
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
