//! Whole files: what loads, and what each finding says.

mod checks;
mod client_tls;
mod errors;
mod explain;
mod go_files;
mod hostile;
mod list_form;
mod ours;
mod providers;
mod secrets;

use super::*;

/// As `check` and `explain` read a file.
fn reading(system: &System) -> Reading<'_> {
    let (path, purpose) = (Path::new("secretless.yml"), Purpose::Inspect);
    Reading { path, is_shared: false, allow_remote: false, purpose, system }
}

fn read_text(text: &str) -> Result<Loaded, Report> {
    reading(&System::REAL).read(text)
}

fn loaded(text: &str) -> Loaded {
    read_text(text).unwrap_or_else(|report| panic!("{text}\n{report}"))
}

/// The report of a file, loaded or not.
fn report(text: &str) -> String {
    match read_text(text) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(report) => report.to_string(),
    }
}

/// The value of `name`, as it is in force.
fn literal(service: &ServiceConfig, name: &str) -> String {
    let credential = service.credentials.iter().find(|credential| credential.name == name);
    match credential.map(|credential| &credential.source) {
        Some(Source::Literal(secret)) => secret.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        Some(Source::Provider { store, id, .. }) => format!("{store} {id}"),
        Some(Source::Unknown(provider)) => format!("unknown {provider}"),
        None => "missing".to_owned(),
    }
}

/// A file with one service `pg` that has `lines` besides what every service needs.
fn with_service(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "version: \"2\"\nservices:\n  pg:\n    connector: pg\n    listenOn: tcp://127.0.0.1:5432\n    \
         credentials: {{host: db}}\n{indented}"
    )
}
