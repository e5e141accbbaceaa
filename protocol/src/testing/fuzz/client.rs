//! A hostile client.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::PASSWORD;
use crate::protocols::ALL;
use crate::testing::{Driver, credential, describe, route};
use crate::{
    BrokerFailed, CleartextPassword, ClientMisbehaved, ClientTls, Error, Event, Next, Protocol, Route, Side,
    Transport, Want,
};

/// Arbitrary bytes of a client. The first byte of `data` says where they are cut.
///
/// No client talks itself in without a target, and how its bytes are cut makes no difference.
pub fn handshake_client(data: &[u8]) {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let modes = [ClientTls::Auto, ClientTls::Required];
    for (&protocol, mode) in ALL.iter().flat_map(|protocol| modes.map(|mode| (protocol, mode))) {
        let whole = client_alone(protocol, mode, bytes, bytes.len().max(1));
        let pieces = client_alone(protocol, mode, bytes, usize::from(cut).max(1));
        // What a client sends behind a request for encryption is refused only while it can be seen to be early.
        let is_about_time =
            |outcome: &ClientAlone| outcome.error == Some(ClientMisbehaved::BytesBehindTlsRequest.into());
        if !is_about_time(&whole) && !is_about_time(&pieces) {
            assert_eq!((whole.to_client, whole.next), (pieces.to_client, pieces.next), "cut at {cut}");
        }
    }
}

struct ClientAlone {
    to_client: Vec<u8>,
    next: String,
    error: Option<Error>,
}

fn client_alone(protocol: &dyn Protocol, client_tls: ClientTls, bytes: &[u8], cut: usize) -> ClientAlone {
    let route = Route { client_tls, ..(*route(CleartextPassword::Always)).clone() };
    let mut driver = Driver::start(protocol, &Arc::new(route), [0; 32]);
    answer_without_a_target(&mut driver);
    // A protocol whose server speaks first has no client before that.
    driver.receive(Side::Target, &protocol.honest_target(PASSWORD).greeting());
    for piece in bytes.chunks(cut) {
        driver.receive(Side::Client, piece);
        answer_without_a_target(&mut driver);
    }
    let next = describe(&driver.next);
    let error = driver.next.as_ref().err().cloned();
    driver.fail(&error.clone().unwrap_or(BrokerFailed::Shutdown.into()));
    assert!(!protocol.lets_client_in(&driver.to_client), "no target has spoken");
    let to_client = mem::take(&mut driver.to_client);
    driver.fail(&BrokerFailed::Shutdown.into());
    assert!(driver.to_client.is_empty(), "a farewell is said once");
    ClientAlone { to_client, next, error }
}

/// Gives the machine what it wants, but no word of a target.
fn answer_without_a_target(driver: &mut Driver) {
    loop {
        match &driver.next {
            Ok(Next::Want(Side::Target, Want::Credential)) => {
                driver.answer(Event::Credential(credential(&[("username", b"svc"), ("password", PASSWORD)])));
            }
            Ok(Next::Want(Side::Target, Want::Connection(_))) => {
                driver.answer(Event::Connected(Transport::Unix));
            }
            // A TLS handshake of one byte: what comes behind it is inside.
            Ok(Next::Want(Side::Client, Want::AcceptTls)) => driver.accept_tls(1),
            next => {
                assert!(!matches!(next, Ok(Next::Relay(_) | Next::Refused)), "no target has spoken");
                return;
            }
        }
    }
}
