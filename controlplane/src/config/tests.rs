//! Whole files: what loads, and what each error says.

use super::*;

fn read_text(text: &str) -> Result<Loaded, Report> {
    read(Path::new("secretless.yml"), text, false, false, &System::REAL)
}

fn loaded(text: &str) -> Loaded {
    read_text(text).unwrap_or_else(|report| panic!("{report}"))
}

fn literal(service: &ServiceConfig, name: &str) -> String {
    let credential = service.credentials.iter().find(|credential| credential.name == name).expect(name);
    match &credential.source {
        Source::Literal(secret) => secret.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        _ => panic!("{name} is no literal"),
    }
}

#[test]
fn a_file_of_the_go_broker_loads() {
    let loaded = loaded(
        "version: 2\n\
         services:\n\
         \x20 pg-db:\n\
         \x20   connector: pg\n\
         \x20   listenOn: tcp://127.0.0.1:5432\n\
         \x20   debug: true\n\
         \x20   protocol: \"\"\n\
         \x20   config: null\n\
         \x20   credentials:\n\
         \x20     host: localhost\n\
         \x20     port: 0123\n\
         \x20     username: {from: env, get: PGUSER}\n\
         \x20     password:\n\
         \x20       from: file\n\
         \x20       get: /run/password\n",
    );
    assert_eq!(loaded.warnings.to_string(), "");
    let service = &loaded.config.services[0];
    assert_eq!(service.name, "pg-db");
    assert_eq!(service.protocol.name(), "pg");
    assert_eq!(literal(service, "port"), "83");
    let names: Vec<_> = service.credentials.iter().map(|credential| credential.name.as_str()).collect();
    assert_eq!(names, ["host", "password", "port", "username"]);
}
