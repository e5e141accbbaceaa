//! One fetch's talk with the store.
//!
//! Owns a client of HTTP that lives as long as a fetch, so that no buffer outlives it, and what every request has: the
//! namespace, the token, the deadline, a bound on the answer. Its errors hold an address and a path, and never a token or
//! a byte of an answer. Knows nothing of what answers mean.

use std::cell::Cell;
use std::fmt::Write;
use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::Secret;
use ureq::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use ureq::http::{Method, Request, StatusCode, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, AsSendBody, Error, Timeout};
use zeroize::Zeroizing;

use super::site::Site;
use super::tls;
use super::wire::{BUFFER_BYTES, Encryption, Sockets};
use crate::os_words::words;

/// A client for one fetch.
pub(super) struct Client {
    agent: Agent,
    address: Uri,
    namespace: Option<HeaderValue>,
    deadline: Instant,
    /// How long the store wants to be left alone, if it has said so.
    rest: Cell<Option<Duration>>,
}

/// A request.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a Method,
    token: Option<&'a Secret>,
    /// JSON; empty is none.
    body: &'a [u8],
}

/// What the store has said.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body, wiped when it goes.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Client {
    /// A client for `site`, or why there can be none: a file that is missing, say.
    pub(super) fn new(site: &Site, deadline: Instant) -> Result<Self, String> {
        let address = site.address.clone();
        let is_tls = address.scheme_str() == Some("https");
        let encryption = Encryption {
            config: if is_tls { Some(tls::config(site)?) } else { None },
            server_name: site.server_name.clone(),
            host: address.host().unwrap_or_default().to_owned(),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("secretless-broker")
            .proxy(site.proxy.0.clone())
            .max_response_header_size(BUFFER_BYTES / 2)
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(Sockets).chain(encryption);
        let namespace = site.namespace.as_deref().map(HeaderValue::from_str).transpose();
        Ok(Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            address,
            namespace: namespace.map_err(|_| "the namespace cannot be sent as it is".to_owned())?,
            deadline,
            rest: Cell::new(None),
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

    /// How long the store wants to be left alone, if it has said so.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.rest.get()
    }

    fn ask(&self, ask: Ask<'_>, verb: &str, path: &str) -> Result<Answer, String> {
        let url = format!("{}v1/{path}", with_slash(&self.address));
        let failed = |reason: &str| format!("{verb} \"{url}\": {reason}");
        let next = match self.send(&url, ask).map_err(|reason| failed(&reason))? {
            Sent::Answer(answer) => return Ok(answer),
            // A store that stands by names the one that is active. What we are known by goes along, as with the store's own
            // client, so it goes nowhere in clear that was not in clear before.
            Sent::Redirect(location) => location
                .filter(|next| next.scheme() == self.address.scheme() && next.host().is_some())
                .ok_or_else(|| failed("it names another address that is not to be followed"))?,
        };
        match self.send(&next.to_string(), ask).map_err(|reason| failed(&reason))? {
            Sent::Answer(answer) => Ok(answer),
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
            return self.run(request.body(()).map_err(cannot)?);
        }
        self.run(request.header(CONTENT_TYPE, "application/json").body(ask.body).map_err(cannot)?)
    }

    fn run(&self, request: Request<impl AsSendBody>) -> Result<Sent, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("i/o timeout".to_owned());
        }
        let configured = self.agent.configure_request(request).timeout_global(Some(left)).build();
        let mut response = self.agent.run(configured).map_err(|error| describe(&error))?;
        let status = response.status();
        if matches!(
            status,
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        ) {
            let location =
                response.headers().get(LOCATION).and_then(|value| value.to_str().ok()?.parse().ok());
            return Ok(Sent::Redirect(location));
        }
        if let Some(seconds) = response.headers().get(RETRY_AFTER).filter(|_| !status.is_success()) {
            let seconds = seconds.to_str().ok().and_then(|seconds| seconds.parse().ok());
            self.rest.set(seconds.map(Duration::from_secs));
        }
        let body = read(response.body_mut().as_reader())?;
        Ok(Sent::Answer(Answer { status: status.as_u16(), body }))
    }
}

enum Sent {
    Answer(Answer),
    Redirect(Option<Uri>),
}

/// A header whose memory is wiped, and which prints as nothing.
fn secret_header(bytes: &[u8]) -> Option<HeaderValue> {
    let owned = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
    let mut value = HeaderValue::from_maybe_shared(owned).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The whole body. Its memory does not grow, so that nothing of it is left behind.
fn read(mut source: impl Read) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_USUAL));
    let mut chunk = Zeroizing::new([0; 4096]);
    loop {
        let count = source.read(&mut *chunk).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => describe(&error),
            Err(error) => words(&error),
        })?;
        if count == 0 {
            return Ok(body);
        }
        if body.len() + count > BODY_BYTES_MAX {
            return Err(format!("the answer is larger than {BODY_BYTES_MAX} bytes"));
        }
        if body.len() + count > body.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity((body.capacity() * 2).min(BODY_BYTES_MAX)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk[..count]);
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

/// What went wrong on the way, without a byte of what came.
fn describe(error: &Error) -> String {
    match error {
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => format!("tls: {error}"),
            None => words(error),
        },
        Error::Timeout(Timeout::Resolve) => "lookup: i/o timeout".to_owned(),
        Error::Timeout(_) => "i/o timeout".to_owned(),
        Error::HostNotFound => "no such host".to_owned(),
        Error::ConnectProxyFailed(_) => "the proxy does not open a line to it".to_owned(),
        Error::LargeResponseHeader(..) => "the answer's head is too long".to_owned(),
        Error::Protocol(_) | Error::Http(_) => "the answer is not HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

/// A secret of KV has 1 MiB at most in stores as they are set up usually.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Spares all usual answers a second buffer.
const BODY_BYTES_USUAL: usize = 16 * 1024;

/// What is waited for beyond the deadline: the client keeps it, and is only seen to.
pub(super) const GRACE: Duration = Duration::from_secs(2);
