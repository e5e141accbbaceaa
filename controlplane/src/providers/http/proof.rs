//! What is sent along: who we are, and headers of the file.
//!
//! Owns the syntax of a header's line, which headers are ours alone, and the memory of what is secret: the arena, and headers that are
//! wiped as soon as a request is over.

use base64ct::{Base64, Encoding};
use dataplane::SecretArena;
use protocol::Secret;
use ureq::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use ureq::http::request::Builder;
use zeroize::Zeroizing;

use super::keys::{BEARER, HEADERS, PASSWORD, USERNAME};
use crate::web::header::secret_header;
use crate::web::quote::quotes;
use crate::web::said::Values;

/// What every request of a fetch has.
#[derive(Default)]
pub(super) struct Proof {
    headers: Vec<(HeaderName, Secret)>,
    /// What must not come back to light.
    secrets: Vec<Secret>,
}

impl Proof {
    /// What `values` and the lines of `headers` make. The words of an error quote nothing.
    pub(super) fn of(values: &Values, lines: &[Secret]) -> Result<Self, String> {
        let mut proof = Self::default();
        for line in lines {
            line.expose(|line| {
                let (name, value) = header(line).map_err(|words| format!("`{HEADERS}` {words}"))?;
                // A word like `true` is found in any text, and is no secret.
                if value.len() >= SECRET_BYTES_MIN {
                    proof.secrets.push(kept(value));
                }
                proof.headers.push((name, kept(value)));
                Ok::<_, String>(())
            })?;
        }
        let has_own = proof.sets(&AUTHORIZATION);
        let credentials = match (values.get(BEARER), values.get(USERNAME), values.get(PASSWORD)) {
            (Some(token), ..) => {
                proof.secrets.push(token.expose(|token| kept(token.trim_ascii())));
                Some(token.expose(|token| kept(&wiped(&[b"Bearer ", token.trim_ascii()]))))
            }
            (None, Some(user), Some(password)) => {
                proof.secrets.push(password.expose(kept));
                Some(basic(user, password))
            }
            _ => None,
        };
        if let Some(credentials) = credentials {
            if has_own {
                return Err(format!(
                    "`{HEADERS}` has an Authorization, and `{BEARER}` or `{USERNAME}` says another"
                ));
            }
            proof.headers.push((AUTHORIZATION, credentials));
        }
        let length: usize = proof.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if length > HEADERS_BYTES_MAX {
            return Err(format!("what is to be sent is larger than {} KiB", HEADERS_BYTES_MAX >> 10));
        }
        Ok(proof)
    }

    /// Puts it into a request, which wants JSON or anything.
    pub(super) fn put(&self, mut request: Builder, wants_json: bool) -> Option<Builder> {
        if wants_json && !self.sets(&ACCEPT) {
            request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value.expose(secret_header)?);
        }
        Some(request)
    }

    /// Whether a part of what is secret in it stands in `words`.
    pub(super) fn is_in(&self, words: &str) -> bool {
        self.secrets.iter().any(|secret| quotes(words, secret))
    }

    fn sets(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }
}

/// A line like `Name: value`, taken apart.
pub(super) fn header(line: &[u8]) -> Result<(HeaderName, &[u8]), &'static str> {
    const EXPECTED: &str = "is no header like `Name: value`";
    let colon = line.iter().position(|byte| *byte == b':').ok_or(EXPECTED)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let name = HeaderName::from_bytes(name).map_err(|_| EXPECTED)?;
    if value.is_empty() || HeaderValue::from_bytes(value).is_err() {
        return Err(EXPECTED);
    }
    if OURS.contains(&name) || OURS_BY_NAME.contains(&name.as_str()) {
        return Err("has a header that is not for the file to say: remove it");
    }
    Ok((name, value))
}

/// RFC 7617, section 2.
fn basic(user: &Secret, password: &Secret) -> Secret {
    let plain = user.expose(|user| password.expose(|password| wiped(&[user, b":", password])));
    let mut text = Zeroizing::new(vec![0; Base64::encoded_len(&plain)]);
    // The buffer is as long as what is written to it.
    let encoded = Base64::encode(&plain, &mut text).unwrap_or_default();
    kept(&wiped(&[b"Basic ", encoded.as_bytes()]))
}

/// All of it in one piece, in memory that does not grow.
fn wiped(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole
}

fn kept(bytes: &[u8]) -> Secret {
    SecretArena::of_process().secret(bytes)
}

/// What the client says itself: where a message goes, how long it is, what becomes of the connection, and what it can read.
const OURS: [HeaderName; 10] = [
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
    PROXY_AUTHORIZATION,
    ACCEPT_ENCODING,
];
const OURS_BY_NAME: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

/// A request has to fit into one buffer.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

const SECRET_BYTES_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from_heap(text.as_bytes().to_vec())
    }

    fn sent(
        values: &[(&'static str, &str)],
        lines: &[&str],
        wants_json: bool,
    ) -> Result<Vec<String>, String> {
        let values = values.iter().map(|(name, value)| (*name, secret(value))).collect();
        let lines: Vec<Secret> = lines.iter().map(|line| secret(line)).collect();
        let request = Proof::of(&values, &lines)?.put(Builder::new(), wants_json).expect("it can be sent");
        let request = request.body(()).expect("it is a request");
        let shown = request.headers().iter().map(|(name, value)| {
            // What is secret prints as nothing.
            assert_eq!(format!("{value:?}") == "Sensitive", name != ACCEPT || value != "application/json");
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        });
        Ok(shown.collect())
    }

    #[test]
    fn who_we_are_is_said_in_one_header() {
        assert_eq!(
            sent(&[(BEARER, "t0ken\n")], &[], true).as_deref(),
            Ok(&["accept: application/json", "authorization: Bearer t0ken"].map(String::from)[..])
        );
        // Expected value: RFC 7617, section 2.
        let user = [(USERNAME, "Aladdin"), (PASSWORD, "open sesame")];
        assert_eq!(
            sent(&user, &[], false).as_deref(),
            Ok(&["authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned()][..])
        );
    }

    #[test]
    fn headers_of_the_file_are_sent_as_they_are() {
        let lines = ["X-Key:  a: b ", "accept: text/plain", "x-key: c"];
        let expected = ["x-key: a: b", "x-key: c", "accept: text/plain"].map(String::from);
        let mut found = sent(&[], &lines, true).expect("they can be sent");
        found.sort_by_key(|line| line.starts_with("accept"));
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_that_are_no_headers_or_not_ours_to_send_are_refused() {
        let form = "`headers` is no header like `Name: value`";
        let ours = "`headers` has a header that is not for the file to say: remove it";
        for (line, words) in [
            ("X-Key", form),
            ("X Key: a", form),
            ("X-Key : a", form),
            (": a", form),
            ("X-Key:", form),
            ("X-Key: a\r\nX-Evil: b", form),
            ("X-Key: a\0", form),
            ("Host: evil", ours),
            ("content-length: 0", ours),
            ("Transfer-Encoding: chunked", ours),
            ("CONNECTION: close", ours),
            ("Keep-Alive: 1", ours),
            ("Proxy-Authorization: Basic x", ours),
        ] {
            assert_eq!(sent(&[], &[line], false), Err(words.to_owned()), "{line}");
        }
        let words = sent(&[(BEARER, "a")], &["Authorization: b"], false).expect_err("two of them");
        assert!(words.contains("has an Authorization"), "{words}");
        let large = format!("X-Key: {}", "a".repeat(HEADERS_BYTES_MAX));
        assert_eq!(sent(&[], &[&large], false), Err("what is to be sent is larger than 16 KiB".into()));
    }

    #[test]
    fn what_was_sent_is_found_in_words_and_short_words_are_none() {
        let values = [(BEARER, secret("t0ken"))].into_iter().collect();
        let proof = Proof::of(&values, &[secret("X-Key: hunter2hunter2"), secret("X-Is: true")]);
        let proof = proof.unwrap_or_else(|words| panic!("{words}"));
        assert!(proof.is_in("not valid for name t0ken") && proof.is_in("hunter2hunter2"));
        assert!(!proof.is_in("it is true that Bearer is a word"));
    }
}
