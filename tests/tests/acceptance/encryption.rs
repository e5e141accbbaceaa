//! How far a target's certificate is checked, beyond what the matrix covers.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use tests::broker::{Service, pg};
use tests::certificates::{Authority, Identity};
use tests::postgres::{Cluster, Login, Major, Options};
use tests::pretend::Pretender;

use crate::support::{assert_is_ours, broker, psql, refusal};

/// A server with this certificate.
fn server(identity: Identity) -> (Cluster, Login) {
    let tls = Some((identity, Authority::shared().certificate.clone()));
    let options = Options { tls, ..Options::default() };
    let cluster = Cluster::start(&Major::Distribution.installation().unwrap(), &options).unwrap();
    let login = cluster.user(None).unwrap();
    (cluster, login)
}

#[track_caller]
fn assert_works(service: &Service, login: &Login) {
    let _broker = broker([service.clone()]);
    assert_eq!(psql(&service.listen, login).query("SELECT current_user").unwrap(), login.name);
}

#[track_caller]
fn assert_refused(service: &Service, login: &Login, cause: &str) {
    let _broker = broker([service.clone()]);
    assert_is_ours(&refusal(&service.listen, &login.name), "db", "08001", cause, login);
}

#[test]
fn an_address_counts_as_a_name_if_the_certificate_has_it() {
    let authority = Authority::shared();
    let (named, login) = server(authority.server(&["localhost"]));
    let service = pg("db", &named, &login)
        .literal("sslmode", "verify-full")
        .literal("sslrootcert", &authority.certificate);
    assert_refused(&service.clone(), &login, "127.0.0.1");
    assert_works(&service.clone().literal("sslhost", "localhost"), &login);
    assert_works(&service.literal("host", "localhost"), &login);

    let (addressed, login) = server(authority.server(&["127.0.0.1"]));
    let service = pg("db", &addressed, &login)
        .literal("sslmode", "verify-full")
        .literal("sslrootcert", &authority.certificate);
    assert_works(&service, &login);
}

#[test]
fn a_server_whose_certificate_is_refused_is_told_why() {
    let (cluster, login) = server(Authority::stranger().server(&["localhost"]));
    let service = pg("db", &cluster, &login)
        .literal("sslmode", "verify-ca")
        .literal("sslrootcert", &Authority::shared().certificate);
    assert_refused(&service, &login, "certificate signed by unknown authority");
    // PostgreSQL logs the alert that it was sent; without one it logs that the connection was lost.
    tests::wait::until("the server logs the alert", || cluster.log().contains("alert unknown ca"));
}

#[test]
fn a_certificate_that_is_itself_trusted_needs_nobody_else() {
    let identity = Authority::stranger().server(&["localhost"]);
    let (cluster, login) = server(identity.clone());
    for sslmode in ["verify-ca", "verify-full"] {
        let service = pg("db", &cluster, &login)
            .literal("host", "localhost")
            .literal("sslmode", sslmode)
            .literal("sslrootcert", &identity.certificate);
        assert_works(&service, &login);
    }
}

#[test]
fn a_certificate_whose_time_is_over_is_refused() {
    let (cluster, login) = server(Authority::shared().expired_server(&["localhost"]));
    let service = pg("db", &cluster, &login)
        .literal("host", "localhost")
        .literal("sslrootcert", &Authority::shared().certificate);
    for sslmode in ["verify-ca", "verify-full"] {
        assert_refused(&service.clone().literal("sslmode", sslmode), &login, "expired");
    }
    let mut unchecked = service.literal("sslmode", "require");
    unchecked.credentials.retain(|(name, _)| name != "sslrootcert");
    assert_works(&unchecked, &login);
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_told() {
    let (cluster, login) = server(Authority::shared().server(&["localhost"]));
    let (one, other) = (Authority::shared().client(&login.name), Authority::shared().client(&login.name));
    let service = pg("db", &cluster, &login)
        .literal("sslmode", "require")
        .literal("sslcert", &one.certificate)
        .literal("sslkey", &other.key);
    assert_refused(&service, &login, "tls: private key does not match public key");
}

/// The first bytes that a target sees of a TLS handshake.
fn client_hello(host: &str, sslmode: &str) -> Vec<u8> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&seen);
    let target = Pretender::new(move |mut stream| {
        stream.read_exact(&mut [0; 8])?;
        stream.write_all(b"S")?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut record)?;
        taken.lock().unwrap().extend(record);
        Ok(())
    });
    let login = Login { name: "u".to_owned(), password: "p".to_owned() };
    let service = Service::new("pg", "db", tests::broker::Listen::tcp())
        .literal("host", host)
        .literal("port", &target.port.to_string())
        .literal("username", &login.name)
        .literal("password", &login.password)
        .literal("sslmode", sslmode);
    let _broker = broker([service.clone()]);
    refusal(&service.listen, "db");
    let bytes = seen.lock().unwrap().clone();
    assert!(!bytes.is_empty(), "no ClientHello came");
    bytes
}

#[test]
fn the_name_is_announced_and_an_address_never_is() {
    let announces =
        |hello: &[u8], name: &str| hello.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(announces(&client_hello("localhost", "verify-full"), "localhost"));
    assert!(!announces(&client_hello("127.0.0.1", "verify-full"), "127.0.0.1"));
}
