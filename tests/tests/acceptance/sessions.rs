//! A session through the broker is a session with the target: whoever the client says it is, without a password.

use tests::broker::{Listen, Service, pg};
use tests::postgres::{Cluster, Login, Major, plaintext, shared};
use tests::psql::Psql;
use tests::wire::{self, VERSION_3_0, VERSION_3_2, Wire, startup};

use crate::support::{broker, psql, session};

/// The user that the session runs as, and the database.
const WHO: &str = "SELECT current_user || ' in ' || current_database()";

#[track_caller]
fn assert_is(psql: &Psql, login: &Login) {
    assert_eq!(psql.query(WHO).unwrap(), format!("{0} in {0}", login.name));
}

/// Whether the session's leg to the target is encrypted, as the target sees it.
#[track_caller]
fn encryption(psql: &Psql) -> String {
    psql.query("SELECT ssl, coalesce(version, '-') FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap()
}

#[test]
fn psql_is_the_injected_user_over_either_socket_with_and_without_tls() {
    for cluster in Major::ALL.map(shared).into_iter().chain([plaintext()]) {
        let login = cluster.user(None).unwrap();
        let mut services = Vec::new();
        for sslmode in ["disable", "require"] {
            if std::ptr::eq(cluster, plaintext()) && sslmode == "require" {
                continue;
            }
            for (socket, listen) in [("tcp", Listen::tcp()), ("unix", Listen::unix().unwrap())] {
                let name = format!("{sslmode}-{socket}");
                services.push(pg(&name, cluster, &login).literal("sslmode", sslmode).listening_on(listen));
            }
        }
        let _broker = broker(services.clone());
        for service in services {
            let psql = psql(&service.listen, &login);
            assert_is(&psql, &login);
            let expected = if service.name.starts_with("require") { "t|TLSv1.3" } else { "f|-" };
            assert_eq!(encryption(&psql), expected, "{}", service.name);
        }
    }
}

#[test]
fn a_client_may_give_a_wrong_password_or_another_user() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login);
    let _broker = broker([service.clone()]);
    for user in ["postgres", "nobody-in-particular", &login.name] {
        assert_is(&psql(&service.listen, &login).user(user).with("password=wrong"), &login);
    }
}

#[test]
fn every_method_of_authentication_that_servers_ask_for_works() {
    let cluster = shared(Major::Distribution);
    for group in [None, Some("with_md5"), Some("with_trust"), Some("with_password")] {
        let login = cluster.user(group).unwrap();
        let mut service = pg("db", cluster, &login).literal("sslmode", "require");
        if group == Some("with_password") {
            // The server wants it in clear, and its certificate is not checked here.
            service = service.line("config: {cleartextPassword: tls}");
        }
        let _broker = broker([service.clone()]);
        assert_is(&psql(&service.listen, &login), &login);
    }
}

#[test]
fn a_client_certificate_logs_in_where_the_server_wants_one() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(Some("with_cert")).unwrap();
    let identity = tests::certificates::Authority::shared().client(&login.name);
    let service = pg("db", cluster, &login)
        .literal("sslmode", "require")
        .literal("sslcert", &identity.certificate)
        .literal("sslkey", &identity.key)
        .literal("password", "not asked for");
    let _broker = broker([service.clone()]);
    assert_is(&psql(&service.listen, &login), &login);
}

#[test]
fn a_target_may_listen_on_a_unix_socket() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login)
        .literal("host", &cluster.socket_directory().display().to_string())
        // libpq ignores it there, for the server does not do TLS on such a socket.
        .literal("sslmode", "verify-full");
    let _broker = broker([service.clone()]);
    assert_is(&psql(&service.listen, &login), &login);
    let from = psql(&service.listen, &login).query("SELECT inet_client_addr() IS NULL").unwrap();
    assert_eq!(from, "t");
}

#[test]
fn parameters_of_the_client_reach_the_server_and_win_over_those_of_the_credential() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login)
        .literal("application_name", "from the credential")
        .literal("options", "-c work_mem=1234kB");
    let _broker = broker([service.clone()]);
    let show = "SHOW application_name; SHOW work_mem";
    let bare = psql(&service.listen, &login);
    assert_eq!(bare.query(show).unwrap(), "psql\n1234kB", "psql names itself");
    let own = bare.with("application_name=mine options=-cwork_mem=4321kB");
    assert_eq!(own.query(show).unwrap(), "mine\n4321kB");

    let mut wire = Wire::connect(&service.listen).unwrap();
    wire.log_in(&login.name).unwrap();
    assert_eq!(wire.query("SHOW application_name").unwrap(), ["from the credential"]);
}

#[test]
fn the_database_is_the_clients_then_the_credentials_then_the_clients_user() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let other = cluster.user(None).unwrap();
    let plain = pg("plain", cluster, &login);
    let named = pg("named", cluster, &login).literal("database", &other.name);
    let _broker = broker([plain.clone(), named.clone()]);
    let database = |service: &Service, parameters: &[(&str, &str)]| {
        let mut wire = Wire::connect(&service.listen).unwrap();
        wire.send(&startup(VERSION_3_0, parameters)).unwrap();
        wire.messages_until('Z').unwrap();
        wire.query("SELECT current_database()").unwrap().concat()
    };
    let asked = [("user", "anybody"), ("database", login.name.as_str())];
    assert_eq!(database(&plain, &asked), login.name);
    assert_eq!(database(&named, &asked), login.name, "the client's word counts most");
    assert_eq!(database(&named, &[("user", "anybody")]), other.name);
    assert_eq!(database(&plain, &[("user", "postgres")]), "postgres", "as libpq would");
}

#[test]
fn bytes_behind_the_startup_packet_are_not_lost() {
    let cluster = shared(Major::Newer);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).literal("sslmode", "require");
    let _broker = broker([service.clone()]);
    let mut wire = Wire::connect(&service.listen).unwrap();
    let opening = startup(VERSION_3_0, &[("user", "anybody"), ("database", &login.name)]);
    // A thousand queries that nobody waited to ask: more than a buffer holds.
    let queries: Vec<u8> =
        (0..1000).flat_map(|n| wire::query(&format!("SELECT {n} /* {:200} */", ""))).collect();
    wire.send(&[opening, queries].concat()).unwrap();
    wire.messages_until('Z').unwrap();
    for n in 0..1000 {
        let answer = wire.messages_until('Z').unwrap();
        let row = answer.iter().find(|message| message.kind == 'D').expect("a row");
        assert!(String::from_utf8_lossy(&row.body).ends_with(&n.to_string()), "row {n}: {row:?}");
    }
}

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    for sslmode in ["disable", "require"] {
        for listen in [Listen::tcp(), Listen::unix().unwrap()] {
            let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
            let _broker = broker([service.clone()]);
            let mut wire = session(&service.listen, &login);
            wire.send(&wire::query("SELECT repeat('x', 3000000)")).unwrap();
            wire.finish_sending().unwrap();
            let answer = wire.messages_until('Z').unwrap();
            let row = answer.iter().find(|message| message.kind == 'D').expect("a row");
            assert_eq!(row.body.len(), 2 + 4 + 3_000_000, "{sslmode}");
            assert_eq!(wire.rest().unwrap(), b"", "then the server goes, and so do we");
        }
    }
}

#[test]
fn notifications_arrive_without_being_asked_for() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    let service = pg("db", cluster, &login).literal("sslmode", "require");
    let _broker = broker([service.clone()]);
    let mut listening = session(&service.listen, &login);
    listening.query("LISTEN news").unwrap();
    let mut speaking = session(&service.listen, &login);
    speaking.query("NOTIFY news, 'hello'").unwrap();
    let news = listening.message().unwrap();
    assert_eq!(news.kind, 'A');
    assert!(news.body.ends_with(b"news\0hello\0"), "{news:?}");
}

#[test]
fn a_replication_connection_is_a_session_like_any_other() {
    let cluster = shared(Major::Distribution);
    let login = cluster.user(None).unwrap();
    cluster.sql(&format!("ALTER ROLE {} REPLICATION", login.name)).unwrap();
    let service = pg("db", cluster, &login);
    let _broker = broker([service.clone()]);
    let identity =
        psql(&service.listen, &login).with("replication=database").query("IDENTIFY_SYSTEM").unwrap();
    let system = cluster.sql("SELECT system_identifier FROM pg_control_system()").unwrap();
    assert!(identity.starts_with(&system), "{identity}");
}

#[test]
fn a_thousand_sessions_are_open_at_once() {
    let cluster = crowd();
    let login = cluster.user(None).unwrap();
    let service = pg("db", &cluster, &login);
    let broker = broker([service.clone()]);
    let mut sessions: Vec<Wire> = (0..1000).map(|_| session(&service.listen, &login)).collect();
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", login.name);
    assert_eq!(cluster.sql(&count).unwrap(), "1000");
    // All ask before any is heard: each answer must come back on its own session.
    for (n, session) in sessions.iter_mut().enumerate() {
        session.send(&wire::query(&format!("SELECT {n}"))).unwrap();
    }
    for (n, session) in sessions.iter_mut().enumerate() {
        let answer = session.messages_until('Z').unwrap();
        let row = answer.iter().find(|message| message.kind == 'D').expect("a row");
        assert!(row.body.ends_with(n.to_string().as_bytes()), "session {n}: {row:?}");
    }
    drop(sessions);
    assert!(broker.stop().unwrap().success());
}

/// A server that takes more sessions than the shared ones.
fn crowd() -> Cluster {
    let options = tests::postgres::Options {
        settings: vec!["max_connections = 1020".to_owned()],
        ..Default::default()
    };
    Cluster::start(&Major::Distribution.installation().unwrap(), &options).unwrap()
}

#[test]
fn newer_protocol_versions_are_negotiated_with_what_the_target_speaks() {
    for (major, version) in [(Major::Distribution, VERSION_3_0), (Major::Newer, VERSION_3_2)] {
        let cluster = shared(major);
        let login = cluster.user(None).unwrap();
        let service = pg("db", cluster, &login);
        let _broker = broker([service.clone()]);

        let newer = psql(&service.listen, &login).newer().unwrap();
        for wanted in ["3.0", "3.2", "latest"] {
            assert_is(&newer.clone().with(&format!("max_protocol_version={wanted}")), &login);
        }

        // What libpq 19 sends to find out who cannot negotiate.
        let mut wire = Wire::connect(&service.listen).unwrap();
        let parameters =
            [("user", "anybody"), ("database", login.name.as_str()), ("_pq_.test_protocol_negotiation", "")];
        wire.send(&startup(0x0003_270f, &parameters)).unwrap();
        let messages = wire.messages_until('Z').unwrap();
        let negotiations: Vec<_> = messages.iter().filter(|message| message.kind == 'v').collect();
        assert_eq!(negotiations.len(), 1, "{messages:?}");
        let mut expected = version.to_be_bytes().to_vec();
        expected.extend(1u32.to_be_bytes());
        expected.extend(b"_pq_.test_protocol_negotiation\0");
        assert_eq!(negotiations[0].body, expected, "PostgreSQL {}", cluster.major());
        let key = messages.iter().find(|message| message.kind == 'K').expect("a cancel key");
        assert_eq!(key.body.len(), if version == VERSION_3_2 { 4 + 32 } else { 4 + 4 });
    }
}
