//! Reading a secret: which path is asked for, and where in the answer the fields lie.
//!
//! Owns the two versions of KV, spelled as the Go broker wants them or as the store's own client takes them. Knows
//! nothing of logins, retries or how long a value is good for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dataplane::SecretArena;
use protocol::Secret;

use super::answer::{Found, Meaning, Terms};
use super::client::Client;
use super::id::{FIELD, Place};
use crate::web::client::Answer;
use crate::web::json::{Json, NoValue};

/// How paths are read, as far as it is known. As many as there are in the file.
#[derive(Default)]
pub(super) struct Routes(Mutex<BTreeMap<String, Route>>);

/// How one path is read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    /// What is asked for.
    path: String,
    /// Whether the secret has versions, and lies in a `data` of its own in the answer.
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// The answer's data is the secret: KV version 1, and every other engine.
    Flat,
    /// KV version 2, and the path was written without `data`.
    Implied,
    /// KV version 2, and the path was written with `data`.
    Spelled,
    /// The mount's kind cannot be told.
    Unknown,
}

/// Why a secret could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The store has a problem with it alone.
    Failing(String),
    /// The store says that it is not there.
    Missing(String),
    /// The store does not let this token have it, or does not know the token.
    Forbidden(String),
    /// It is there, and what was asked for is not in it, or is no value.
    Unusable(String),
    /// It is there and empty.
    Empty(String),
    /// The store could not be asked or has a problem of its own.
    Outage(String),
}

/// A secret that has been read.
pub(super) struct Read {
    /// One value for each field, in their order.
    pub(super) values: Vec<Secret>,
    /// Of KV version 2.
    pub(super) version: Option<u64>,
    pub(super) terms: Terms,
}

/// What reads with one token.
pub(super) struct Reader<'a> {
    pub(super) client: &'a Client,
    pub(super) token: &'a Secret,
    pub(super) routes: &'a Routes,
}

impl Reader<'_> {
    /// Reads the fields of one place in one request.
    pub(super) fn read(&self, place: Place<'_>, fields: &[&str]) -> Result<Read, Trouble> {
        let route = self.route(place.path)?;
        let query = match (place.version, route.layout) {
            (None, _) => String::new(),
            (Some(_), Layout::Flat) => {
                let words = format!("there are no versions at '{}': it is not in KV version 2", place.path);
                return Err(Trouble::Unusable(words));
            }
            (Some(version), _) => format!("?version={version}"),
        };
        let answer = self.client.get(&route.path, &query, self.token);
        let answer = answer.map_err(Trouble::Outage)?;
        let what = format!("read '{}'", route.path);
        let outcome = match Meaning::of(&answer, &what) {
            Meaning::Found(Found { data, terms }) => {
                let values = fields.iter().map(|field| pick(data, route.layout, field, place.path));
                let is_versioned = matches!(route.layout, Layout::Implied | Layout::Spelled);
                let version = data.member("metadata").filter(|_| is_versioned);
                let version = version.and_then(|metadata| metadata.member("version")?.number());
                values.collect::<Result<Vec<_>, _>>().map(|values| Read { values, version, terms })
            }
            Meaning::Missing => Err(Trouble::Missing(format!(
                "HashiCorp Vault provider could not find secret '{}'{}{}{}",
                place.path,
                place.version.map(|version| format!(" in version {version}")).unwrap_or_default(),
                self.client.namespace().map(|name| format!(" in the namespace '{name}'")).unwrap_or_default(),
                self.client.strange_path().map(|words| format!("; {words}")).unwrap_or_default(),
            ))),
            Meaning::Forbidden => Err(Trouble::Forbidden(super::answer::refusal(&answer, &what))),
            Meaning::Failing(words) => Err(Trouble::Failing(words)),
            Meaning::Away(words) => Err(Trouble::Outage(words)),
        };
        if matches!(outcome, Err(Trouble::Missing(_) | Trouble::Forbidden(_))) {
            // An engine may have been mounted anew, as something else.
            self.routes.lock().remove(place.path);
        }
        outcome
    }

    /// Finds out how `path` is read. The store tells it to everybody who may read anything beneath the mount.
    fn route(&self, path: &str) -> Result<Route, Trouble> {
        if let Some(route) = self.routes.lock().get(path) {
            return Ok(route.clone());
        }
        let mount = format!("sys/internal/ui/mounts/{path}");
        let answer = self.client.get(&mount, "", self.token).map_err(Trouble::Outage)?;
        let route = match Meaning::of(&answer, &format!("ask for the mount of '{path}'")) {
            Meaning::Found(Found { data, .. }) => route_in(data, path),
            // Read as it is written, the answer says the same more to the point.
            Meaning::Missing | Meaning::Forbidden => None,
            Meaning::Failing(words) => return Err(Trouble::Failing(words)),
            Meaning::Away(words) => return Err(Trouble::Outage(words)),
        };
        let Some(route) = route else {
            return Ok(Route { path: path.to_owned(), layout: Layout::Unknown });
        };
        self.routes.lock().insert(path.to_owned(), route.clone());
        Ok(route)
    }
}

impl Routes {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Route>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How `path` is read beneath a mount that says this about itself; `None` if it is not its mount.
fn route_in(mount: Json<'_>, path: &str) -> Option<Route> {
    let prefix = mount.member("path")?.text()?;
    let rest = path.strip_prefix(&prefix)?;
    let is_kv = mount.member("type").and_then(Json::text).is_some_and(|kind| kind == "kv");
    let version = mount.member("options").and_then(|options| options.member("version")?.text());
    let (path, layout) = if !is_kv || version.as_deref() != Some("2") {
        (path.to_owned(), Layout::Flat)
    } else if rest.starts_with("data/") {
        (path.to_owned(), Layout::Spelled)
    } else {
        (format!("{prefix}data/{rest}"), Layout::Implied)
    };
    Some(Route { path, layout })
}

/// One field's value. `path` is what the file calls the secret.
fn pick(data: Json<'_>, layout: Layout, field: &str, path: &str) -> Result<Secret, Trouble> {
    let versioned = || data.member("data").filter(|inner| inner.is_object());
    let found = match layout {
        Layout::Flat => data.descend(field),
        // Whoever wrote `data` into the path may have left it out here, and the other way round.
        Layout::Spelled => data.descend(field).or_else(|| versioned()?.descend(field)),
        Layout::Implied => versioned().and_then(|inner| inner.descend(field)).or_else(|| data.descend(field)),
        Layout::Unknown => data.descend(field).or_else(|| {
            let is_versioned = data.member("metadata").is_some_and(Json::is_object);
            versioned().filter(|_| is_versioned)?.descend(field)
        }),
    };
    let kind = match found.map(Json::bytes) {
        Some(Ok(bytes)) if !bytes.is_empty() => {
            return Ok(SecretArena::of_process().secret(&bytes));
        }
        Some(Ok(_)) => return Err(Trouble::Empty(format!("the field '{field}' at '{path}' is empty"))),
        // As Go prints their types.
        Some(Err(NoValue::Object)) => "map[string]interface {}",
        Some(Err(NoValue::List)) => "[]interface {}",
        Some(Err(NoValue::Null)) => "<nil>",
        None if field.contains('.') => {
            let words = format!("HashiCorp Vault provider expects secret in '{field}' at '{path}'");
            return Err(Trouble::Unusable(words));
        }
        None => "<nil>",
    };
    // It may have been named by nobody.
    let help = if found.is_none() && field == FIELD { "; name another field: 'path#field'" } else { "" };
    Err(Trouble::Unusable(format!(
        "HashiCorp Vault provider expects the secret to be a string or byte[], got {kind} in the field '{field}' at '{path}'{help}"
    )))
}

/// See [`super::answer_for_fuzz`].
pub(super) fn for_fuzz(answer: &Answer, field: &str) {
    let words = match Meaning::of(answer, "read 'secret/app/db'") {
        Meaning::Found(Found { data, .. }) => {
            let route = route_in(data, "secret/app/db");
            assert!(route.is_none_or(|route| route.path.len() <= "secret/data/app/db".len()));
            for layout in [Layout::Flat, Layout::Implied, Layout::Spelled, Layout::Unknown] {
                match pick(data, layout, field, "secret/app/db") {
                    Ok(value) => assert!(!value.is_empty() && value.len() <= answer.body.len()),
                    Err(Trouble::Unusable(words) | Trouble::Empty(words)) => {
                        assert!(words.len() < 200 + field.len());
                    }
                    Err(other) => unreachable!("an answer that has come is no {other:?}"),
                }
            }
            return;
        }
        Meaning::Missing => return,
        Meaning::Forbidden => super::answer::refusal(answer, "x"),
        Meaning::Failing(words) | Meaning::Away(words) => words,
    };
    assert!(words.len() < 4_000 && !words.contains('\n'), "{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::parse(text.as_bytes()).expect("JSON")
    }

    fn route(mount: &str, path: &str) -> Option<(String, Layout)> {
        route_in(json(mount), path).map(|route| (route.path, route.layout))
    }

    #[test]
    fn the_mount_decides_where_the_path_lacks_data() {
        // What OpenBao 2.7.2 answers, shortened.
        let second = r#"{"options": {"version": "2"}, "path": "team/kv/", "type": "kv"}"#;
        let to = |path: &str, layout| Some((path.to_owned(), layout));
        assert_eq!(route(second, "team/kv/a/b"), to("team/kv/data/a/b", Layout::Implied));
        assert_eq!(route(second, "team/kv/data/a"), to("team/kv/data/a", Layout::Spelled));
        assert_eq!(route(second, "other/a"), None);
        for first in [
            r#"{"options": {}, "path": "kv/", "type": "kv"}"#,
            r#"{"options": {"version": "1"}, "path": "kv/", "type": "kv"}"#,
            r#"{"options": null, "path": "kv/", "type": "database"}"#,
        ] {
            assert_eq!(route(first, "kv/data/a"), to("kv/data/a", Layout::Flat));
        }
    }

    fn picked(data: &str, layout: Layout, field: &str) -> Result<String, Trouble> {
        let value = pick(json(data), layout, field, "p")?;
        Ok(value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    #[test]
    fn a_field_of_kv_2_may_be_named_with_data_or_without() {
        let data = r#"{"data": {"f": "inner", "data": "d"}, "metadata": {"version": 1}}"#;
        for layout in [Layout::Spelled, Layout::Implied, Layout::Unknown] {
            for (field, value) in [("f", "inner"), ("data.f", "inner"), ("data.data", "d")] {
                assert_eq!(picked(data, layout, field), Ok(value.to_owned()), "{layout:?} {field}");
            }
        }
        // A secret of version 1 may have a field of that name.
        assert!(picked(data, Layout::Flat, "f").is_err());
        assert_eq!(picked(data, Layout::Flat, "data.f"), Ok("inner".to_owned()));
    }

    #[test]
    fn says_what_is_wrong_as_the_go_broker_does() {
        let data = r#"{"o": {"x": 1}, "e": ""}"#;
        let words = |field| match picked(data, Layout::Flat, field) {
            Err(Trouble::Unusable(words) | Trouble::Empty(words)) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(words("o.y"), "HashiCorp Vault provider expects secret in 'o.y' at 'p'");
        let start = "HashiCorp Vault provider expects the secret to be a string or byte[], got";
        assert_eq!(words("y"), format!("{start} <nil> in the field 'y' at 'p'"));
        assert_eq!(
            words("value"),
            format!("{start} <nil> in the field 'value' at 'p'; name another field: 'path#field'")
        );
        assert_eq!(words("o"), format!("{start} map[string]interface {{}} in the field 'o' at 'p'"));
        assert_eq!(words("e"), "the field 'e' at 'p' is empty");
    }
}
