//! `clientTls`: both forms, both places, and files that cannot be shown to anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use protocol::ClientTls;

use super::*;
use crate::testing::TempDir;

fn client_tls(lines: &str) -> ClientTlsConfig {
    loaded(&with_service(lines)).config.services.remove(0).client_tls
}

/// A certificate and its key, each in a file; nobody else may read the key.
fn identity(dir: &TempDir, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
    let certificate = dir.file(&format!("{name}.crt"), &made.cert.pem());
    let key = dir.file(&format!("{name}.key"), &made.signing_key.serialize_pem());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("sets the mode");
    (certificate.display().to_string(), key.display().to_string())
}

#[test]
fn a_word_says_when() {
    for (lines, mode) in [
        ("", ClientTls::Auto),
        ("clientTls: auto", ClientTls::Auto),
        ("clientTls: off", ClientTls::Off),
        ("clientTls: required", ClientTls::Required),
        ("clientTls: {mode: required}", ClientTls::Required),
        ("clientTls: {}", ClientTls::Auto),
        ("config: {clientTls: required}", ClientTls::Required),
        ("config: {clientTls: {mode: off}}", ClientTls::Off),
    ] {
        let read = client_tls(lines);
        assert_eq!((read.mode, read.shown.is_none()), (mode, true), "{lines}");
    }
}

#[test]
fn a_certificate_is_shown_and_does_not_say_when() {
    let dir = TempDir::new();
    let (certificate, key) = identity(&dir, "tls");
    let required =
        client_tls(&format!("clientTls: {{mode: required, certificate: {certificate}, key: {key}}}"));
    assert_eq!((required.mode, required.shown.is_some()), (ClientTls::Required, true));
    let lines = format!("clientTls: {{certificate: {certificate}, key: {key}}}");
    let read = client_tls(&lines);
    assert_eq!((read.mode, read.shown.is_some()), (ClientTls::Auto, true));
    let said = report(&with_service(&lines));
    assert!(
        said.contains("7:30: warning: services.pg.clientTls.certificate: no client is shown this: the connector `pg` takes none in TLS here"),
        "{said}"
    );
}

#[test]
fn the_key_file_of_a_certificate_is_a_secret() {
    let dir = TempDir::new();
    let (certificate, key) = identity(&dir, "tls");
    for file in [&certificate, &key] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("sets the mode");
    }
    let said = report(&with_service(&format!(
        "clientTls: {{mode: required, certificate: {certificate}, key: {key}}}"
    )));
    assert_eq!(said.matches("warning").count(), 1, "{said}");
    assert!(
        said.contains(&format!("{key} holds a secret and is readable by its group or by others (mode 644)"))
            && said.contains(&format!("run `chmod 600 {key}`")),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_told_where_it_is() {
    let dir = TempDir::new();
    let (certificate, key) = identity(&dir, "tls");
    let (_, other_key) = identity(&dir, "other");
    for (lines, told) in [
        (
            "clientTls: on".to_owned(),
            "7:16: error: services.pg.clientTls: expected `auto`, `off` or `required`, found `on`",
        ),
        (
            "clientTls: {mode: always}".to_owned(),
            "7:23: error: services.pg.clientTls.mode: expected `auto`, `off` or `required`, found `always`",
        ),
        (
            "clientTls: [required]".to_owned(),
            "7:16: error: services.pg.clientTls: expected `auto`, `off` or `required`, found a list",
        ),
        (
            "clientTls: {mode: required, cert: x}".to_owned(),
            "7:33: error: services.pg.clientTls.cert: unknown key",
        ),
        (
            format!("clientTls: {{certificate: {certificate}}}"),
            "7:17: error: services.pg.clientTls.certificate: there is no `key` beside it",
        ),
        (
            format!("clientTls: {{key: {key}}}"),
            "7:17: error: services.pg.clientTls.key: there is no `certificate` beside it",
        ),
        (
            format!("clientTls: {{certificate: {certificate}, key: \"\"}}"),
            "services.pg.clientTls.key: cannot be blank: expected the path of a file",
        ),
        (
            format!("clientTls: {{certificate: /nothing, key: {key}}}"),
            "7:30: error: services.pg.clientTls.certificate: open /nothing: no such file or directory",
        ),
        (
            format!("clientTls: {{certificate: {certificate}, key: {other_key}}}"),
            "7:30: error: services.pg.clientTls.certificate: clients cannot be shown this: the key is not that of the certificate",
        ),
        (
            "config: {clientTls: required}\nclientTls: off".to_owned(),
            "7:14: error: services.pg.config.clientTls: given here and as services.pg.clientTls, in line 8",
        ),
    ] {
        let said = read_text(&with_service(&lines)).err().expect("it is wrong").to_string();
        assert!(said.contains(told), "{lines}\n{said}");
        assert!(said.contains("help: "), "{said}");
    }
}

#[test]
fn check_says_which_clients_a_service_cannot_please() {
    let dir = TempDir::new();
    let notes = |lines: &str, listen: &str| {
        let text = with_service(lines)
            .replace("connector: pg", "connector: mysql")
            .replace("tcp://127.0.0.1:5432", listen)
            .replace("host: db", "host: db, username: me");
        let request = LoadRequest { file: Some(dir.file("broker.yml", &text)), ..LoadRequest::default() };
        let loaded = check(&request).expect("it loads");
        assert_eq!(loaded.doubtful.len(), 0, "others can use it");
        let findings = loaded.warnings.findings().iter();
        findings.map(|finding| (finding.severity, finding.help.clone())).collect::<Vec<_>>()
    };
    let note = |help: &str| vec![(Severity::Note, help.to_owned())];
    let on_tcp = note("give them none, or say `clientTls: required`, or listen on a Unix socket");
    assert_eq!(notes("", "tcp://127.0.0.1:3306"), on_tcp);
    assert_eq!(notes("clientTls: off", "tcp://127.0.0.1:3306"), on_tcp);
    assert_eq!(notes("clientTls: required", "tcp://127.0.0.1:3306"), []);
    assert_eq!(notes("", "unix:///run/mysqld.sock"), []);
    assert_eq!(notes("clientTls: off", "unix:///run/mysqld.sock"), note("say `clientTls: auto`"));
}
