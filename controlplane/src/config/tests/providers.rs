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
        ("  team: {type: file}\n", "teem", "did you mean `team`?"),
        ("  team: {type: keychain}\n", "file", "the provider `keychain` is not supported yet"),
    ] {
        let said = report(&with_stores(stores, from));
        assert!(said.contains(expected), "{stores}{said}");
    }
}
