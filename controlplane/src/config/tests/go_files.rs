//! Files written for the Go broker, in its meaning.

use super::*;

#[test]
fn the_usual_file_loads_without_a_word() {
    let loaded = loaded(
        "version: \"2\"\n\
         services:\n\
         \x20 pg-tls:\n\
         \x20   connector: pg\n\
         \x20   listenOn: tcp://localhost:6432\n\
         \x20   credentials:\n\
         \x20     host: {from: env, get: PG_HOST}\n\
         \x20     port:\n\
         \x20       from: literal\n\
         \x20       get: 5432\n\
         \x20     username:\n\
         \x20       from: env\n\
         \x20       get: PG_USER\n\
         \x20     password:\n\
         \x20       from: file\n\
         \x20       get: /run/secrets/password\n\
         \x20     sslmode: verify-full\n\
         \x20     sslrootcert: |\n\
         \x20       -----BEGIN CERTIFICATE-----\n\
         \x20       MIIB\n\
         \x20       -----END CERTIFICATE-----\n\
         \x20 pg-socket:\n\
         \x20   protocol: \"\"\n\
         \x20   connector: pg\n\
         \x20   debug: true\n\
         \x20   listenOn: unix:///sock/.s.PGSQL.5432\n\
         \x20   credentials:\n\
         \x20     host: pg\n\
         \x20     port: 0123\n\
         \x20     sslmode:\n\
         \x20     application_name: yes\n\
         \x20   config: null\n",
    );
    assert_eq!(loaded.warnings.to_string(), "");
    let names: Vec<_> = loaded.config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["pg-socket", "pg-tls"]);

    let socket = &loaded.config.services[0];
    let access = SocketAccess { owner: None, group: None, mode: 0o660 };
    assert_eq!(socket.listen_on, ListenOn::Unix { path: "/sock/.s.PGSQL.5432".into(), access });
    let names: Vec<_> = socket.credentials.iter().map(|credential| credential.name.as_str()).collect();
    assert_eq!(names, ["application_name", "host", "port", "sslmode"]);
    for (name, value) in [("port", "83"), ("sslmode", ""), ("application_name", "true"), ("host", "pg")] {
        assert_eq!(literal(socket, name), value, "{name}");
    }

    let tls = &loaded.config.services[1];
    assert_eq!(tls.protocol.name(), "pg");
    assert_eq!(tls.listen_on, ListenOn::Tcp(([127, 0, 0, 1], 6432).into()));
    for (name, value) in [
        ("host", "env PG_HOST"),
        ("port", "5432"),
        ("username", "env PG_USER"),
        ("password", "file /run/secrets/password"),
        ("sslmode", "verify-full"),
        ("sslrootcert", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    ] {
        assert_eq!(literal(tls, name), value, "{name}");
    }
}

#[test]
fn every_spelling_of_version_2_is_taken() {
    let file = with_service("");
    for version in ["2", "\"2\"", "'2'", "v2", "!!str 2"] {
        let file = file.replace("\"2\"", version);
        assert_eq!(loaded(&file).config.services.len(), 1, "{version}");
    }
}

#[test]
fn the_deprecated_protocol_key_works() {
    let file = "version: 2\nservices:\n  pg:\n    protocol: pg\n    listenOn: tcp://127.0.0.1:5432\n    credentials: {host: db}\n";
    let loaded = loaded(file);
    assert_eq!(loaded.config.services[0].protocol.name(), "pg");
    assert_eq!(
        loaded.warnings.to_string(),
        "secretless.yml:4:15: warning: services.pg.protocol: 'protocol' key found on service 'pg'. 'protocol' is now \
         deprecated and will be removed in a future release.\n  help: rename the key to `connector`\n"
    );
    assert_eq!(
        report(&with_service("protocol: mysql")),
        "secretless.yml:7:15: warning: services.pg.protocol: 'protocol' key found on service 'pg'. 'protocol' is now \
         deprecated and will be removed in a future release. 'connector' is what counts.\n  help: remove `protocol`\n"
    );
}

/// What yaml.v2 does with Go's structures: sections of equal keys add up, of equal values the last counts.
#[test]
fn equal_keys_and_merges_count_as_in_go() {
    let file = "version: 2\n\
        defaults: &defaults\n\
        \x20 connector: pg\n\
        \x20 credentials: {host: a, port: 1}\n\
        services:\n\
        \x20 one:\n\
        \x20   <<: *defaults\n\
        \x20   listenOn: tcp://127.0.0.1:1\n\
        \x20   credentials: {host: b, password: x}\n\
        services:\n\
        \x20 two:\n\
        \x20   listenOn: tcp://127.0.0.1:2\n\
        \x20   credentials: {host: c, host: d}\n\
        \x20   credentials: {port: 2}\n\
        \x20   <<: *defaults\n";
    let loaded = loaded(file);
    let [one, two] = &loaded.config.services[..] else { panic!("two services") };
    assert_eq!(["host", "port", "password"].map(|name| literal(one, name)), ["b", "1", "x"]);
    assert_eq!(["host", "port"].map(|name| literal(two, name)), ["a", "1"]);
    let lines: Vec<_> = loaded
        .warnings
        .findings()
        .iter()
        .map(ToString::to_string)
        .map(|text| text.lines().next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "secretless.yml:2:1: warning: defaults: unknown key, ignored",
            "secretless.yml:10:1: warning: services: the key is given twice, first in line 5: both count",
            "secretless.yml:13:28: warning: services.two.credentials.host: the key is given twice, first in line 13: this one counts",
            "secretless.yml:13:28: warning: services.two.credentials.host: a merge below replaces this by line 4",
            "secretless.yml:14:5: warning: services.two.credentials: the key is given twice, first in line 13: both count",
            "secretless.yml:14:19: warning: services.two.credentials.port: a merge below replaces this by line 4",
        ]
    );
}

#[test]
fn aliases_stand_for_whole_nodes() {
    let file = "version: 2\n\
        x-shared: &shared {host: db, password: {from: env, get: &name PASSWORD}}\n\
        services:\n\
        \x20 a: {connector: &c pg, listenOn: tcp://127.0.0.1:1, credentials: *shared}\n\
        \x20 b: {connector: *c, listenOn: tcp://127.0.0.1:2, credentials: {password: {from: env, get: *name}}}\n";
    let loaded = loaded(file);
    assert_eq!(loaded.warnings.to_string(), "");
    for service in &loaded.config.services {
        assert_eq!(literal(service, "password"), "env PASSWORD");
    }
}

#[test]
fn providers_of_the_go_broker_that_are_not_built_fail_at_use() {
    for word in ["conjur", "aws", "kubernetes", "keychain"] {
        let file = with_service("")
            .replace("{host: db}", &format!("{{password: {{from: {word}, get: service#x}}}}"));
        let loaded = loaded(&file);
        assert_eq!(literal(&loaded.config.services[0], "password"), format!("unknown {word}"));
        assert_eq!(
            loaded.warnings.to_string(),
            format!(
                "secretless.yml:6:36: warning: services.pg.credentials.password.from: the provider `{word}` is not \
                 supported yet: connections to this service will fail\n  help: take the value from a store that is \
                 supported until then, such as `local`, `file` or `env`\n"
            )
        );
    }
}

#[test]
fn line_ends_byte_order_marks_and_second_documents_do_no_harm() {
    let file = with_service("");
    assert_eq!(report(&file.replace('\n', "\r\n")), "");
    assert_eq!(report(&format!("\u{feff}{file}")), "");
    assert_eq!(report(&format!("%YAML 1.1\n---\n{file}...\n")), "");
    assert_eq!(
        report(&format!("{file}---\nversion: [\n")),
        "secretless.yml:7:1: warning: a second document begins here: only the first counts\n  help: remove the `---`\n"
    );
}
