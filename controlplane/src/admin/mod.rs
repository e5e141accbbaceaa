//! The admin address: health and metrics over HTTP.
//!
//! Owns the server and its bounds. What is true is asked of [`Facts`] at each request; nothing is kept.

mod health;
mod metrics;
mod process_gauges;
mod service_metrics;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{spawn_blocking, spawn_local};

pub(crate) use health::Health;
pub(crate) use metrics::{FetchCount, Metrics, Scrape};
pub(crate) use service_metrics::ServiceMetrics;

/// Connections at once. Whoever comes beyond that waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long a request's head may take, and a connection be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take nothing of an answer, in milliseconds: 64 of those would keep out whoever asks whether we
/// live.
const WRITE_TIMEOUT_MS: u32 = 10_000;

/// What a request's head may hold; the smallest that the HTTP library takes.
const HEAD_MAX: usize = 8 * 1024;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is true at the moment.
pub(crate) trait Facts {
    /// How the broker is.
    fn health(&self) -> Health;

    /// What it has counted.
    fn metrics(&self) -> Scrape;
}

/// A bound admin address.
pub(crate) struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds, on the running runtime.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// Answers requests until it is dropped; on a local task set.
    pub(crate) async fn serve(self, facts: Rc<impl Facts + 'static>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((socket, _)) = self.listener.accept().await else {
                // No descriptor is left, most likely: others need the next one more.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // Without the option a client is only less well watched.
            let _ = sockopt::set_tcp_user_timeout(&socket, WRITE_TIMEOUT_MS);
            let facts = Rc::clone(&facts);
            spawn_local(async move {
                let answer = service_fn(|request: Request<Incoming>| {
                    let facts = Rc::clone(&facts);
                    async move {
                        let (method, uri) = (request.method(), request.uri());
                        Ok::<_, Infallible>(answer(method, uri.path(), uri.query(), &*facts).await)
                    }
                });
                let mut connection = http1::Builder::new();
                connection.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX);
                // A client that breaks off or speaks no HTTP concerns nobody.
                drop(connection.serve_connection(TokioIo::new(socket), answer).await);
                drop(place);
            });
        }
    }
}

/// The answer to one request.
async fn answer(
    method: &Method,
    path: &str,
    query: Option<&str>,
    facts: &impl Facts,
) -> Response<Full<Bytes>> {
    let full = query.is_some_and(|query| query.split('&').any(|pair| pair == "full=1"));
    let checks = match path {
        "/live" | "/livez" | "/healthz" => Some(Health::live as fn(&Health) -> health::Checks),
        "/ready" | "/readyz" => Some(Health::ready as fn(&Health) -> health::Checks),
        "/metrics" => None,
        _ => return respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n".to_owned()),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut refusal = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match checks {
        None => {
            let scrape = facts.metrics();
            match spawn_blocking(move || scrape.render()).await {
                Ok(page) => respond(StatusCode::OK, OPEN_METRICS, page),
                Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no page\n".to_owned()),
            }
        }
        Some(checks) => {
            let checks = checks(&facts.health());
            let status = if checks.all_pass() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            respond(status, JSON, if full { checks.to_json() } else { "{}\n".to_owned() })
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::testing::block_on;

    struct Fixed(Health);

    impl Facts for Fixed {
        fn health(&self) -> Health {
            self.0.clone()
        }

        fn metrics(&self) -> Scrape {
            Scrape::new(Metrics::default(), Vec::new())
        }
    }

    fn get(path: &str, query: Option<&str>, health: &Health) -> (u16, String) {
        let response = block_on(answer(&Method::GET, path, query, &Fixed(health.clone())));
        let status = response.status().as_u16();
        let body = block_on(response.into_body().collect()).expect("a body in memory").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("our answers are text"))
    }

    #[test]
    fn a_broker_that_serves_is_live_and_ready() {
        let health = Health::default();
        for path in ["/live", "/livez", "/healthz", "/ready", "/readyz"] {
            assert_eq!(get(path, None, &health), (200, "{}\n".into()), "{path}");
        }
        let full = "{\n    \"listening\": \"OK\",\n    \"ready\": \"OK\"\n}\n";
        assert_eq!(get("/ready", Some("full=1"), &health), (200, full.into()));
    }

    #[test]
    fn what_is_missing_is_named_and_does_not_end_its_life() {
        let health = Health {
            dead_listeners: vec![("pg".into(), "bad \"file\" descriptor".into())],
            missing_credentials: vec![("pg".into(), "open /x: no such file or directory".into())],
            ..Health::default()
        };
        assert_eq!(get("/live", None, &health).0, 200);
        let (status, body) = get("/ready", Some("full=1"), &health);
        assert_eq!(status, 503);
        assert_eq!(
            body,
            "{\n    \"credential pg\": \"open /x: no such file or directory\",\n    \
             \"listener pg\": \"bad \\\"file\\\" descriptor\",\n    \
             \"listening\": \"secretless is not listening\",\n    \"ready\": \"secretless is not ready\"\n}\n"
        );
    }

    #[test]
    fn a_stopping_broker_is_not_ready_and_a_stuck_one_not_live() {
        let stopping = Health { stopping: true, ..Health::default() };
        assert_eq!((get("/live", None, &stopping).0, get("/ready", None, &stopping).0), (200, 503));
        let (_, body) = get("/ready", Some("full=1"), &stopping);
        assert!(body.contains("\"listening\": \"secretless is not listening\""), "{body}");
        let stuck = Health { stuck_workers: vec![1], ..Health::default() };
        assert_eq!((get("/live", None, &stuck).0, get("/ready", None, &stuck).0), (503, 503));
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        let refused = block_on(answer(&Method::POST, "/live", None, &Fixed(Health::default())));
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(get("/", None, &Health::default()).0, 404);
    }
}
