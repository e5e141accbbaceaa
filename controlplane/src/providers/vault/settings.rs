//! How to reach a store and who to be there.
//!
//! Owns the settings as one value, and what the environment says about them: the variables of the store's own client,
//! which the Go broker reads. Nothing is read from files here but the file of a token, whose content may change.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Secret;
use rustls::pki_types::ServerName;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::proxy::Proxying;
use super::wire::server_name;

/// Everything about one store.
pub(super) struct Settings {
    /// Its base address: scheme, host, and perhaps a port and a path.
    pub(super) address: Uri,
    /// The namespace that all paths are in.
    pub(super) namespace: Option<String>,
    /// The roots that its certificate may come from, if not the system's.
    pub(super) roots: Option<Roots>,
    /// Our own certificate and its key, if the store asks for one: files of PEM.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// The name that its certificate has, if that is not its host.
    pub(super) server_name: Option<ServerName<'static>>,
    /// Whether any certificate will do.
    pub(super) skip_verify: bool,
    /// How long one fetch may take.
    pub(super) timeout: Duration,
    /// How often a fetch is tried again within that time.
    pub(super) retries: u32,
    /// The proxy in between.
    pub(super) proxy: Proxying,
    /// Where the token comes from.
    pub(super) token: TokenFrom,
}

/// Files of PEM.
pub(super) enum Roots {
    File(PathBuf),
    Folder(PathBuf),
}

/// Where a token comes from that somebody else has got for us. It is never revoked here.
pub(super) enum TokenFrom {
    /// Itself.
    Value(Secret),
    /// A file, read at each fetch: whoever renews the token replaces the file.
    File(PathBuf),
}

/// A setting that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl Settings {
    /// What the environment says. `variable` gives a variable of this name.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Wrong> {
        let known = |name: &str| {
            // OpenBao's own client looks for its own name first. An empty variable is none, as in Go.
            let ours = ["BAO", "VAULT"].map(|prefix| format!("{prefix}_{name}"));
            ours.into_iter().find_map(|name| Some((variable(&name).filter(|value| !value.is_empty())?, name)))
        };
        let text = |name: &str| known(name).map(|(value, _)| value);
        let given = known("AGENT_ADDR").or_else(|| known("ADDR"));
        let (address, name) = given.unwrap_or_else(|| (ADDRESS.to_owned(), "VAULT_ADDR".to_owned()));
        let address = base(&address).map_err(|reason| Wrong(format!("{name} {reason}")))?;
        let identity = match (text("CLIENT_CERT"), text("CLIENT_KEY")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => return Err(Wrong("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY need each other".into())),
        };
        let server_name = parsed(known("TLS_SERVER_NAME"), "is no name of a server", server_name)?;
        let proxy = parsed(
            known("PROXY_ADDR").or_else(|| known("HTTP_PROXY")),
            "is no address of an HTTP proxy",
            Proxying::always,
        )?;
        Ok(Self {
            proxy: match proxy {
                Some(proxy) => proxy,
                None => Proxying::from_environment(&address, &variable).map_err(Wrong)?,
            },
            address,
            namespace: text("NAMESPACE"),
            roots: text("CACERT")
                .map(|path| Roots::File(path.into()))
                .or_else(|| Some(Roots::Folder(text("CAPATH")?.into()))),
            identity,
            server_name,
            skip_verify: parsed(known("SKIP_VERIFY"), "is neither `true` nor `false`", boolean)?
                .unwrap_or_default(),
            timeout: parsed(known("CLIENT_TIMEOUT"), "is no time like `30s`", duration)?.unwrap_or(TIMEOUT),
            retries: parsed(known("MAX_RETRIES"), "is no number of tries", |text| text.parse().ok())?
                .unwrap_or(RETRIES),
            token: match text("TOKEN") {
                Some(token) => TokenFrom::Value(Secret::from_heap(token.into_bytes())),
                None => TokenFrom::File(
                    variable("HOME").map_or_else(PathBuf::new, PathBuf::from).join(TOKEN_FILE),
                ),
            },
        })
    }
}

impl TokenFrom {
    /// The token as it is now, or why there is none.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let (bytes, place) = match self {
            Self::Value(token) => (Zeroizing::new(token.expose(<[u8]>::to_vec)), "VAULT_TOKEN".to_owned()),
            Self::File(path) => {
                let place = path.display().to_string();
                let bytes = fs::read(path).map_err(|error| {
                    let words = crate::os_words::words(&error);
                    format!("there is no token: VAULT_TOKEN is not set, and {place} cannot be read: {words}")
                })?;
                (Zeroizing::new(bytes), place)
            }
        };
        let token = Zeroizing::new(bytes.trim_ascii().to_vec());
        // What it is goes into a header.
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.iter().all(u8::is_ascii_graphic) {
            return Err(format!("what {place} holds is no token"));
        }
        Ok(token)
    }
}

/// A variable's value as what it means.
fn parsed<T>(
    given: Option<(String, String)>,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    let Some((value, name)) = given else { return Ok(None) };
    // The value is not shown: a proxy's address may hold a password.
    parse(&value).map(Some).ok_or_else(|| Wrong(format!("{name} {expected}")))
}

/// An address that paths can be put behind.
pub(super) fn base(text: &str) -> Result<Uri, &'static str> {
    let address: Uri = text.parse().map_err(|_| "is no address like https://vault.example.com:8200")?;
    match address.scheme_str() {
        Some("http" | "https") => {}
        Some("unix") => return Err("is a Unix socket: name the store's address, or the agent's on loopback"),
        _ => return Err("has no scheme: write https://HOST:PORT"),
    }
    let authority = address.authority().ok_or("names no host")?;
    if authority.as_str().contains('@') {
        return Err("holds a user or a password: the store takes a token");
    }
    if address.query().is_some() {
        return Err("has a `?`: it is an address alone");
    }
    Ok(address)
}

/// As Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A number of seconds, or numbers with units, as Go writes them: `90`, `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|time| !time.is_zero());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        let unit = &rest[number_end..];
        let unit_end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let seconds = match &unit[..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &unit[unit_end..];
    }
    Some(total).filter(|time| !time.is_zero())
}

/// Where the Go client looks for a store.
const ADDRESS: &str = "https://127.0.0.1:8200";

/// Less than the 60 s of the store's own client: whoever waits for a connection does not wait that long.
const TIMEOUT: Duration = Duration::from_secs(15);

/// As the store's own client.
const RETRIES: u32 = 2;

/// Where the store's own client keeps the token of whoever has logged in.
const TOKEN_FILE: &str = ".vault-token";

/// Tokens of batches are JSON in disguise, and still far shorter.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Wrong> {
        Settings::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn good(variables: &[(&str, &str)]) -> Settings {
        settings(variables).unwrap_or_else(|wrong| panic!("{wrong:?}"))
    }

    #[test]
    fn an_empty_environment_is_the_store_on_this_machine_and_the_token_of_its_own_client() {
        let settings = good(&[("HOME", "/users/app"), ("VAULT_NAMESPACE", "")]);
        assert_eq!(settings.address.to_string(), "https://127.0.0.1:8200/");
        assert_eq!(settings.namespace, None);
        assert!(matches!(&settings.token, TokenFrom::File(path) if path == "/users/app/.vault-token"));
        assert_eq!((settings.timeout, settings.retries), (Duration::from_secs(15), 2));
    }

    #[test]
    fn openbaos_own_names_win() {
        let settings = good(&[
            ("VAULT_ADDR", "http://one"),
            ("BAO_ADDR", "http://two:8200"),
            ("BAO_NAMESPACE", ""),
            ("VAULT_NAMESPACE", "team"),
        ]);
        assert_eq!(settings.address.to_string(), "http://two:8200/");
        assert_eq!(settings.namespace.as_deref(), Some("team"));
    }

    #[test]
    fn a_wrong_variable_is_named_and_not_shown() {
        for (name, value) in [
            ("VAULT_ADDR", "hunter2.example.com"),
            ("VAULT_ADDR", "http://hunter2@host"),
            ("VAULT_ADDR", "unix:///hunter2"),
            ("BAO_SKIP_VERIFY", "hunter2"),
            ("VAULT_CLIENT_TIMEOUT", "hunter2"),
            ("VAULT_CLIENT_TIMEOUT", "0"),
            ("VAULT_MAX_RETRIES", "hunter2"),
            ("VAULT_CLIENT_CERT", "/hunter2.pem"),
            ("VAULT_PROXY_ADDR", "socks5://hunter2"),
            ("VAULT_TLS_SERVER_NAME", "hunter2 hunter2"),
        ] {
            let wrong = settings(&[(name, value)]).err().unwrap_or_else(|| panic!("{name}={value} passed"));
            assert!(wrong.0.starts_with(name), "{wrong:?}");
            assert!(!wrong.0.contains("hunter2"), "{wrong:?}");
        }
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        let millis = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(millis("90"), Some(90_000));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1.5s"), Some(1_500));
        assert_eq!(millis("500ms"), Some(500));
        for wrong in ["", "s", "1x", "-1s", "1s2", "0", "0s", "9999999999999999999999h"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_lies_in_the_environment_or_in_a_file_that_may_change() {
        let settings = good(&[("VAULT_TOKEN", "s.one")]);
        assert_eq!(settings.token.read().as_deref().map(Vec::as_slice), Ok(&b"s.one"[..]));

        let dir = TempDir::new();
        let home = dir.path().display().to_string();
        let settings = good(&[("HOME", &home)]);
        let words = settings.token.read().expect_err("there is no file");
        assert!(words.contains(".vault-token cannot be read: no such file or directory"), "{words}");
        for token in ["s.two\n", "s.three"] {
            dir.file(".vault-token", token);
            assert_eq!(settings.token.read().as_deref().map(Vec::as_slice), Ok(token.trim().as_bytes()));
        }
        for hostile in ["", "\n", "two words", "s.four\r\nX-Evil: 1", &"x".repeat(8_193)] {
            dir.file(".vault-token", hostile);
            let words = settings.token.read().expect_err("no token");
            assert!(words.ends_with(".vault-token holds is no token"), "{words}");
        }
    }
}
