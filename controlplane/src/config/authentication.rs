//! `authentication`: how a service of a list shows its target who it is.
//!
//! Owns its types and their keys. What a value is made of is never part of a finding. Knows nobody who uses it: that is for
//! a connector.

use super::credentials::{self, StoreNames};
use super::findings::list_of;
use super::literals::LiteralSecrets;
use super::model::{AuthenticationConfig, AuthenticationKind, CredentialConfig, Source};
use super::nearest::nearest;
use super::section::{Field, Reader, Section, Unknown};

/// The key on the service.
pub(super) const KEY: &str = "authentication";

/// Reads `authentication:`. `None`, and errors, if something is wrong with it.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    service: &Section<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<Vec<AuthenticationConfig>> {
    let Some(field) = service.take(reader, KEY) else { return Some(Vec::new()) };
    let Some(items) = reader.items(&field).filter(|items| !items.is_empty()) else {
        let message = format!("expected a list, found {}", reader.kind(&field));
        let message = if reader.items(&field).is_some() { BLANK.to_owned() } else { message };
        reader.error(field.place, &field.path, message, HELP);
        return None;
    };
    // Every one is read, so that every error is found.
    let read: Vec<_> = items.iter().map(|item| read_one(reader, item, literals, stores)).collect();
    read.into_iter().collect()
}

/// The host, and the port if there is one, of an address that begins with `https://` or `http://`.
pub(super) fn host_of(url: &str) -> Option<&str> {
    let behind = url.strip_prefix("https://").or(url.strip_prefix("http://"))?;
    let authority = behind.split(['/', '?', '#']).next()?;
    // What stands before an `@` may be a password.
    let host = authority.rsplit('@').next()?;
    (!host.is_empty() && !host.starts_with(':') && !url.contains(is_no_part_of_url)).then_some(host)
}

/// A type of authentication.
struct Type {
    word: &'static str,
    kind: AuthenticationKind,
    values: &'static [KnownValue],
}

/// A key of `config:`.
struct KnownValue {
    /// Its spellings, the usual one first.
    names: &'static [&'static str],
    is_required: bool,
    /// What is wrong with a value that stands in the file.
    check: fn(&str) -> Result<(), &'static str>,
}

fn read_one<'d>(
    reader: &mut Reader<'d>,
    item: &Field<'d>,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<AuthenticationConfig> {
    if !reader.is_mapping(item) {
        let message = format!("expected a mapping with `type` and `config`, found {}", reader.kind(item));
        reader.error(item.place, &item.path, message, HELP);
        return None;
    }
    let section = reader.section(item)?;
    section.finish(reader, &["type", "config"], Unknown::Refused);
    let found = read_type(reader, &section, item)?;
    let config = match section.take(reader, "config") {
        Some(config) => reader.section(&config)?,
        None => {
            let message = format!("cannot be blank: `{}` needs it", found.word);
            reader.error(item.place, &section.path_of("config"), message, found.help());
            return None;
        }
    };
    let known: Vec<&str> = found.values.iter().flat_map(|value| value.names).copied().collect();
    config.finish(reader, &known, Unknown::Refused);
    let read: Vec<_> = found
        .values
        .iter()
        .map(|value| read_value(reader, &config, (item, found), value, literals, stores))
        .collect();
    let values: Option<Vec<_>> = read.into_iter().collect();
    Some(AuthenticationConfig { kind: found.kind, values: values?.into_iter().flatten().collect() })
}

fn read_type<'d>(reader: &mut Reader<'d>, section: &Section<'d>, item: &Field<'d>) -> Option<&'static Type> {
    const EXPECTED: &str = "a type of authentication";
    let list = list_of("type", TYPES.iter().map(|known| known.word));
    let field = section.take(reader, "type");
    let (word, place) = match &field {
        Some(field) => (reader.text(field, EXPECTED, &list)?, field.place),
        None => ("", item.place),
    };
    let found = TYPES.iter().find(|known| known.word == word);
    if found.is_none() {
        let shown = || field.as_ref().map_or_else(String::new, |field| reader.shown(field, word));
        let words: Vec<&str> = TYPES.iter().map(|known| known.word).collect();
        let (message, help) = match nearest(word, &words) {
            _ if word.is_empty() => (format!("cannot be blank: expected {EXPECTED}"), list),
            Some(meant) => (format!("unknown type {}", shown()), format!("did you mean `{meant}`? ({list})")),
            None => (format!("unknown type {}", shown()), list),
        };
        reader.error(place, &section.path_of("type"), message, help);
    }
    found
}

/// One key; `Some(None)` if it is not there and need not be.
fn read_value<'d>(
    reader: &mut Reader<'d>,
    config: &Section<'d>,
    (item, of): (&Field<'d>, &Type),
    value: &KnownValue,
    literals: &mut LiteralSecrets,
    stores: &StoreNames,
) -> Option<Option<CredentialConfig>> {
    let name = value.names.first().copied().unwrap_or_default();
    let given: Vec<Field<'d>> = value.names.iter().filter_map(|name| config.take(reader, name)).collect();
    let field = match given.as_slice() {
        [] if value.is_required => {
            let message = format!("cannot be blank: `{}` needs it", of.word);
            reader.error(item.place, &config.path_of(name), message, of.help());
            return None;
        }
        [] => return Some(None),
        [field] => field,
        [first, second, ..] => {
            let message = format!("given here and as `{}`, in line {}", first.key, first.key_place.line);
            reader.error(second.key_place, &second.path, message, "keep one of them");
            return None;
        }
    };
    let mut read = credentials::read_one(reader, field, literals, stores)?;
    name.clone_into(&mut read.name);
    let Source::Literal(secret) = &read.source else { return Some(Some(read)) };
    let (fault, has_template) = secret.expose(|bytes| match std::str::from_utf8(bytes) {
        Ok("") if value.is_required => (Some("cannot be blank"), false),
        Ok(text) => ((value.check)(text).err(), text.contains("{{")),
        Err(_) => (Some("expected text, found other bytes"), false),
    });
    if let Some(fault) = fault {
        reader.error(field.place, &field.path, fault, format!("correct `{}`", field.key));
        return None;
    }
    // Its name does not say that it is a secret.
    if of.kind == AuthenticationKind::Header && name == "value" && !has_template && read.variables.is_empty()
    {
        literals.note(field);
    }
    Some(Some(read))
}

impl Type {
    /// How it is written.
    fn help(&self) -> String {
        let required = self.values.iter().filter(|value| value.is_required);
        let keys: Vec<String> =
            required.filter_map(|value| Some(format!("{}: …", value.names.first()?))).collect();
        format!("write it like `- {{type: {}, config: {{{}}}}}`", self.word, keys.join(", "))
    }
}

fn check_url(text: &str) -> Result<(), &'static str> {
    host_of(text).map(|_| ()).ok_or("expected an address that begins with `https://` or `http://`")
}

/// RFC 9110, section 5.6.2: a field's name is a token.
fn check_header(text: &str) -> Result<(), &'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(is_token) { Ok(()) } else { Err("expected the name of a header") }
}

/// RFC 9110, section 5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous".
fn check_header_value(text: &str) -> Result<(), &'static str> {
    if text.contains(char::is_control) {
        return Err("expected one line of text, without control characters");
    }
    Ok(())
}

fn is_no_part_of_url(c: char) -> bool {
    c.is_control() || c.is_whitespace()
}

const fn required(names: &'static [&'static str], check: fn(&str) -> Result<(), &'static str>) -> KnownValue {
    KnownValue { names, is_required: true, check }
}

const fn optional(names: &'static [&'static str]) -> KnownValue {
    KnownValue { names, is_required: false, check: |_| Ok(()) }
}

/// Every type there is.
static TYPES: &[Type] = &[
    Type {
        word: "oauth2",
        kind: AuthenticationKind::OAuth2,
        values: &[
            required(&["token_url", "tokenUrl"], check_url),
            required(&["client_id", "clientId"], |_| Ok(())),
            required(&["client_secret", "clientSecret"], |_| Ok(())),
            optional(&["scope"]),
            optional(&["audience"]),
        ],
    },
    Type {
        word: "header",
        kind: AuthenticationKind::Header,
        values: &[required(&["header"], check_header), required(&["value"], check_header_value)],
    },
];

const BLANK: &str = "cannot be blank: expected at least one entry";
const HELP: &str = "write it like `- {type: header, config: {header: Authorization, value: …}}`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        for (url, host) in [
            ("https://aci.example.com/oauth/token?x=hunter2", Some("aci.example.com")),
            ("http://localhost:8080", Some("localhost:8080")),
            ("https://me:hunter2@[::1]:8443/token", Some("[::1]:8443")),
            ("https://a@b@c/", Some("c")),
            ("https://h#x", Some("h")),
            ("https:///token", None),
            ("https://:443/", None),
            ("https://me@/", None),
            ("https://a b/", None),
            ("ftp://h/", None),
            ("aci.example.com", None),
            ("", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn headers_are_what_http_takes() {
        assert_eq!(check_header("X-Api_Key"), Ok(()));
        assert!(check_header("Authorization:").is_err());
        assert!(check_header("X Y").is_err());
        assert_eq!(check_header_value("Bearer {{ .token }}"), Ok(()));
        assert!(check_header_value("a\r\nX-Evil: b").is_err());
    }
}
