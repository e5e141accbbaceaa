//! TLS towards the target.

use alloc::vec::Vec;

use super::{
    AUTHENTICATION_OK, BARE_STARTUP, BARE_STARTUP_FOR_TARGET, SSL_REQUEST, any_tls, fatal, unverified,
    verified,
};
use crate::testing::Transcript;
use crate::tls::{TlsPeer, TlsPolicy, Verification};
use crate::{Error, ServerMisbehaved, TargetFailed, Transport, Unsupported};

/// A session over TLS by `policy`.
fn encrypts(transcript: Transcript, policy: TlsPolicy, peer: TlsPeer) -> Transcript {
    transcript
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Tcp)
        .to_target(SSL_REQUEST)
        .target("'S'")
        .tls(policy, peer)
        .to_target(BARE_STARTUP_FOR_TARGET)
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

/// A session without TLS.
fn does_not_encrypt(transcript: Transcript, transport: Transport) -> Transcript {
    transcript
        .client(BARE_STARTUP)
        .credential()
        .connection(transport)
        .to_target(BARE_STARTUP_FOR_TARGET)
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

/// A target that answers the `SSLRequest` with `answer`.
fn refuses_answer(
    name: &'static str,
    answer: &str,
    error: impl Into<Error>,
    sqlstate: &str,
    cause: &str,
) -> Transcript {
    Transcript::new(name)
        .client(BARE_STARTUP)
        .credential()
        .connection(Transport::Tcp)
        .to_target(SSL_REQUEST)
        .target(answer)
        .fails(error)
        .to_client(fatal(sqlstate, cause))
}

pub(super) fn all() -> Vec<Transcript> {
    let at_example = |name| Transcript::new(name).field("host", b"db.example");
    let for_example = |verification| TlsPolicy { verification, ..any_tls() };
    alloc::vec![
        encrypts(at_example("a credential that says nothing requires TLS"), any_tls(), unverified()),
        encrypts(
            at_example("require with a root certificate checks the chain, as in libpq")
                .field("sslmode", b"require")
                .field("sslrootcert", b"-----BEGIN CERTIFICATE-----"),
            for_example(Verification::Chain),
            verified(),
        ),
        encrypts(
            at_example("verify-ca checks the chain").field("sslmode", b"verify-ca"),
            for_example(Verification::Chain),
            verified(),
        ),
        encrypts(
            at_example("verify-full checks the host's name").field("sslmode", b"verify-full"),
            for_example(Verification::ChainAndName),
            verified(),
        ),
        encrypts(
            at_example("sslhost is the name to check where the host is another")
                .field("host", b"10.0.0.1")
                .field("sslhost", b"db.example")
                .field("sslmode", b"verify-full"),
            for_example(Verification::ChainAndName),
            verified(),
        ),
        encrypts(
            Transcript::new("the deprecated address gives the name to check")
                .field("address", b"db.example:5432")
                .field("host", b"other")
                .field("sslmode", b"verify-full"),
            for_example(Verification::ChainAndName),
            verified(),
        ),
        does_not_encrypt(Transcript::new("disable sends no SSLRequest").field("sslmode", b"disable"), Transport::Tcp),
        does_not_encrypt(
            Transcript::new("sslmode means nothing on a Unix socket")
                .field("host", b"/run/postgresql")
                .field("sslmode", b"prefer"),
            Transport::Unix
        ),
        Transcript::new("an sslmode that falls back to plaintext is refused before anything is dialled")
            .field("sslmode", b"prefer")
            .client(BARE_STARTUP)
            .credential()
            .fails(Unsupported::SslMode)
            .to_client(fatal(
                "08001",
                "unsupported sslmode; only \"require\" (default), \"verify-ca\", \"verify-full\" and \"disable\" supported",
            )),
        Transcript::new("a port that is none is refused before anything is dialled")
            .field("port", b"pg")
            .client(BARE_STARTUP)
            .credential()
            .fails(TargetFailed::Field { name: "port", reason: "the port must be a number from 1 to 65535".into() })
            .to_client(fatal("08001", "credential 'port': the port must be a number from 1 to 65535")),
        refuses_answer(
            "a target without TLS gets no password",
            "'N'",
            TargetFailed::TlsNotOffered,
            "08001",
            "the backend does not allow SSL connections",
        ),
        refuses_answer(
            "an error instead of an answer is not shown",
            "'E' | 0000001C | 'SFATAL' 00 'Mboo, fake text' 00 | 00",
            ServerMisbehaved::TlsAnswer,
            "08006",
            "the target answered the TLS request with neither yes nor no",
        ),
        refuses_answer(
            "a greeting instead of an answer is refused",
            "4A000000",
            ServerMisbehaved::TlsAnswer,
            "08006",
            "the target answered the TLS request with neither yes nor no",
        ),
        refuses_answer(
            "bytes in clear behind the S are refused",
            "'S' | 'R' | 00000008 | 00000000",
            ServerMisbehaved::BytesBehindTlsAnswer,
            "08006",
            "the target sent bytes behind its answer to the TLS request",
        )
        .whole("a target that sends them apart speaks inside TLS"),
        Transcript::new("a certificate that is not accepted is told in the TLS library's words")
            .client(BARE_STARTUP)
            .credential()
            .connection(Transport::Tcp)
            .to_target(SSL_REQUEST)
            .target("'S'")
            .fails_outside(TargetFailed::Tls("x509: certificate signed by unknown authority".into()))
            .to_client(fatal("08001", "x509: certificate signed by unknown authority")),
    ]
}
