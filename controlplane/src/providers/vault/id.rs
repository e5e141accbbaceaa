//! What a value of a store is called: `path[?version=N][#field[.nested…]]`.
//!
//! Owns the syntax, which is the Go broker's and has a version besides. Knows no store.

use crate::config::nearest;

/// A value's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id<'a> {
    pub(super) place: Place<'a>,
    /// The field's names, joined by dots as they were written.
    pub(super) field: &'a str,
}

/// Where a secret lies. All values of one place are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place<'a> {
    pub(super) path: &'a str,
    /// The version that is wanted, if it is not the newest.
    pub(super) version: Option<u32>,
}

impl<'a> Id<'a> {
    /// Takes `text` apart. The words of a refusal go to whoever wrote the file.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let (place, field) = match text.split_once('#') {
            Some((_, "")) => {
                return Err(
                    "there is no field behind '#': name one, or leave '#' out for the field 'value'".into()
                );
            }
            Some(parts) => parts,
            None => (text, FIELD),
        };
        let (path, version) = match place.rsplit_once(VERSION) {
            Some((path, number)) => {
                let version = number.parse().ok().filter(|version| *version > 0);
                let version =
                    version.ok_or("'?version=' needs a number from 1 on: leave it out for the newest")?;
                (path, Some(version))
            }
            None => (place, None),
        };
        // The store's own client takes both.
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Err("there is no path: write 'path#field', like 'secret/data/db#data.password'".into());
        }
        if path.ends_with('/') {
            return Err("the path ends with '/', which names a folder: name the secret in it".into());
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("the path has an empty segment, '.' or '..': write it out".into());
        }
        if path.chars().any(char::is_control) {
            return Err("the path has a character that cannot be seen: remove it".into());
        }
        Ok(Self { place: Place { path, version }, field })
    }
}

/// What of `text` looks like a version and is none: it belongs to the path, as everything does that the store does not know.
pub(super) fn strange_version(text: &str) -> Option<&str> {
    let path = text.split('#').next()?;
    let (_, query) = path.rsplit_once('?')?;
    let (name, number) = query.split_once('=')?;
    let is_near = matches!(name, "v" | "ver") || name != "version" && nearest(name, &["version"]).is_some();
    (is_near && number.parse::<u32>().is_ok()).then_some(name)
}

/// The field that is meant where none is named.
pub(super) const FIELD: &str = "value";

const VERSION: &str = "?version=";

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, Option<u32>, &str)> {
        let id = Id::parse(text).ok()?;
        Some((id.place.path, id.place.version, id.field))
    }

    #[test]
    fn takes_apart_what_the_go_broker_takes() {
        assert_eq!(parts("kv/db"), Some(("kv/db", None, "value")));
        assert_eq!(parts("kv/db#password"), Some(("kv/db", None, "password")));
        assert_eq!(parts("secret/data/db#data.password"), Some(("secret/data/db", None, "data.password")));
        // The first '#' is the border, and a leading '/' means nothing.
        assert_eq!(parts("/kv/d b#a#b"), Some(("kv/d b", None, "a#b")));
        assert_eq!(parts("kv/what?"), Some(("kv/what?", None, "value")));
        assert_eq!(parts("kv/a?b=c"), Some(("kv/a?b=c", None, "value")));
    }

    #[test]
    fn a_version_belongs_to_the_path() {
        assert_eq!(parts("secret/db?version=3#password"), Some(("secret/db", Some(3), "password")));
        assert_eq!(parts("secret/db#a?version=3"), Some(("secret/db", None, "a?version=3")));
    }

    #[test]
    fn what_looks_like_a_version_is_found() {
        for text in ["kv/db?versoin=1#a", "kv/db?v=1", "kv/db?Version=3"] {
            assert!(strange_version(text).is_some() && Id::parse(text).is_ok(), "{text}");
        }
        for text in
            ["kv/db?version=1", "kv/people?user=1#a", "kv/a?session=x", "kv/a?v=b", "kv/a#b?v=1", "kv/a"]
        {
            assert_eq!(strange_version(text), None, "{text}");
        }
    }

    #[test]
    fn every_refusal_names_the_remedy() {
        for (text, remedy) in [
            ("", "write 'path#field'"),
            ("#password", "write 'path#field'"),
            ("/#password", "write 'path#field'"),
            ("kv/db#", "name one"),
            ("kv/#a", "name the secret in it"),
            ("kv//db", "write it out"),
            ("kv/../db", "write it out"),
            ("kv/d\nb", "remove it"),
            ("kv/db?version=#a", "leave it out for the newest"),
            ("kv/db?version=0#a", "leave it out for the newest"),
            ("kv/db?version=99999999999#a", "leave it out for the newest"),
        ] {
            let words = Id::parse(text).expect_err(text);
            assert!(words.contains(remedy), "{text}: {words}");
        }
    }
}
