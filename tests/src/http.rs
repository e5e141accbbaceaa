//! A plain HTTP request, for the admin address and for a secret store.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::failure::{Doing, Failure, Result};
use crate::wait::GENEROUS;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// What follows them.
    pub body: String,
}

/// `GET path`, on a connection of its own.
pub fn get(server: SocketAddr, path: &str) -> Result<Response> {
    request(server, "GET", path)
}

/// A request without a body, on a connection of its own.
pub fn request(server: SocketAddr, method: &str, path: &str) -> Result<Response> {
    exchange(server, &format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"))
}

/// A request with these headers and a body. It is one of HTTP/1.0, so that what comes back comes in one piece.
pub fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    exchange(
        server,
        &format!(
            "{method} {path} HTTP/1.0\r\nHost: {server}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
}

fn exchange(server: SocketAddr, request: &str) -> Result<Response> {
    let mut stream = TcpStream::connect(server).doing(format_args!("connect to {server}"))?;
    stream.set_read_timeout(Some(GENEROUS)).doing("set a deadline")?;
    let what = request.split(" HTTP").next().unwrap_or_default();
    stream.write_all(request.as_bytes()).doing(format_args!("ask {server} for {what}"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).doing(format_args!("read {what} from {server}"))?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Failure::new(format!("{server} does not answer in HTTP: {text:?}")))?;
    Ok(Response { status, head: head.to_owned(), body: body.to_owned() })
}
