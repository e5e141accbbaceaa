//! One fetch's talk with the store.
//!
//! Owns what every request has: the namespace, the token, a redirect that is followed once. Its errors hold an address and a path,
//! and never a token or a byte of an answer. Knows nothing of what answers mean.

use std::fmt::Write;
use std::time::{Duration, Instant};

use protocol::Secret;
use ureq::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ureq::http::{Method, Request, Uri};

use super::site::{Site, strange_path};
use crate::web;
use crate::web::client::{Answer, CODED, Sent};
use crate::web::header::secret_header;

/// A client for one fetch.
pub(super) struct Client {
    http: web::client::Client,
    address: Uri,
    namespace: Option<HeaderValue>,
}

/// A request.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a Method,
    token: Option<&'a Secret>,
    /// JSON; empty is none.
    body: &'a [u8],
}

impl Client {
    /// A client for `site`, or why there can be none: a file that is missing, say.
    pub(super) fn new(site: &Site, deadline: Instant) -> Result<Self, String> {
        let namespace = site.namespace.as_deref().map(HeaderValue::from_str).transpose();
        Ok(Self {
            http: web::client::Client::new(&site.line, deadline)?,
            address: site.line.address.clone(),
            namespace: namespace.map_err(|_| "the namespace cannot be sent as it is".to_owned())?,
        })
    }

    /// Reads `path`, which stands behind `/v1/`; `query` is ready to be sent.
    pub(super) fn get(&self, path: &str, query: &str, token: &Secret) -> Result<Answer, String> {
        let ask = Ask { method: &Method::GET, token: Some(token), body: &[] };
        self.ask(ask, "Get", &format!("{}{query}", encoded(path)))
    }

    /// Writes `body`, which is JSON, to `path`.
    pub(super) fn put(&self, path: &str, token: Option<&Secret>, body: &[u8]) -> Result<Answer, String> {
        self.ask(Ask { method: &Method::PUT, token, body }, "Put", &encoded(path))
    }

    /// The namespace that all paths are in, for people.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref()?.to_str().ok()
    }

    /// What is strange about the store's address.
    pub(super) fn strange_path(&self) -> Option<&'static str> {
        strange_path(&self.address)
    }

    /// How long the store wants to be left alone, if it has said so.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.http.rest()
    }

    fn ask(&self, ask: Ask<'_>, verb: &str, path: &str) -> Result<Answer, String> {
        let url = format!("{}v1/{path}", with_slash(&self.address));
        let failed = |reason: &str| format!("{verb} \"{url}\": {reason}");
        let next = match self.send(&url, ask).map_err(|reason| failed(&reason))? {
            Sent::Answer(answer) => return Ok(answer),
            Sent::Coded => return Err(failed(CODED)),
            // A store that stands by names the one that is active. What we are known by goes along, as with the store's own
            // client, so it goes nowhere in clear that was not in clear before.
            Sent::Redirect(location) => location
                .filter(|next| next.scheme() == self.address.scheme() && next.host().is_some())
                .ok_or_else(|| failed("it names another address that is not to be followed"))?,
        };
        match self.send(&next.to_string(), ask).map_err(|reason| failed(&reason))? {
            Sent::Answer(answer) => Ok(answer),
            Sent::Coded => Err(failed(CODED)),
            Sent::Redirect(_) => Err(failed("it names another address again and again")),
        }
    }

    fn send(&self, url: &str, ask: Ask<'_>) -> Result<Sent, String> {
        // So that a page that somebody's browser shows cannot have an agent ask in its own name.
        let mut request = Request::builder().method(ask.method).uri(url).header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(token) = ask.token {
            let value = token.expose(secret_header).ok_or("the token cannot be sent")?;
            request = request.header(HeaderName::from_static("x-vault-token"), value);
        }
        let cannot = |_| "it cannot be asked".to_owned();
        if ask.body.is_empty() {
            return self.http.run(request.body(()).map_err(cannot)?);
        }
        self.http.run(request.header(CONTENT_TYPE, "application/json").body(ask.body).map_err(cannot)?)
    }
}

fn with_slash(address: &Uri) -> String {
    let mut text = address.to_string();
    if !text.ends_with('/') {
        text.push('/');
    }
    text
}

/// A path as it stands in an address.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => _ = write!(text, "%{byte:02X}"),
        }
    }
    text
}
