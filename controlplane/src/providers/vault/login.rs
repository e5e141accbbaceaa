//! Logins of our own: the methods that there are.
//!
//! Owns what each is called, which settings it takes, and the request that it makes of them. Knows nothing of answers or of
//! when to log in.

use std::fs;

use dataplane::SecretArena;
use protocol::Secret;
use zeroize::Zeroizing;

use super::body::object;
use super::keys::{JWT, JWT_FILE, MOUNT, PASSWORD, ROLE, ROLE_ID, SECRET_ID, TOKEN, TOKEN_FILE, USERNAME};
use super::token::number_of;
use crate::os_words::words;
use crate::web::keys::{CLIENT_CERT, CLIENT_KEY};
use crate::web::line::Line;
use crate::web::pem::named;
use crate::web::said::Values;

/// How we become known to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    AppRole,
    Kubernetes,
    Jwt,
    Cert,
    Userpass,
    Ldap,
    /// Somebody else has logged in for us.
    Token,
}

/// A request that asks for a token.
pub(super) struct Proof {
    /// What stands behind `/v1/`.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Zeroizing<Vec<u8>>,
    /// What in it must not come back to light, whatever the store answers.
    pub(super) secrets: Vec<Secret>,
}

impl Method {
    /// In the order of the documentation.
    pub(super) const ALL: [Self; 7] =
        [Self::AppRole, Self::Kubernetes, Self::Jwt, Self::Cert, Self::Userpass, Self::Ldap, Self::Token];

    /// The method that the file calls so.
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.word() == word)
    }

    /// What the file calls it. A store calls its mount so unless somebody has said otherwise.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AppRole => "approle",
            Self::Kubernetes => "kubernetes",
            Self::Jwt => "jwt",
            Self::Cert => "cert",
            Self::Userpass => "userpass",
            Self::Ldap => "ldap",
            Self::Token => "token",
        }
    }

    /// The settings that it cannot do without: one of each list.
    pub(super) fn needs(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::AppRole => &[&[ROLE_ID]],
            Self::Kubernetes => &[&[ROLE]],
            Self::Jwt => &[&[JWT, JWT_FILE]],
            Self::Cert => &[&[CLIENT_CERT], &[CLIENT_KEY]],
            Self::Userpass | Self::Ldap => &[&[USERNAME], &[PASSWORD]],
            Self::Token => &[],
        }
    }

    /// The settings of logins that it takes.
    pub(super) fn takes(self) -> &'static [&'static str] {
        match self {
            Self::AppRole => &[MOUNT, ROLE_ID, SECRET_ID],
            Self::Kubernetes | Self::Jwt => &[MOUNT, ROLE, JWT, JWT_FILE],
            Self::Cert => &[MOUNT, ROLE],
            Self::Userpass | Self::Ldap => &[MOUNT, USERNAME, PASSWORD],
            Self::Token => &[TOKEN, TOKEN_FILE],
        }
    }

    /// What it sends: a name in the request, the setting that has the value, and whether it must be there.
    fn fields(self) -> &'static [(&'static str, &'static str, bool)] {
        match self {
            Self::AppRole => &[("role_id", ROLE_ID, true), ("secret_id", SECRET_ID, false)],
            Self::Kubernetes => &[("role", ROLE, true), ("jwt", JWT, true)],
            Self::Jwt => &[("role", ROLE, false), ("jwt", JWT, true)],
            Self::Cert => &[("name", ROLE, false)],
            Self::Userpass | Self::Ldap => &[("password", PASSWORD, true)],
            Self::Token => &[],
        }
    }

    /// The request that `values` make. Reads files; the words of an error name what is missing.
    pub(super) fn proof(self, values: &Values) -> Result<Proof, String> {
        let word = |name| {
            let value: Option<&Secret> = values.get(name);
            value.map(|value| value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        };
        let mount = word(MOUNT).unwrap_or_else(|| self.word().to_owned());
        let path = match self {
            Self::Userpass | Self::Ldap => {
                format!("auth/{mount}/login/{}", word(USERNAME).ok_or_else(|| missing(USERNAME))?)
            }
            _ => format!("auth/{mount}/login"),
        };
        let shown = if self.takes().contains(&JWT) { Some(self.shown(values)?) } else { None };
        let mut fields = Vec::new();
        let mut secrets = Vec::new();
        for (field, setting, is_required) in self.fields() {
            let value = if *setting == JWT { shown.as_ref() } else { values.get(setting) };
            match value {
                Some(value) => fields.push((*field, value)),
                None if *is_required => return Err(missing(setting)),
                None => {}
            }
            if *setting != ROLE {
                secrets
                    .extend(value.map(|value| value.expose(|bytes| SecretArena::of_process().secret(bytes))));
            }
        }
        let body = object(&fields).ok_or("a value of the login is no text")?;
        Ok(Proof { path, body, secrets })
    }

    /// The token of somebody whom the store believes: a file's is read at each login, for it is replaced before its end.
    fn shown(self, values: &Values) -> Result<Secret, String> {
        if let Some(jwt) = values.get(JWT) {
            return Ok(jwt.expose(|bytes| SecretArena::of_process().secret(bytes.trim_ascii())));
        }
        let path = match values.get(JWT_FILE) {
            Some(path) => path.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            None if self == Self::Kubernetes => SERVICE_ACCOUNT.to_owned(),
            None => return Err(missing(JWT)),
        };
        let name = named(JWT_FILE, path.as_ref());
        let bytes =
            Zeroizing::new(fs::read(&path).map_err(|error| format!("open {name}: {}", words(&error)))?);
        let token = bytes.trim_ascii();
        if token.is_empty() || token.len() > JWT_BYTES_MAX {
            return Err(format!("what {name} holds is no token"));
        }
        Ok(SecretArena::of_process().secret(token))
    }
}

/// What a login with `values` at the end of `line` would show, as a number that tells it from others. Reads files.
pub(super) fn shown(method: Method, values: &Values, line: &Line) -> u64 {
    let mut all: Vec<(&'static str, Secret)> = Vec::new();
    if method.takes().contains(&JWT_FILE) {
        all.extend(method.shown(values).ok().map(|jwt| (JWT, jwt)));
    }
    if let (Method::Cert, Some((certificate, key))) = (method, &line.identity) {
        for (name, pem) in [(CLIENT_CERT, certificate), (CLIENT_KEY, key)] {
            all.extend(pem.text().ok().map(|text| (name, SecretArena::of_process().secret(&text))));
        }
    }
    let known = values.iter().map(|(name, value)| (*name, value));
    number_of(known.chain(all.iter().map(|(name, value)| (*name, value))))
}

fn missing(name: &str) -> String {
    format!("there is no `{name}` to log in with")
}

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A token of a service account has about 1 KiB.
const JWT_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::vault::testing::settings;
    use crate::testing::TempDir;

    fn request(method: Method, entry: &[(&'static str, &str)]) -> Result<(String, String), String> {
        let proof = method.proof(&settings(entry).1)?;
        Ok((proof.path, String::from_utf8_lossy(&proof.body).into_owned()))
    }

    #[test]
    fn each_method_asks_as_the_store_documents_it() {
        let user = [(USERNAME, "ann"), (PASSWORD, "p\"w")];
        for (method, entry, path, body) in [
            (
                Method::AppRole,
                &[(ROLE_ID, "r"), (SECRET_ID, "s")][..],
                "approle/login",
                r#"{"role_id":"r","secret_id":"s"}"#,
            ),
            (Method::AppRole, &[(ROLE_ID, "r"), (MOUNT, "a/b")], "a/b/login", r#"{"role_id":"r"}"#),
            (
                Method::Kubernetes,
                &[(ROLE, "r"), (JWT, "j\n")],
                "kubernetes/login",
                r#"{"role":"r","jwt":"j"}"#,
            ),
            (Method::Jwt, &[(JWT, "j")], "jwt/login", r#"{"jwt":"j"}"#),
            (Method::Cert, &[], "cert/login", "{}"),
            (Method::Cert, &[(ROLE, "r")], "cert/login", r#"{"name":"r"}"#),
            (Method::Userpass, &user, "userpass/login/ann", r#"{"password":"p\"w"}"#),
            (Method::Ldap, &user, "ldap/login/ann", r#"{"password":"p\"w"}"#),
        ] {
            let expected = (format!("auth/{path}"), body.to_owned());
            assert_eq!(request(method, entry), Ok(expected), "{method:?}");
        }
    }

    #[test]
    fn a_value_that_is_missing_is_named() {
        for (method, name) in [
            (Method::AppRole, ROLE_ID),
            (Method::Kubernetes, ROLE),
            (Method::Jwt, JWT),
            (Method::Userpass, USERNAME),
        ] {
            let entry: &[_] = if method == Method::Kubernetes { &[(JWT, "j")] } else { &[] };
            assert_eq!(
                request(method, entry),
                Err(format!("there is no `{name}` to log in with")),
                "{method:?}"
            );
        }
    }

    #[test]
    fn what_a_login_shows_is_another_thing_when_a_file_has_changed() {
        let dir = TempDir::new();
        let path = |name: &str, content: &str| dir.file(name, content).display().to_string();
        let (token, certificate, key) = (path("token", "one"), path("c.pem", "c"), path("k.pem", "k"));
        let number = |method, entry: &[(&'static str, &str)]| {
            let values = settings(entry).1;
            let said = |name| {
                Ok(entry
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, it)| Zeroizing::new((*it).to_owned())))
            };
            let line = Line::of("https://h.test".parse().expect("an address"), said, |_| None);
            shown(method, &values, &line.unwrap_or_else(|wrong| panic!("{}", wrong.0)))
        };
        let jwt = || number(Method::Jwt, &[(ROLE, "r"), (JWT_FILE, &token)]);
        let cert = || number(Method::Cert, &[(CLIENT_CERT, &certificate), (CLIENT_KEY, &key)]);
        let before = (jwt(), cert());
        assert_eq!((jwt(), cert()), before);
        path("token", "two");
        path("k.pem", "l");
        assert!(jwt() != before.0 && cert() != before.1);
        let words = request(Method::Jwt, &[(JWT_FILE, "eyJhbGciOi")]).expect_err("it is no path");
        assert_eq!(words, "open the file that `jwtFile` names: no such file or directory");
    }

    #[test]
    fn a_token_of_a_service_account_is_read_at_each_login() {
        let dir = TempDir::new();
        let file = dir.path().join("token").display().to_string();
        let entry = [(ROLE, "r"), (JWT_FILE, file.as_str())];
        let words = request(Method::Kubernetes, &entry).expect_err("there is no file");
        assert_eq!(words, format!("open {file}: no such file or directory"));
        for token in ["one", "two"] {
            dir.file("token", &format!("{token}\n"));
            let (_, body) = request(Method::Kubernetes, &entry).expect("there is a file");
            assert_eq!(body, format!(r#"{{"role":"r","jwt":"{token}"}}"#));
        }
        dir.file("token", "\n");
        let words = request(Method::Kubernetes, &entry).expect_err("it is empty");
        assert_eq!(words, format!("what {file} holds is no token"));
    }

    #[test]
    fn every_word_is_found_and_takes_what_it_needs() {
        for method in Method::ALL {
            assert_eq!(Method::of(method.word()), Some(method));
            let needs =
                method.needs().concat().into_iter().filter(|need| ![CLIENT_CERT, CLIENT_KEY].contains(need));
            assert!(needs.into_iter().all(|need| method.takes().contains(&need)), "{method:?}");
        }
        assert_eq!(Method::of("AppRole"), None);
    }
}
