//! Services that are a list.

use super::*;
use crate::testing::TempDir;

const NPM: &str = include_str!("../../../testdata/list/npm-publisher.yml");
const DAO: &str = include_str!("../../../testdata/list/dao-governance.yml");
const DAO_LOCAL: &str = include_str!("../../../testdata/list/dao-governance-local.yml");

/// A list of one service `pg` with these credentials.
fn with_credentials(credentials: &str) -> String {
    format!(
        "version: 2\nservices:\n  - name: pg\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    \
         credentials: {credentials}\n"
    )
}

/// The messages of all findings.
fn messages(report: &Report) -> Vec<&str> {
    report.findings().iter().map(|finding| finding.message.as_str()).collect()
}

#[test]
fn what_is_wrong_in_a_list_is_told_without_a_secret() {
    let wrong = include_str!("../../../testdata/findings/list.yml");
    let said = include_str!("../../../testdata/findings/list.txt");
    assert!(!said.to_lowercase().contains("hunter"), "{said}");
    let found = read_text(wrong).err().expect("it is wrong").to_string();
    let differing = found.lines().zip(said.lines()).find(|(found, said)| found != said);
    assert!(found == said, "first difference: {differing:?}\n{found}");
}

#[test]
fn the_services_of_a_list_are_those_of_a_mapping() {
    let body = "connector: pg\n    listenOn: unix://run/a.sock\n    socket: {mode: 0600}\n    refresh: 30s\n    \
                onRotation: close\n    limits: {sessions: 7}\n    clientTls: off\n    \
                credentials: {host: db, port: 0123, password: {from: env, get: X}}\n";
    let other = "connector: mysql\n    listenOn: tcp://127.0.0.1:1\n    credentials: {host: db}\n";
    let list = format!("version: 2\nservices:\n  - name: b\n    {body}  -\n    {other}    name: a\n");
    let mapping = format!("version: 2\nservices:\n  a:\n    {other}  b:\n    {body}");
    let (list, mapping) = (loaded(&list), loaded(&mapping));
    assert_eq!(explain(&list.config), explain(&mapping.config));
    assert_eq!(list.warnings.to_string(), "");
}

#[test]
fn credentials_may_be_a_list_too() {
    let list = "[{name: username, value: 0123}, {name: a, provider: env, get: A}, {name: b, provider: env, from: B}, \
                {name: c, from: file, get: /c, raw: true}, {name: d, from: literal, get: d}, \
                {name: e, provider: env, from: E, get: E}, {name: host, value: db}]";
    let loaded = loaded(&with_credentials(list));
    let service = &loaded.config.services[0];
    let names: Vec<_> = service.credentials.iter().map(|credential| &*credential.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "host", "username"]);
    assert_eq!(
        names.iter().map(|name| literal(service, name)).collect::<Vec<_>>(),
        ["env A", "env B", "file /c", "d", "env E", "db", "83"]
    );
    assert!(matches!(service.credentials[2].source, Source::Provider { raw: true, .. }));
}

#[test]
fn merges_and_aliases_work_in_lists() {
    let file = "version: 2\n\
        x-db: &db {connector: pg, credentials: &c [{name: host, value: db}]}\n\
        services:\n\
        - &one {<<: *db, name: one, listenOn: 'tcp://127.0.0.1:5432'}\n\
        - {<<: *one, name: two, listenOn: 'tcp://127.0.0.1:2'}\n\
        - {<<: *db, name: three, listenOn: 'tcp://127.0.0.1:3', credentials: {host: other}}\n\
        - {connector: pg, name: four, listenOn: 'tcp://127.0.0.1:4', credentials: *c}\n";
    let loaded = loaded(file);
    let said: Vec<_> = loaded
        .config
        .services
        .iter()
        .map(|service| format!("{} {} {}", service.name, service.listen_on, literal(service, "host")))
        .collect();
    assert_eq!(
        said,
        [
            "four tcp://127.0.0.1:4 db",
            "one tcp://127.0.0.1:5432 db",
            "three tcp://127.0.0.1:3 other",
            "two tcp://127.0.0.1:2 db"
        ]
    );
}

#[test]
fn headers_with_templates_are_no_secrets() {
    let loaded = loaded(NPM);
    let said = explain(&loaded.config);
    assert!(said.starts_with("github-deployer (generic_http)\n"), "{said}");
    assert!(
        said.contains("\n  logs in      with the header Authorization\n  value        in the file\n"),
        "{said}"
    );
    assert_eq!(loaded.config.unserved.len(), 2);
    for (value, is_warned) in [("Bearer {{ .npmToken }}", false), ("Bearer hunter2", true)] {
        let text = NPM.replace("Bearer {{ .npmToken }}", value);
        let shared = Reading { is_shared: true, ..reading(&System::REAL) }.read(&text);
        let said = shared.unwrap_or_else(|report| panic!("{report}")).warnings.to_string();
        assert_eq!(said.contains("[0].config.value: the file holds this secret"), is_warned, "{said}");
        assert!(!said.contains("hunter"), "{said}");
    }
}

/// Its services have names as keys, and lists of credentials.
#[test]
fn the_files_of_dao_governance_are_taken_like_a_list() {
    let loaded = loaded(DAO);
    let said: Vec<_> = loaded
        .config
        .unserved
        .iter()
        .map(|service| format!("{} {} {}", service.name, service.connector, service.credentials.len()))
        .collect();
    assert_eq!(said, ["blockchain-rpc http 2", "dao-governance-db tcp 4", "novu-api http 2"]);
    let report = read_text(DAO_LOCAL).err().expect("it listens beyond this machine");
    assert_eq!(report.to_string().matches(": error: ").count(), 3, "{report}");
    let allowed = Reading { allow_remote: true, ..reading(&System::REAL) }.read(DAO_LOCAL);
    let said = explain(&allowed.unwrap_or_else(|report| panic!("{report}")).config);
    assert!(said.contains("  listens on   tcp://0.0.0.0:5432\n  host         from env: DB_HOST\n"), "{said}");
}

#[test]
fn a_service_that_cannot_be_started_is_an_error_only_for_whoever_serves() {
    let dir = TempDir::new();
    let served = with_credentials("{host: db, username: me}");
    let text = format!(
        "{served}  - {{name: ops, connector: generic_http}}\n  - {{name: pg2, connector: pg, credentials: {{host: a}}}}\n"
    );
    let request = LoadRequest { file: Some(dir.file("broker.yml", &text)), ..LoadRequest::default() };
    let checked = check(&request).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!((checked.config.services.len(), checked.config.unserved.len(), checked.doubtful), (1, 2, 0));
    let said = [
        "`ops` cannot be started: the connector `generic_http` is not supported yet, and there is no `listenOn`",
        "`pg2` cannot be started: there is no `listenOn`",
    ];
    assert_eq!(messages(&checked.warnings), said);
    assert!(!checked.warnings.has_errors());
    let refused = load(&request).err().expect("it cannot be served");
    assert_eq!(messages(&refused), said);
    assert!(refused.findings().iter().all(|finding| finding.severity == Severity::Error));
    let one = LoadRequest { file: Some(dir.file("one.yml", &served)), ..LoadRequest::default() };
    assert_eq!(load(&one).map(|loaded| loaded.config.services.len()).ok(), Some(1));
}

#[test]
fn names_are_given_once_even_by_an_alias() {
    let file = "version: 2\nservices:\n- &a {name: x, connector: tcp, credentials: [&v {name: h, value: v}, *v]}\n- *a\n";
    let report = read_text(file).err().expect("there are two").to_string();
    for twice in
        ["services.x: the list has this name twice", "services.x.credentials.h: the list has this name twice"]
    {
        assert!(report.contains(twice), "{report}");
    }
}
