//! Peers that speak TLS: the TLS library over a real socket, so that a test decides about every record.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dataplane::ServerTls;
use protocol::Secret;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection,
    SideData, StreamOwned, SupportedProtocolVersion,
};

/// One connection of the target's.
pub(crate) type TlsTarget = StreamOwned<ServerConnection, TcpStream>;

/// One connection of a client's.
pub(crate) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// What the broker shows its clients, and its certificate, which they trust.
fn identity() -> &'static (ServerTls, CertificateDer<'static>) {
    static IDENTITY: OnceLock<(ServerTls, CertificateDer<'static>)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
        let key = Secret::from_heap(made.signing_key.serialize_pem().into_bytes());
        let tls =
            ServerTls::new(made.cert.pem().as_bytes(), &key, None).expect("the key is the certificate's");
        (tls, made.cert.der().clone())
    })
}

/// See [`identity`].
pub(crate) fn shown_to_clients() -> ServerTls {
    identity().0.clone()
}

/// A connection to the broker whose TLS handshake is over.
pub(crate) fn connect(address: SocketAddr, version: &'static SupportedProtocolVersion) -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(identity().1.clone()).expect("a certificate can be trusted");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("the version is built in")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut connection =
        ClientConnection::new(Arc::new(config), name).expect("the configuration is complete");
    let mut socket = TcpStream::connect(address).expect("the broker listens");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket can have a deadline");
    socket.set_write_timeout(Some(Duration::from_secs(30))).expect("a socket can have a deadline");
    // The broker is asked for TLS, and does not have to answer before it begins.
    let mut hello = b"t".to_vec();
    connection.write_tls(&mut hello).expect("memory takes everything");
    socket.write_all(&hello).expect("the broker receives");
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).expect("the broker finishes the TLS handshake");
    }
    connection.set_buffer_limit(None);
    StreamOwned::new(connection, socket)
}

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
pub(crate) fn send_tiny_records<C, S>(peer: &mut StreamOwned<C, TcpStream>, data: &[u8])
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    let mut records = Vec::new();
    for byte in data {
        peer.conn.writer().write_all(&[*byte]).expect("there is no limit");
        while peer.conn.wants_write() {
            peer.conn.write_tls(&mut records).expect("memory takes everything");
        }
    }
    peer.sock.write_all(&records).expect("the broker receives");
}

/// Says that nothing more comes, and leaves the socket as it is.
pub(crate) fn close<C, S>(peer: &mut StreamOwned<C, TcpStream>)
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    peer.conn.send_close_notify();
    peer.flush().expect("the broker receives");
}
