//! Services that are a list.

use zeroize::Zeroizing;

use super::*;
use crate::testing::TempDir;

const ELIZAOS: &str = include_str!("../../../testdata/list/elizaos-agents.yml");
const NPM: &str = include_str!("../../../testdata/list/npm-publisher.yml");
const DAO: &str = include_str!("../../../testdata/list/dao-governance.yml");
const DAO_LOCAL: &str = include_str!("../../../testdata/list/dao-governance-local.yml");

/// A machine with a few variables.
const SYSTEM: System = System { variable, ..System::REAL };

fn variable(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let value: &[u8] = match name {
        "ACI_TOKEN_URL" => b"https://me:hunter1@aci.example.com/oauth/token",
        "ACI_CLIENT_ID" => b"hunter2",
        "ACI_CLIENT_SECRET" => b"hunter3",
        "PORT" => b"5432",
        "EMPTY" => b"",
        "NUMBER" => b"0123",
        "NESTED" => b"${PORT} $$",
        "STRUCTURE" => b"db, password: {from: file}\n    evil: *x # \"",
        "NOT_TEXT" => b"\xff",
        "LARGE" => return Some(Zeroizing::new(vec![b'x'; 1 << 20])),
        _ => return None,
    };
    Some(Zeroizing::new(value.to_vec()))
}

fn with_variables(text: &str) -> Result<Loaded, Report> {
    reading(&SYSTEM).read(text)
}

fn expanded(text: &str) -> Loaded {
    with_variables(text).unwrap_or_else(|report| panic!("{text}\n{report}"))
}

/// A list of one service `pg` with these credentials.
fn with_credentials(credentials: &str) -> String {
    format!(
        "version: 2\nservices:\n  - name: pg\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    \
         credentials: {credentials}\n"
    )
}

/// What `password: TEXT` comes to.
fn password(text: &str) -> String {
    let credentials = format!("\n      host: db\n      password: {text}");
    let loaded = expanded(&with_credentials(&credentials));
    literal(&loaded.config.services[0], "password")
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
    let found = with_variables(wrong).err().expect("it is wrong").to_string();
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
    let (list, mapping) = (expanded(&list), loaded(&mapping));
    assert_eq!(explain(&list.config), explain(&mapping.config));
    assert_eq!(list.warnings.to_string(), "");
}

#[test]
fn credentials_may_be_a_list_too() {
    let list = "[{name: username, value: 0123}, {name: a, provider: env, get: A}, {name: b, provider: env, from: B}, \
                {name: c, from: file, get: /c, raw: true}, {name: d, from: literal, get: d}, \
                {name: e, provider: env, from: E, get: E}, {name: host, value: db}]";
    let loaded = expanded(&with_credentials(list));
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
        x-db: &db {connector: pg, credentials: &c [{name: host, value: \"${EMPTY:-db}\"}]}\n\
        services:\n\
        - &one {<<: *db, name: one, listenOn: \"tcp://127.0.0.1:${PORT}\"}\n\
        - {<<: *one, name: two, listenOn: 'tcp://127.0.0.1:2'}\n\
        - {<<: *db, name: three, listenOn: 'tcp://127.0.0.1:3', credentials: {host: other}}\n\
        - {connector: pg, name: four, listenOn: 'tcp://127.0.0.1:4', credentials: *c}\n";
    let loaded = expanded(file);
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
fn variables_are_text_whatever_they_hold() {
    for (text, value) in [
        ("${PORT}", "5432"),
        ("${NUMBER}", "0123"),
        ("'${STRUCTURE}'", "db, password: {from: file}\n    evil: *x # \""),
        ("${NESTED}", "${PORT} $$"),
        ("\"a${PORT}b${PORT}\"", "a5432b5432"),
        ("${UNSET:-yes}", "yes"),
        ("${EMPTY:-no}", "no"),
        ("\"${EMPTY-no}\"", ""),
        ("${PORT:-no}", "5432"),
        ("${UNSET:-a$$b}", "a$b"),
        ("$${PORT}", "${PORT}"),
        ("pa$word", "pa$word"),
        ("pa$$word", "pa$word"),
        ("!!binary ${UNSET:-aGk=}", "hi"),
    ] {
        assert_eq!(password(text), value, "{text}");
    }
}

#[test]
fn only_values_of_the_list_are_expanded() {
    let mapping = with_service("").replace("host: db", "host: '${PORT}', password: '$$'");
    let service = &expanded(&mapping).config.services[0];
    assert_eq!(["host", "password"].map(|name| literal(service, name)), ["${PORT}", "$$"]);

    let keys = expanded(&with_credentials("{host: db, \"${PORT}\": x}"));
    assert_eq!(literal(&keys.config.services[0], "${PORT}"), "x");

    // The same node counts as it is written where it is reached another way, and as a key.
    let shared = "version: 2\nproviders: {p: {type: command, run: [&a '${PORT}']}}\nservices:\n\
        - {name: pg, connector: pg, listenOn: 'tcp://127.0.0.1:1', credentials: {host: *a, *a : b}}\n";
    let config = expanded(shared).config;
    assert_eq!(literal(&config.services[0], "host"), "5432");
    assert_eq!(literal(&config.services[0], "${PORT}"), "b");
    let Source::Literal(run) = &config.stores[0].settings[0].source else { panic!("a literal") };
    run.expose(|bytes| assert_eq!(bytes, b"${PORT}"));
}

#[test]
fn a_variable_that_gives_nothing_is_one_error_wherever_it_is_needed() {
    let text = with_credentials("{host: '${UNSET}', username: 'x${UNSET}', password: '${NOT_TEXT:-x}'}");
    let report = with_variables(&text).err().expect("they are missing");
    assert_eq!(
        report.to_string(),
        "secretless.yml:6:25: error: services: the environment variable `UNSET` is not set, and is needed 2 times\n  \
         help: set it where the broker is started, or write a default: `${UNSET:-default}`\n\
         secretless.yml:6:70: error: services: the environment variable `NOT_TEXT` is no UTF-8\n  \
         help: give it other text\n"
    );
    assert!(parse_for_fuzz(with_credentials("{host: '${HOME}'}").as_bytes()).is_err(), "it asks for nothing");
}

#[test]
fn variables_cannot_make_a_small_file_large() {
    let many = "${LARGE}".repeat(9);
    let twice = with_credentials(&format!("{{host: db, password: '{many}', username: '{many}'}}"));
    let report = with_variables(&twice).err().expect("it is too large");
    assert_eq!(messages(&report), ["the services have more than 16 MiB once their variables are expanded"]);
    assert!(with_variables(&with_credentials("{host: db, password: '${LARGE}'}")).is_ok());
}

#[test]
fn the_file_of_elizaos_agents_is_explained_without_a_secret() {
    let said = explain(&expanded(ELIZAOS).config);
    assert_eq!(
        said,
        "elizaos-agents (generic_http)\n\
         \x20 cannot start the connector `generic_http` is not supported yet, and there is no `listenOn`\n\
         \x20 logs in      with a token of aci.example.com (oauth2), scope agent:execute blockchain:read\n\
         \x20 token_url    from the environment: ACI_TOKEN_URL\n\
         \x20 client_id    from the environment: ACI_CLIENT_ID\n\
         \x20 client_secret from the environment: ACI_CLIENT_SECRET\n\
         \x20 sends        the headers Authorization\n"
    );
    let report = read_text(ELIZAOS).err().expect("nobody sets the variables");
    let errors: Vec<_> = report.findings().iter().filter(|f| f.severity == Severity::Error).collect();
    let said = |name| format!("the environment variable `{name}` is not set");
    assert_eq!(
        errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>(),
        ["ACI_TOKEN_URL", "ACI_CLIENT_ID", "ACI_CLIENT_SECRET"].map(said)
    );
}

#[test]
fn headers_with_templates_are_no_secrets() {
    let loaded = expanded(NPM);
    let said = explain(&loaded.config);
    assert!(said.starts_with("github-deployer (generic_http)\n"), "{said}");
    assert!(
        said.contains("\n  logs in      with the header Authorization\n  value        in the file\n"),
        "{said}"
    );
    assert_eq!(loaded.config.unserved.len(), 2);
    for (value, is_warned) in
        [("Bearer {{ .npmToken }}", false), ("Bearer hunter2", true), ("${PORT}", false)]
    {
        let text = NPM.replace("Bearer {{ .npmToken }}", value);
        let shared = Reading { is_shared: true, ..reading(&SYSTEM) }.read(&text);
        let said = shared.unwrap_or_else(|report| panic!("{report}")).warnings.to_string();
        assert_eq!(said.contains("[0].config.value: the file holds this secret"), is_warned, "{said}");
        assert!(!said.contains("hunter"), "{said}");
    }
}

#[test]
fn a_secret_of_the_environment_is_none_of_the_file() {
    for (password, is_warned) in
        [("hunter2", true), ("${ACI_CLIENT_SECRET}", false), ("${UNSET:-hunter2}", true)]
    {
        let text = with_credentials(&format!("{{host: db, password: '{password}'}}"));
        let read = Reading { is_shared: true, ..reading(&SYSTEM) }.read(&text);
        let loaded = read.unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(!loaded.warnings.is_empty(), is_warned, "{password}");
        let origin = if is_warned { "in the file" } else { "from the environment: ACI_CLIENT_SECRET" };
        let said = explain(&loaded.config);
        assert!(said.contains(&format!("\n  password     {origin}\n")), "{said}");
    }
}

/// Its services have names as keys, and lists of credentials.
#[test]
fn the_files_of_dao_governance_are_taken_like_a_list() {
    let loaded = expanded(DAO);
    let said: Vec<_> = loaded
        .config
        .unserved
        .iter()
        .map(|service| format!("{} {} {}", service.name, service.connector, service.credentials.len()))
        .collect();
    assert_eq!(said, ["blockchain-rpc http 2", "dao-governance-db tcp 4", "novu-api http 2"]);
    let report = with_variables(DAO_LOCAL).err().expect("it listens beyond this machine");
    assert_eq!(report.to_string().matches(": error: ").count(), 3, "{report}");
    let allowed = Reading { allow_remote: true, ..reading(&SYSTEM) }.read(DAO_LOCAL);
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
    assert_eq!(
        (checked.config.services.len(), checked.config.unserved.len(), checked.doubtful.len()),
        (1, 2, 0)
    );
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
    let report = with_variables(file).err().expect("there are two").to_string();
    for twice in
        ["services.x: the list has this name twice", "services.x.credentials.h: the list has this name twice"]
    {
        assert!(report.contains(twice), "{report}");
    }
}

#[test]
fn aliases_are_expanded_once() {
    let mut text = String::from("version: 2\nx:\n- &x0 ['${PORT}']\n");
    for level in 1..40 {
        text.push_str(&format!("- &x{level} [*x{before}, *x{before}]\n", before = level - 1));
    }
    text.push_str("services:\n- {name: ops, connector: tcp, x: *x39}\n");
    assert_eq!(expanded(&text).config.unserved.len(), 1);
}

#[test]
fn aliases_within_aliases_take_no_stack() {
    let mut text = String::from("version: 2\nx:\n- &x0 [a]\n");
    for level in 1..50_000 {
        text.push_str(&format!("- &x{level} [*x{}]\n", level - 1));
    }
    text.push_str("services:\n- {name: pg, connector: pg, listenOn: 'tcp://127.0.0.1:1', credentials: {host: db}, x: *x49999}\n");
    assert_eq!(expanded(&text).config.services.len(), 1);
}

#[test]
fn what_a_variable_says_is_in_no_error() {
    let service = "version: \"2\"\nservices:\n  - name: db\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    \
                   credentials: [{name: host, value: db}, {name: password, from: file, get: /run/x}]\n";
    for (written, wrong) in [
        ("connector: pg", "connector: ${ACI_CLIENT_ID}"),
        ("listenOn: tcp://127.0.0.1:5432", "listenOn: ${ACI_CLIENT_ID}"),
        ("connector: pg", "connector: pg\n    refresh: ${ACI_CLIENT_ID}"),
        ("connector: pg", "connector: pg\n    required: ${ACI_CLIENT_ID}"),
        ("connector: pg", "connector: pg\n    onRotation: ${ACI_CLIENT_ID}"),
        ("connector: pg", "connector: pg\n    limits: {sessions: '${ACI_CLIENT_ID}'}"),
        ("connector: pg", "connector: pg\n    authentication: [{type: '${ACI_CLIENT_ID}'}]"),
        ("from: file, get: /run/x", "from: http, get: '${ACI_CLIENT_ID}'"),
        ("from: file, get: /run/x", "from: '${ACI_CLIENT_ID}', get: x"),
    ] {
        let said = match with_variables(&service.replace(written, wrong)) {
            Err(report) => report.to_string(),
            Ok(_) => panic!("{wrong} is read"),
        };
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = with_variables(&service.replace("connector: pg", "connector: ${ACI_CLIENT_ID}"));
    let said = said.err().map(|report| report.to_string()).unwrap_or_default();
    assert!(said.contains("missing service connector what `${ACI_CLIENT_ID}` says"), "{said}");
}
