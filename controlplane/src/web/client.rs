//! One fetch's talk with a store.
//!
//! Owns a client of HTTP that lives as long as a fetch, so that no buffer outlives it, and what every request has: the deadline,
//! and a bound on the answer. Its errors hold never a byte of an answer. Knows nothing of what answers mean.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use ureq::http::header::{CONTENT_ENCODING, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use ureq::http::{HeaderMap, Request, StatusCode, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, AsSendBody, Error, ProxyProtocol, Timeout};
use zeroize::Zeroizing;

use super::line::Line;
use super::tls;
use super::wire::{BUFFER_BYTES, Encryption, Sockets};
use crate::os_words::words;

/// A client for one fetch.
pub(crate) struct Client {
    agent: Agent,
    deadline: Instant,
    /// Whether there is no TLS.
    is_clear: bool,
    /// The proxy in between, for people, and whether it speaks TLS itself.
    proxy: Option<String>,
    has_tls_proxy: bool,
    /// How long the store wants to be left alone, if it has said so.
    rest: Cell<Option<Duration>>,
}

/// What a store has said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body, wiped when it goes.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What came back.
pub(crate) enum Sent {
    Answer(Answer),
    /// Another address, if it can be read. It is not followed here.
    Redirect(Option<Uri>),
    /// An answer in a coding that was not asked for: its bytes are not what they stand for.
    Coded,
}

impl Client {
    /// A client for what is at the end of `line`, or why there can be none: a file that is missing, say.
    pub(crate) fn new(line: &Line, deadline: Instant) -> Result<Self, String> {
        let proxy = match &line.proxy.0 {
            Some(proxy) if proxy.protocol() == ProxyProtocol::Https => Some(tls::proxy_config()?),
            _ => None,
        };
        let has_tls_proxy = proxy.is_some();
        let encryption = Encryption {
            config: if line.is_encrypted() { Some(tls::config(line)?) } else { None },
            is_proxied: line.proxy.0.is_some(),
            proxy,
            server_name: line.server_name.clone(),
            host: line.address.host().unwrap_or_default().to_owned(),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("secretless-broker")
            .proxy(line.proxy.0.clone())
            .max_response_header_size(BUFFER_BYTES / 2)
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default()).chain(Sockets { deadline }).chain(encryption);
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        Ok(Self {
            agent,
            deadline,
            is_clear: !line.is_encrypted(),
            proxy: line.proxy.name(),
            has_tls_proxy,
            rest: Cell::new(None),
        })
    }

    /// How long the store wants to be left alone, if it has said so.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.rest.get()
    }

    /// Sends `request`. Blocks.
    pub(crate) fn run(&self, request: Request<impl AsSendBody>) -> Result<Sent, String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("i/o timeout".to_owned());
        }
        let configured = self.agent.configure_request(request).timeout_global(Some(left)).build();
        let mut response = self.agent.run(configured).map_err(|error| self.describe(&error))?;
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
        // Beside another status it is about what was asked for, and not about the store.
        let is_about_all = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(seconds) = response.headers().get(RETRY_AFTER).filter(|_| is_about_all) {
            let seconds = seconds.to_str().ok().and_then(|seconds| seconds.parse().ok());
            self.rest.set(seconds.map(Duration::from_secs));
        }
        if status.is_success() && is_coded(response.headers()) {
            return Ok(Sent::Coded);
        }
        let body = read(response.body_mut().as_reader())?;
        if status == StatusCode::BAD_REQUEST
            && self.is_clear
            && WANTS_TLS.iter().any(|words| contains(&body, words))
        {
            return Err("what answers there wants TLS: write `https://`".to_owned());
        }
        Ok(Sent::Answer(Answer { status: status.as_u16(), body }))
    }
}

impl Client {
    /// What went wrong, and whose fault that is where a proxy stands in between: nobody else is dialled then.
    fn describe(&self, error: &Error) -> String {
        let words = describe(error, !self.has_tls_proxy);
        let is_dialling = match error {
            Error::Io(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
            ),
            Error::HostNotFound | Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
            _ => false,
        };
        match (&self.proxy, error) {
            (Some(proxy), Error::ConnectProxyFailed(_)) => {
                format!("the proxy {proxy} does not open a line to it")
            }
            (Some(proxy), _) if is_dialling => format!("the proxy {proxy}: {words}"),
            _ => words,
        }
    }
}

/// Whether a body is something else than its bytes (RFC 9110, section 8.4, and RFC 9112, section 6.1). We accept no coding.
fn is_coded(headers: &HeaderMap) -> bool {
    let is_other = |name, known: &str| {
        headers.get_all(name).iter().any(|value| {
            let codings = value.to_str().unwrap_or("?").split(',').map(str::trim);
            codings
                .into_iter()
                .any(|coding| !["", "identity", known].iter().any(|known| coding.eq_ignore_ascii_case(known)))
        })
    };
    is_other(CONTENT_ENCODING, "identity") || is_other(TRANSFER_ENCODING, "chunked")
}

/// The whole body. Its memory does not grow, so that nothing of it is left behind.
fn read(mut source: impl Read) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_USUAL));
    let mut chunk = Zeroizing::new([0; 4096]);
    loop {
        let count = source.read(&mut *chunk).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => describe(&error, true),
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

/// What went wrong on the way, without a byte of what came. `is_stores` says that all TLS on it is the store's.
fn describe(error: &Error, is_stores: bool) -> String {
    match error {
        Error::Io(error) => {
            let inner = error.get_ref();
            match (
                inner.and_then(|it| it.downcast_ref()),
                inner.and_then(|it| it.downcast_ref::<io::Error>()),
            ) {
                (Some(error), _) => {
                    format!("tls: {}{}", tls::words(error), if is_stores { tls::hint(error) } else { "" })
                }
                (None, Some(error)) => words(error),
                (None, None) => words(error),
            }
        }
        Error::Timeout(Timeout::Resolve) => "lookup: i/o timeout".to_owned(),
        Error::Timeout(_) => "i/o timeout".to_owned(),
        Error::HostNotFound => "no such host".to_owned(),
        Error::ConnectProxyFailed(_) => "the proxy does not open a line to it".to_owned(),
        Error::LargeResponseHeader(..) => "the answer's head is too long".to_owned(),
        Error::Protocol(_) | Error::Http(_) => "the answer is not HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

/// What is said of [`Sent::Coded`].
pub(crate) const CODED: &str = "the answer is compressed, which was not asked for";

/// What servers say to whoever talks to them in clear and should not: those written in Go, nginx, and Apache.
const WANTS_TLS: [&str; 3] = [
    "Client sent an HTTP request to an HTTPS server",
    "The plain HTTP request was sent to HTTPS port",
    "speaking plain HTTP to an SSL-enabled server port",
];

fn contains(body: &[u8], words: &str) -> bool {
    body.windows(words.len()).any(|part| part == words.as_bytes())
}

/// A secret of Vault has 1 MiB at most in stores as they are set up usually.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Spares all usual answers a second buffer.
const BODY_BYTES_USUAL: usize = 16 * 1024;

/// What is waited for beyond the deadline: the client keeps it, and is only seen to.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
