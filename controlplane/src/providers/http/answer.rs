//! What answers mean.
//!
//! Owns the verdict on a status, and the way from a body to a value. No byte of an answer is in an error.

use dataplane::SecretArena;
use protocol::Secret;
use ureq::http::StatusCode;

use super::id::Part;
use crate::providers::FetchError;
use crate::providers::file::without_newline;
use crate::web::client::Answer;
use crate::web::json::{Json, NoValue};

/// A body that is an answer.
pub(super) struct Body<'a> {
    bytes: &'a [u8],
    /// What was asked for, for errors.
    name: &'a str,
}

/// The body of an answer to what errors call `name`, or what the status says.
pub(super) fn read<'a>(answer: &'a Answer, name: &'a str) -> Result<Body<'a>, FetchError> {
    let status = answer.status;
    if status == 200 {
        return Ok(Body { bytes: &answer.body, name });
    }
    // The reason is that of the standard, and not the server's.
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let words = format!("{name}: {status} {}", known.unwrap_or("")).trim_end().to_owned();
    Err(match status {
        204 => FetchError::Empty(words),
        // "indicates that the server is redirecting the user agent" (RFC 9110, section 15.4.4), as those of the client do.
        303 => redirected(name),
        401 | 403 => FetchError::Denied(words),
        404 | 410 => FetchError::NotFound(words),
        429 | 502 | 503 | 504 => FetchError::Unavailable(words),
        _ => FetchError::Failing(words),
    })
}

/// A server has named another address.
pub(super) fn redirected(name: &str) -> FetchError {
    FetchError::Failing(format!(
        "{name}: it names another address, which is not followed: ask for that one if it is meant"
    ))
}

impl Body<'_> {
    /// What `part` names.
    pub(super) fn value(&self, part: Part<'_>, is_raw: bool) -> Result<Secret, FetchError> {
        let name = self.name;
        let (what, found) = match part {
            Part::Whole => {
                let bytes = if is_raw { self.bytes } else { without_newline(self.bytes) };
                return match bytes {
                    [] => Err(FetchError::Empty(format!("{name}: the answer is empty"))),
                    bytes => Ok(SecretArena::of_process().secret(bytes)),
                };
            }
            Part::Member(member) => (member, self.json()?.member(member)),
            Part::Pointer(pointer) => (pointer, resolve(self.json()?, pointer)),
        };
        let kind = match found.map(Json::bytes) {
            Some(Ok(bytes)) if !bytes.is_empty() => return Ok(SecretArena::of_process().secret(&bytes)),
            Some(Ok(_)) => return Err(FetchError::Empty(format!("{name}: '{what}' is empty"))),
            None => {
                let words = format!("{name}: there is no '{what}' in the answer{}", pointer_meant(part));
                return Err(FetchError::Unusable(words));
            }
            Some(Err(NoValue::Object)) => "an object",
            Some(Err(NoValue::List)) => "a list",
            Some(Err(NoValue::Null)) => "null",
        };
        Err(FetchError::Unusable(format!("{name}: '{what}' is {kind}, which is no value")))
    }

    /// Whether it is an object of JSON.
    pub(super) fn is_object(&self) -> bool {
        Json::parse(self.bytes).is_some_and(Json::is_object)
    }

    fn json(&self) -> Result<Json<'_>, FetchError> {
        // A page that is shown in its place, while it is being mended say.
        Json::parse(self.bytes)
            .ok_or_else(|| FetchError::Failing(format!("{}: the answer is no JSON", self.name)))
    }
}

/// What is said to somebody who may have written a path in another way.
fn pointer_meant(part: Part<'_>) -> &'static str {
    match part {
        Part::Member(member) if member.contains(['.', '/']) => {
            ": a part of a part is named like '#/data/password'"
        }
        _ => "",
    }
}

/// What `pointer` leads to (RFC 6901, section 4).
fn resolve<'a>(json: Json<'a>, pointer: &str) -> Option<Json<'a>> {
    pointer.split('/').skip(1).try_fold(json, |json, token| {
        if json.is_object() {
            // "first transforming any occurrence of the sequence '~1' to '/', and then ... '~0' to '~'"
            return json.member(&token.replace("~1", "/").replace("~0", "~"));
        }
        // "0" or digits "without leading zeros"; "-" is behind the last one, where there is nothing.
        let is_index =
            token == "0" || !token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit());
        json.element(token.parse().ok().filter(|_| is_index)?)
    })
}

/// See [`super::answer_for_fuzz`].
pub(super) fn for_fuzz(answer: &Answer, part: &str) {
    const NAME: &str = "Get \"http://host/a\"";
    let id = format!("a#{part}");
    let part = match super::Id::parse(&id) {
        _ if part.is_empty() => Part::Whole,
        Ok(id) => id.part,
        Err(_) => return,
    };
    let value = read(answer, NAME).and_then(|body| body.value(part, false));
    match value {
        Ok(value) => assert!(!value.is_empty() && value.len() <= answer.body.len()),
        Err(error) => {
            let words = error.to_string();
            assert!(words.starts_with(NAME) && words.len() < NAME.len() + id.len() + 100, "{words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::providers::http::id::Id;

    fn value(status: u16, body: &str, part: &str, raw: bool) -> Result<String, FetchError> {
        let answer = Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()) };
        let id = format!("x{part}");
        let part = Id::parse(&id).unwrap_or_else(|words| panic!("{words}")).part;
        let value = read(&answer, "Get \"u\"")?.value(part, raw)?;
        Ok(value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// RFC 6901, section 5, with text in the place of values that are none.
    const DOCUMENT: &str = r#"{
        "foo": ["bar", "baz"],
        "": 0,
        "a/b": 1,
        "c%d": 2,
        "e^f": 3,
        "g|h": 4,
        "i\\j": 5,
        "k\"l": 6,
        " ": 7,
        "m~n": 8
    }"#;

    #[test]
    fn pointers_lead_where_the_rfc_says() {
        for (pointer, expected) in [
            ("/foo/0", "bar"),
            ("/foo/1", "baz"),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(
                value(200, DOCUMENT, &format!("#{pointer}"), false).as_deref(),
                Ok(expected),
                "{pointer}"
            );
        }
        // Section 4: "~01" is "~1" and not "/".
        assert_eq!(value(200, r#"{"~1": {"x": "y"}}"#, "#/~01/x", false).as_deref(), Ok("y"));
    }

    #[test]
    fn what_is_no_value_is_one_error_that_names_the_pointer() {
        let unusable = |words: &str| Err(FetchError::Unusable(format!("Get \"u\": {words}")));
        for (pointer, words) in [
            ("/foo", "'/foo' is a list, which is no value"),
            ("/foo/2", "there is no '/foo/2' in the answer"),
            ("/foo/-", "there is no '/foo/-' in the answer"),
            ("/foo/00", "there is no '/foo/00' in the answer"),
            ("/foo/01", "there is no '/foo/01' in the answer"),
            ("/foo/+1", "there is no '/foo/+1' in the answer"),
            ("/foo/99999999999999999999", "there is no '/foo/99999999999999999999' in the answer"),
            ("/foo/", "there is no '/foo/' in the answer"),
            ("/a~1b/x", "there is no '/a~1b/x' in the answer"),
            ("/bar", "there is no '/bar' in the answer"),
        ] {
            assert_eq!(value(200, DOCUMENT, &format!("#{pointer}"), false), unusable(words), "{pointer}");
        }
        let other = r#"{"o": {"x": 1}, "n": null, "e": "", "a/b": true, "/a": 1.50}"#;
        assert_eq!(value(200, other, "#o", false), unusable("'o' is an object, which is no value"));
        assert_eq!(value(200, other, "#n", false), unusable("'n' is null, which is no value"));
        assert_eq!(value(200, other, "#e", false), Err(FetchError::Empty("Get \"u\": 'e' is empty".into())));
        assert_eq!(value(200, other, "#a/b", false).as_deref(), Ok("true"), "a member's name has no escapes");
        assert_eq!(value(200, other, "#/~1a", false).as_deref(), Ok("1.50"));
        let deep = |part| value(200, r#"{"data": {"x": 1}}"#, part, false);
        for part in ["#data.y", "#data/y"] {
            let words = format!(
                "there is no '{}' in the answer: a part of a part is named like '#/data/password'",
                &part[1..]
            );
            assert_eq!(deep(part), unusable(&words));
        }
        let page = value(200, "<h1>hunter2</h1>", "#a", false);
        assert_eq!(page, Err(FetchError::Failing("Get \"u\": the answer is no JSON".into())));
    }

    #[test]
    fn a_whole_answer_is_text_without_its_last_newline() {
        for (body, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("{\"a\": 1}", "{\"a\": 1}")]
        {
            assert_eq!(value(200, body, "", false).as_deref(), Ok(expected));
            assert_eq!(value(200, body, "", true).as_deref(), Ok(body));
        }
        for body in ["", "\n"] {
            assert_eq!(
                value(200, body, "", false),
                Err(FetchError::Empty("Get \"u\": the answer is empty".into()))
            );
        }
    }

    #[test]
    fn a_status_says_whether_the_store_is_away_or_the_value() {
        let label = |status| value(status, "hunter2", "", false).map_or_else(|error| error.label(), |_| "ok");
        for (statuses, expected) in [
            (&[200][..], "ok"),
            (&[204], "empty"),
            (&[401, 403], "denied"),
            (&[404, 410], "not_found"),
            (&[429, 502, 503, 504], "unavailable"),
            (&[201, 206, 300, 303, 304, 400, 405, 418, 451, 500, 501, 599, 999], "failing"),
        ] {
            for &status in statuses {
                assert_eq!(label(status), expected, "{status}");
            }
        }
        let error = |status| value(status, "hunter2", "", false).map_err(|error| error.to_string());
        assert_eq!(error(404), Err("Get \"u\": 404 Not Found".into()));
        assert_eq!(error(999), Err("Get \"u\": 999".into()));
    }
}
