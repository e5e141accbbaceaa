//! A target that speaks TLS: the TLS library's own server over a real socket, so that a test decides about every record.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

/// One connection of the target's.
pub(crate) type TlsTarget = StreamOwned<ServerConnection, TcpStream>;

/// A server of one version, with a certificate that nobody knows.
pub(crate) fn server(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("rcgen writes PKCS #8");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("the version is built in")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    config.max_early_data_size = 16_384;
    Arc::new(config)
}

/// Takes one connection and finishes its TLS handshake.
pub(crate) fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> TlsTarget {
    let (socket, _) = listener.accept().expect("a listener accepts");
    greet(socket, config)
}

/// Finishes the TLS handshake of a connection.
pub(crate) fn greet(mut socket: TcpStream, config: &Arc<ServerConfig>) -> TlsTarget {
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket can have a deadline");
    socket.set_write_timeout(Some(Duration::from_secs(30))).expect("a socket can have a deadline");
    let mut connection = ServerConnection::new(Arc::clone(config)).expect("the configuration is complete");
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).expect("the broker finishes the TLS handshake");
    }
    connection.set_buffer_limit(None);
    StreamOwned::new(connection, socket)
}

/// Sends each byte of `data` as a record of its own, all at once.
pub(crate) fn send_tiny_records(target: &mut TlsTarget, data: &[u8]) {
    let mut records = Vec::new();
    for byte in data {
        target.conn.writer().write_all(&[*byte]).expect("there is no limit");
        while target.conn.wants_write() {
            target.conn.write_tls(&mut records).expect("memory takes everything");
        }
    }
    target.sock.write_all(&records).expect("the broker receives");
}

/// Says that nothing more comes, and leaves the socket as it is.
pub(crate) fn close(target: &mut TlsTarget) {
    target.conn.send_close_notify();
    target.flush().expect("the broker receives");
}
