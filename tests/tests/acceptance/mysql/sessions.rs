//! What the broker passes on, and what it keeps to itself.

use std::process::Command;

use tests::broker::Listen;
use tests::mysql::wire::{Wire, response};
use tests::mysql::{Client, Encryption, Options, Plugin, Tool, Which, shared};
use tests::{places, process};

use super::{Front, servers};

#[test]
fn the_greeting_is_the_servers_own_but_for_the_way_to_log_in() {
    for server in servers() {
        let front = Front::of(server);
        let split = |wire: &mut Wire| {
            let payload = wire.packet().unwrap().payload;
            let version = payload.iter().position(|byte| *byte == 0).unwrap();
            let (version, rest) = payload.split_at(version + 1);
            let (id, rest) = rest.split_at(4);
            (version.to_vec(), u32::from_le_bytes(id.try_into().unwrap()), rest.to_vec())
        };
        // One after the other: a server may number two that come at once as it likes.
        let mut direct = Wire::connect(&Listen::Tcp(server.port)).unwrap();
        let (version, direct_id, theirs) = split(&mut direct);
        let mut through = Wire::connect(&front.endpoint.listen).unwrap();
        let (announced, through_id, ours) = split(&mut through);
        let (_, later_id, _) = split(&mut Wire::connect(&Listen::Tcp(server.port)).unwrap());
        assert_eq!(announced, version);
        // The server counts its connections, and those of other tests.
        assert!(direct_id < through_id && through_id < later_id, "{direct_id}, {through_id}, {later_id}");
        assert_ne!(theirs[..8], ours[..8], "the nonce is our own");
        // Flags: no TLS, no second factor, and what every client can log in with.
        let flags = |rest: &[u8]| u32::from_le_bytes([rest[9], rest[10], rest[14], rest[15]]);
        let (tls, factors) = (1 << 11, 1 << 28);
        assert_eq!(flags(&ours), flags(&theirs) & !(tls | factors) | 0x0028_8200);
        assert_eq!((ours[11], &ours[12..14]), (theirs[11], &theirs[12..14]), "character set and status");
        assert_eq!(ours[17..27], theirs[17..27], "MariaDB's own flags");
        assert!(ours.ends_with(b"\0mysql_native_password\0"));
        drop((direct, through));
        front.end();
    }
}

#[test]
fn a_connection_can_be_killed_by_the_id_that_its_client_knows() {
    for server in servers() {
        let front = Front::of(server);
        let mut wire = Wire::session(&front.endpoint.listen, &front.account.name).unwrap();
        let id = wire.value("SELECT CONNECTION_ID()").unwrap();
        front.client().query(&format!("KILL {id}")).unwrap();
        // The server closes; what it has to say about that first is its own affair.
        wire.rest().unwrap();
        front.end();
    }
}

/// What a server says at the end of a login may send a client elsewhere, past the broker.
#[test]
fn a_client_is_not_sent_past_the_broker() {
    let Some(server) = Which::Newer.start(&Options::with_tls()).unwrap() else { return };
    server.sql("SET GLOBAL redirect_url = 'mariadb://elsewhere.example:3306'").unwrap();
    let front = Front::with(&server, Plugin::NativePassword, |service| service);
    let account = server.user(Plugin::Nothing).unwrap();
    let login = |listen: &Listen, user: &str, database: &str| {
        let mut wire = Wire::connect(listen).unwrap();
        wire.packet().unwrap();
        wire.send(1, &response(user, database, "mysql_native_password", b"")).unwrap();
        wire.packet().unwrap()
    };
    let direct = login(&Listen::Tcp(server.port), &account.name, &account.name);
    assert!(
        direct.text().contains("redirect_url") && direct.text().contains("elsewhere"),
        "{}",
        direct.text()
    );
    let through = login(&front.endpoint.listen, "nobody", &front.account.name);
    assert_eq!(through.payload.first(), Some(&0));
    assert!(!through.text().contains("redirect_url"), "{}", through.text());
    assert!(
        through.text().contains("autocommit") || through.text().contains("character_set"),
        "the rest passes: {}",
        through.text()
    );
    // Nor is it told of a certificate that it has not seen.
    assert!(!through.payload.windows(2).any(|pair| pair == [0x41, 1]), "{:?}", through.payload);
    front.end();
}

#[test]
fn large_values_pass_both_ways_through_tls_on_either_leg() {
    let server = shared(Which::Newer).unwrap();
    let file = places::fresh("large").unwrap().join("large.sql");
    let value: String = (0..3_000_000u64).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    std::fs::write(
        &file,
        format!("CREATE OR REPLACE TABLE kept (v LONGTEXT); INSERT INTO kept VALUES ('{value}');"),
    )
    .unwrap();
    for (mode, encryption) in [("off", Encryption::Off), ("required", Encryption::On)] {
        for sslmode in ["disable", "require"] {
            let front = Front::with(server, Plugin::NativePassword, |service| {
                service.literal("sslmode", sslmode).line(&format!("clientTls: {mode}"))
            });
            let client = Client::newer(&front.endpoint.clone().encrypted(encryption)).unwrap();
            client.query(&format!("source {}", file.display())).unwrap();
            assert!(client.query("SELECT v FROM kept").unwrap() == value, "{mode} {sslmode}");
            front.end();
        }
    }
}

#[test]
fn a_replicas_stream_passes() {
    let options = Options {
        settings: vec!["--log-bin=binary".to_owned(), "--server-id=7".to_owned()],
        ..Options::with_tls()
    };
    let Some(server) = Which::Distribution.start(&options).unwrap() else { return };
    let front = Front::with(&server, Plugin::NativePassword, |service| service);
    server.sql(&format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR, BINLOG ADMIN, SUPER ON *.* TO {}@'%'", front.account.name)).unwrap();
    front.client().query("CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)").unwrap();
    let Listen::Tcp(port) = front.endpoint.listen else { panic!("it listens on a port") };
    let mut command = Command::new("mariadb-binlog");
    command.args([
        "--no-defaults",
        "--read-from-remote-server",
        "--host=127.0.0.1",
        "--protocol=TCP",
        "--user=nobody",
    ]);
    command.arg(format!("--port={port}")).arg("binary.000001");
    let said = process::run(&mut command).unwrap().succeeded().unwrap();
    assert!(said.contains("INSERT INTO kept VALUES (7)"), "{said}");
    front.end();
}

#[test]
fn a_dump_goes_in_again() {
    for server in servers() {
        let front = Front::of(server);
        let client = front.client();
        client.query("CREATE TABLE kept (n INT PRIMARY KEY, t LONGTEXT); INSERT INTO kept VALUES (1, 'a'), (2, REPEAT('b', 100000));").unwrap();
        let dump = client.tool(Tool::Dump, &["--no-tablespaces", &front.account.name]).unwrap();
        client.query("DROP TABLE kept").unwrap();
        client.query(&dump).unwrap();
        assert_eq!(client.query("SELECT n, LENGTH(t) FROM kept").unwrap(), "1\t1\n2\t100000");
        front.end();
    }
}
