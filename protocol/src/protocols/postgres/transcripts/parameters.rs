//! The startup packet: parameters, database, versions and options.

use alloc::vec::Vec;

use super::{AUTHENTICATION_OK, BARE_STARTUP, fatal, startup};
use crate::testing::Transcript;
use crate::{BrokerFailed, ServerMisbehaved, TargetFailed, Transport};

/// The client sends `client`, the target is sent `target`.
fn passes(transcript: Transcript, client: &[(&str, &str)], target: &[(&str, &str)]) -> Transcript {
    transcript
        .client(startup(0, client))
        .credential()
        .connection(Transport::Unix)
        .to_target(startup(0, target))
        .target(AUTHENTICATION_OK)
        .to_client(AUTHENTICATION_OK)
        .relays("", "")
}

/// Client and target agree on a version: what is sent to the target, what it says, what the client is told.
fn negotiates(
    name: &'static str,
    client: Vec<u8>,
    to_target: Vec<u8>,
    target: &str,
    to_client: &str,
) -> Transcript {
    Transcript::new(name)
        .client(client)
        .credential()
        .connection(Transport::Unix)
        .to_target(to_target)
        .target(target)
        .to_client(to_client)
        .relays("", "")
}

/// The target says `target` to a client of version 3.2 with the option `_pq_.foo`.
fn refuses_negotiation(name: &'static str, target: &str, error: ServerMisbehaved, cause: &str) -> Transcript {
    Transcript::new(name)
        .client(startup(2, &[("_pq_.foo", "1")]))
        .credential()
        .connection(Transport::Unix)
        .to_target(startup(2, &[("user", "svc"), ("_pq_.foo", "1")]))
        .target(target)
        .fails(error)
        .to_client(fatal("08006", cause))
}

pub(super) fn all() -> Vec<Transcript> {
    let named = Transcript::new;
    alloc::vec![
        passes(
            named("all parameters but the user pass, in their order, duplicates included"),
            &[
                ("client_encoding", "UTF8"),
                ("user", "joe"),
                ("database", "shop"),
                ("options", "-c geqo=off -c statement_timeout=5min"),
                ("application_name", "one"),
                ("application_name", ""),
                ("replication", "database"),
                ("user", "eve"),
                ("caf\u{e9}", "\u{1F600}"),
            ],
            &[
                ("user", "svc"),
                ("client_encoding", "UTF8"),
                ("database", "shop"),
                ("options", "-c geqo=off -c statement_timeout=5min"),
                ("application_name", "one"),
                ("application_name", ""),
                ("replication", "database"),
                ("caf\u{e9}", "\u{1F600}"),
            ],
        ),
        passes(
            named("the client's database wins over the credential's").field("database", b"books"),
            &[("user", "joe"), ("database", "shop")],
            &[("user", "svc"), ("database", "shop")],
        ),
        passes(
            named("the credential's database is taken where the client names none")
                .field("database", b"books"),
            &[("user", "joe")],
            &[("user", "svc"), ("database", "books")],
        ),
        passes(
            named("a client that names no database means that of its own user"),
            &[("user", "joe")],
            &[("user", "svc"), ("database", "joe")],
        ),
        passes(
            named("an empty database is none, and the last one counts").field("database", b"books"),
            &[("database", "shop"), ("database", "")],
            &[("user", "svc"), ("database", "shop"), ("database", ""), ("database", "books")],
        ),
        passes(named("an empty user has no database of its own"), &[("user", "")], &[("user", "svc")],),
        passes(
            named("other fields of the credential are defaults for parameters, and no others")
                .field("host", b"/run/postgresql")
                .field("port", b"5433")
                .field("sslmode", b"verify-full")
                .field("sslrootcert", b"pem")
                .field("sslanything", b"x")
                .field("application_name", b"broker")
                .field("search_path", b"books"),
            &[],
            &[("user", "svc"), ("application_name", "broker"), ("search_path", "books")],
        ),
        passes(
            named("a parameter that the client sets wins over the credential's, however it is spelled")
                .field("application_name", b"broker")
                .field("search_path", b"books"),
            &[("Application_Name", "mine")],
            &[("user", "svc"), ("Application_Name", "mine"), ("search_path", "books")],
        ),
        Transcript::new("a credential field named user is refused with a hint, and nothing is dialled")
            .field("user", b"root")
            .client(BARE_STARTUP)
            .credential()
            .fails(TargetFailed::Field {
                name: "user",
                reason: "PostgreSQL services take the user name from the field 'username'".into(),
            })
            .to_client(fatal(
                "08001",
                "credential 'user': PostgreSQL services take the user name from the field 'username'",
            )),
        Transcript::new("a credential without a user name is refused, and nothing is dialled")
            .field("username", b"")
            .client(BARE_STARTUP)
            .credential()
            .fails(BrokerFailed::FieldMissing("username"))
            .to_client(fatal("57P03", "the credential has no 'username'")),
        Transcript::new("a user name with a NUL would end early, so it is refused")
            .field("username", b"svc\0database\0x")
            .client(BARE_STARTUP)
            .credential()
            .fails(BrokerFailed::FieldUnusable("username"))
            .to_client(fatal("57P03", "the credential's 'username' cannot be sent")),
        Transcript::new("a database with a NUL would end early, so it is refused")
            .field("database", b"a\0user\0root")
            .client(BARE_STARTUP)
            .credential()
            .fails(BrokerFailed::FieldUnusable("database"))
            .to_client(fatal("57P03", "the credential's 'database' cannot be sent")),
        Transcript::new("a default for a parameter with a NUL would end early, so it is refused")
            .field("search_path", b"a\0user\0root")
            .client(BARE_STARTUP)
            .credential()
            .fails(BrokerFailed::ParameterUnusable)
            .to_client(fatal(
                "57P03",
                "a value of the credential cannot be sent as a startup parameter: it holds a NUL byte",
            )),
        Transcript::new("the name of a default for a parameter with a NUL is refused too")
            .field("a\0user", b"root")
            .client(BARE_STARTUP)
            .credential()
            .fails(BrokerFailed::ParameterUnusable)
            .to_client(fatal(
                "57P03",
                "a value of the credential cannot be sent as a startup parameter: it holds a NUL byte",
            )),
        negotiates(
            "version 3.2 is spoken with a target that knows it",
            startup(2, &[]),
            startup(2, &[("user", "svc")]),
            AUTHENTICATION_OK,
            AUTHENTICATION_OK,
        ),
        negotiates(
            "a target that knows 3.0 only is passed on to a client of 3.2",
            startup(2, &[]),
            startup(2, &[("user", "svc")]),
            "'v' | 0000000C | 0003 0000 | 00000000 | 'R' | 00000008 | 00000000",
            "'v' | 0000000C | 0003 0000 | 00000000 | 'R' | 00000008 | 00000000",
        ),
        negotiates(
            "3.1 was never released: the target is asked for 3.0 and the client told",
            startup(1, &[]),
            startup(0, &[("user", "svc")]),
            AUTHENTICATION_OK,
            "'v' | 0000000C | 0003 0000 | 00000000 | 'R' | 00000008 | 00000000",
        ),
        negotiates(
            "a version from the future comes down to ours, and the client is told",
            startup(9999, &[("_pq_.foo", "1")]),
            startup(2, &[("user", "svc"), ("_pq_.foo", "1")]),
            AUTHENTICATION_OK,
            "'v' | 0000000C | 0003 0002 | 00000000 | 'R' | 00000008 | 00000000",
        ),
        negotiates(
            "a version from the future comes down to the target's, and the client is told once",
            startup(9999, &[("_pq_.foo", "1"), ("_pq_.bar", "2")]),
            startup(2, &[("user", "svc"), ("_pq_.foo", "1"), ("_pq_.bar", "2")]),
            "'v' | 00000015 | 0003 0000 | 00000001 | '_pq_.bar' 00 | 'R' | 00000008 | 00000000",
            "'v' | 00000015 | 0003 0000 | 00000001 | '_pq_.bar' 00 | 'R' | 00000008 | 00000000",
        ),
        negotiates(
            "an option that the target does not take is passed on to a client of 3.0",
            startup(0, &[("_pq_.foo", "1")]),
            startup(0, &[("user", "svc"), ("_pq_.foo", "1")]),
            "'v' | 00000015 | 0003 0000 | 00000001 | '_pq_.foo' 00 | 'R' | 00000008 | 00000000",
            "'v' | 00000015 | 0003 0000 | 00000001 | '_pq_.foo' 00 | 'R' | 00000008 | 00000000",
        ),
        negotiates(
            "a target that negotiates and cuts nothing is nothing to tell the client",
            startup(2, &[]),
            startup(2, &[("user", "svc")]),
            "'v' | 0000000C | 0003 0002 | 00000000 | 'R' | 00000008 | 00000000",
            AUTHENTICATION_OK,
        ),
        refuses_negotiation(
            "a target may negotiate once",
            "'v' | 0000000C | 0003 0000 | 00000000 | 'v' | 0000000C | 0003 0000 | 00000000",
            ServerMisbehaved::UnexpectedMessage,
            "the target sent a message out of place",
        ),
        refuses_negotiation(
            "a target may not negotiate up",
            "'v' | 0000000C | 0003 0003 | 00000000",
            ServerMisbehaved::MalformedMessage("a version that we can go down to"),
            "the target sent a malformed message: a version that we can go down to",
        ),
        refuses_negotiation(
            "a target may not negotiate down to the version that never was",
            "'v' | 0000000C | 0003 0001 | 00000000",
            ServerMisbehaved::MalformedMessage("a version that we can go down to"),
            "the target sent a malformed message: a version that we can go down to",
        ),
        refuses_negotiation(
            "a target may not negotiate down to another major version",
            "'v' | 0000000C | 0002 0000 | 00000000",
            ServerMisbehaved::MalformedMessage("a version that we can go down to"),
            "the target sent a malformed message: a version that we can go down to",
        ),
        refuses_negotiation(
            "a target may not refuse an option that nobody asked for",
            "'v' | 00000015 | 0003 0002 | 00000001 | '_pq_.bar' 00",
            ServerMisbehaved::MalformedMessage("an option that was asked for"),
            "the target sent a malformed message: an option that was asked for",
        ),
        refuses_negotiation(
            "a target that claims four billion options has to send them",
            "'v' | 0000000C | 0003 0002 | FFFFFFFF",
            ServerMisbehaved::MalformedMessage("an option"),
            "the target sent a malformed message: an option",
        ),
        refuses_negotiation(
            "a target may not send more than the options it counts",
            "'v' | 0000000D | 0003 0002 | 00000000 | 00",
            ServerMisbehaved::MalformedMessage("the end of the options"),
            "the target sent a malformed message: the end of the options",
        ),
        Transcript::new("a target may not negotiate up to a version that we know and the client does not")
            .client(BARE_STARTUP)
            .credential()
            .connection(Transport::Unix)
            .to_target(startup(0, &[("user", "svc")]))
            .target("'v' | 0000000C | 0003 0002 | 00000000")
            .fails(ServerMisbehaved::MalformedMessage("a version that we can go down to"))
            .to_client(fatal(
                "08006",
                "the target sent a malformed message: a version that we can go down to"
            )),
        Transcript::new("a target may not negotiate once it has asked for a password")
            .client(startup(2, &[]))
            .credential()
            .connection(Transport::Unix)
            .to_target(startup(2, &[("user", "svc")]))
            .target("'R' | 00000008 | 00000003")
            .to_target("'p' | 0000000B | 'pencil' 00")
            .target("'v' | 0000000C | 0003 0000 | 00000000")
            .fails(ServerMisbehaved::UnexpectedMessage)
            .to_client(fatal("08006", "the target sent a message out of place")),
    ]
}
