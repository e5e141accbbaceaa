//! The words of every finding.
//!
//! `testdata/findings` holds wrong files, and beside each what is to be said about it.

use super::*;

fn assert_report(text: &str, expected: &str) {
    let found = report(text);
    let differing = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "first difference: {differing:?}\n{found}");
}

#[test]
fn services_that_are_wrong_are_all_named() {
    let wrong = include_str!("../../../testdata/findings/services.yml");
    assert_report(wrong, include_str!("../../../testdata/findings/services.txt"));
}

#[test]
fn credentials_that_are_wrong_are_named_without_their_values() {
    let wrong = include_str!("../../../testdata/findings/credentials.yml");
    let said = include_str!("../../../testdata/findings/credentials.txt");
    assert!(!said.to_lowercase().contains("hunter"));
    assert_report(wrong, said);
}

#[test]
fn settings_that_are_wrong_are_named_with_what_was_expected() {
    let wrong = include_str!("../../../testdata/findings/settings.yml");
    assert_report(wrong, include_str!("../../../testdata/findings/settings.txt"));
}

#[test]
fn what_the_go_broker_ignores_is_a_warning() {
    let odd = include_str!("../../../testdata/findings/ignored.yml");
    assert!(read_text(odd).is_ok());
    assert_report(odd, include_str!("../../../testdata/findings/ignored.txt"));
}

#[test]
fn a_file_that_is_no_configuration_gets_one_error() {
    let version_1 = "secretless.yml:1:10: error: version: v1 configuration is not supported";
    for (text, expected) in [
        ("", "secretless.yml:1:1: error: the file is empty: expected the keys `version` and `services`"),
        (
            "# nothing\n",
            "secretless.yml:1:1: error: the file is empty: expected the keys `version` and `services`",
        ),
        (
            "x\n",
            "secretless.yml:1:1: error: expected the keys `version` and `services`, found a single value",
        ),
        ("- a\n", "secretless.yml:1:1: error: expected the keys `version` and `services`, found a list"),
        (
            "a: [\n",
            "secretless.yml:2:1: error: not valid YAML: while parsing a node, did not find expected node content",
        ),
        (
            "services: {db: {connector: pg, listenOn: 'tcp://127.0.0.1:1', credentials: {host: db}}}\n",
            "secretless.yml:1:1: error: version: cannot be blank: expected `version: \"2\"`",
        ),
        (
            "version:\nservices: {db: {connector: pg, listenOn: 'tcp://127.0.0.1:1', credentials: {host: db}}}",
            "secretless.yml:1:1: error: version: cannot be blank: expected `version: \"2\"`",
        ),
        (
            "version: 3\n",
            "secretless.yml:1:10: error: version: unknown configuration version `3`: expected `version: \"2\"`",
        ),
        (
            "version: 2.0\n",
            "secretless.yml:1:10: error: version: unknown configuration version `2.0`: expected `version: \"2\"`",
        ),
        ("version: [2]\n", "secretless.yml:1:10: error: version: expected `version: \"2\"`, found a list"),
        ("version: 1\n", version_1),
        ("version: \"1\"\nlisteners: []\n", version_1),
        (
            "listeners: []\nhandlers: []\n",
            "secretless.yml:1:1: error: version: v1 configuration is not supported",
        ),
        ("a: b\n", "secretless.yml:1:1: error: version: v1 configuration is not supported"),
        (
            "version: 2\n",
            "secretless.yml:1:1: error: services: cannot be blank: expected at least one service",
        ),
        (
            "version: 2\nservices:\n",
            "secretless.yml:2:1: error: services: cannot be blank: expected at least one service",
        ),
        (
            "version: 2\nservices: {}\n",
            "secretless.yml:2:11: error: services: cannot be blank: expected at least one service",
        ),
        (
            "version: 2\nservices: []\n",
            "secretless.yml:2:11: error: services: cannot be blank: expected at least one service",
        ),
        (
            "version: 2\nservices: x\n",
            "secretless.yml:2:11: error: services: expected a mapping, found a single value",
        ),
        (
            "version: 2\nbroker: x\nservices: {}\n",
            "secretless.yml:2:9: error: broker: expected a mapping, found a single value",
        ),
    ] {
        let found = report(text);
        let (first, rest) = found.split_once('\n').expect("a line");
        assert!(first.starts_with(expected), "{text:?}: {first}");
        assert!(rest.starts_with("  help: "), "{text:?}: {rest}");
        assert!(found.matches("error: ").count() == 1 || text.contains("broker"), "{text:?}: {found}");
    }
    assert!(report("version: 1\n").contains(
        "help: convert it: write `version: \"2\"` and `services:`; each handler becomes a service"
    ));
}

#[test]
fn a_version_that_is_missing_hides_no_other_error() {
    let found =
        report("versoin: 2\nservices: {db: {connector: pq, listenOn: nowhere, credentials: {host: db}}}\n");
    for key in ["version", "services.db.connector", "services.db.listenOn"] {
        assert!(found.contains(&format!("error: {key}: ")), "{found}");
    }
    assert!(found.contains("versoin: unknown key") && found.contains("did you mean `version`?"), "{found}");
}
