//! A plain HTTP request, for the admin address.

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
    let mut stream = TcpStream::connect(server).doing(format_args!("connect to {server}"))?;
    stream.set_read_timeout(Some(GENEROUS)).doing("set a deadline")?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")
        .doing(format_args!("ask {server} for {path}"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).doing(format_args!("read {path} from {server}"))?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Failure::new(format!("{server} does not answer in HTTP: {text:?}")))?;
    Ok(Response { status, head: head.to_owned(), body: body.to_owned() })
}
