//! The command-line tools, and what they make of TLS, which they do not agree on.

use tests::broker::Listen;
use tests::mysql::{Client, Encryption, Endpoint, Tool, Which, shared, sysbench};
use tests::process;

use super::{Front, servers, unix};

/// A client of each version.
fn clients(endpoint: &Endpoint) -> impl Iterator<Item = (&'static str, Client)> {
    let all = [
        ("mariadb 10.11", Client::new(endpoint).ok()),
        ("mariadb 11.8", Client::newer(endpoint).ok()),
        ("mysql 9", Client::mysql(endpoint)),
    ];
    all.into_iter().filter_map(|(name, client)| Some((name, client?)))
}

#[test]
fn every_shell_gets_in_with_any_password_and_with_none() {
    for server in servers() {
        for listen in [Listen::tcp(), unix()] {
            let mut front = Front::with(server, tests::mysql::Plugin::usual(server.kind()), |service| {
                service.listening_on(listen)
            });
            for password in [None, Some("whatever")] {
                front.endpoint.password = password.map(str::to_owned);
                for encryption in [Encryption::Off, Encryption::On] {
                    let may_encrypt = matches!(front.endpoint.listen, Listen::Unix(_));
                    if encryption == Encryption::On && !may_encrypt {
                        continue;
                    }
                    let endpoint = front.endpoint.clone().encrypted(encryption);
                    for (name, client) in clients(&endpoint) {
                        let finished = client.run("SELECT CURRENT_USER()").unwrap();
                        assert_eq!(
                            finished.stdout,
                            format!("{}\n", front.account.current_user()),
                            "{name} {endpoint:?}: {finished}\n{}",
                            front.broker.said()
                        );
                    }
                }
            }
            front.end();
        }
    }
}

/// What the tools do when nobody tells them: MariaDB's of 11.4 and newer insist on TLS on a Unix socket, and over TCP when
/// they were given a password. Nothing that a server says can help them there.
#[test]
fn what_the_newer_tools_insist_on() {
    let server = shared(Which::Newer).unwrap();
    let plugin = tests::mysql::Plugin::NativePassword;
    let said = |listen: Listen, mode: &str, password: Option<&str>| {
        let mut front = Front::with(server, plugin, |service| service.listening_on(listen).line(mode));
        front.endpoint.password = password.map(str::to_owned);
        front.endpoint.encryption = Encryption::Unsaid;
        let said: Vec<(&str, String)> = clients(&front.endpoint)
            .map(|(name, client)| {
                let finished = client.run("SELECT 'in'").unwrap();
                let end = if finished.status.success() { finished.stdout } else { finished.stderr };
                let end = if end.contains("2026") { "2026".to_owned() } else { end.trim().to_owned() };
                (name, end)
            })
            .collect();
        front.end();
        said
    };
    let mysql_ends = |end: &str| {
        Client::mysql(&Endpoint::broker(&unix(), &server.user(plugin).unwrap()))
            .map(|_| ("mysql 9", end.to_owned()))
    };
    let table = |older: &str, newer: &str, mysql: &str| {
        let mut all = vec![("mariadb 10.11", older.to_owned()), ("mariadb 11.8", newer.to_owned())];
        all.extend(mysql_ends(mysql));
        all
    };
    let (auto, off, required) = ("clientTls: auto", "clientTls: off", "clientTls: required");
    assert_eq!(said(Listen::tcp(), auto, None), table("in", "in", "in"));
    assert_eq!(said(Listen::tcp(), auto, Some("x")), table("in", "2026", "in"));
    assert_eq!(said(unix(), auto, None), table("in", "in", "in"));
    assert_eq!(said(unix(), auto, Some("x")), table("in", "in", "in"));
    assert_eq!(said(unix(), off, None), table("in", "2026", "in"));
    assert_eq!(said(unix(), off, Some("x")), table("in", "2026", "in"));
    assert_eq!(said(Listen::tcp(), required, None), table("in", "in", "in"));
    assert_eq!(said(Listen::tcp(), required, Some("x")), table("in", "in", "in"));
}

#[test]
fn a_client_in_clear_is_told_where_tls_is_required() {
    let server = shared(Which::Distribution).unwrap();
    let front = Front::with(server, tests::mysql::Plugin::NativePassword, |service| {
        service.line("clientTls: required")
    });
    let said = front.client().refusal().unwrap();
    assert!(said.contains("ERROR 3159 (HY000)") && said.contains("clientTls: required"), "{said}");
    front.end();
}

#[test]
fn tools_do_their_work() {
    for server in servers() {
        let front = Front::of(server);
        let database = front.account.name.clone();
        for (name, client) in clients(&front.endpoint) {
            client
                .query("DROP TABLE IF EXISTS kept; CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)")
                .unwrap();
            let dump = client.tool(Tool::Dump, &["--no-tablespaces", &database]).unwrap();
            assert!(dump.contains("INSERT INTO `kept` VALUES"), "{name}: {dump}");
            assert!(client.tool(Tool::Admin, &["ping"]).unwrap().contains("alive"), "{name}");
            let load = ["--query=SELECT 1", "--concurrency=4", "--number-of-queries=100"];
            client
                .tool(Tool::Slap, &[&load[..], &["--create-schema", &database, "--no-drop"]].concat())
                .unwrap();
        }
        front.end();
    }
}

#[test]
fn sysbench_makes_a_load() {
    for server in servers() {
        let front = Front::of(server);
        for mode in ["auto", "disable"] {
            let said: Vec<String> = ["prepare", "run", "cleanup"]
                .into_iter()
                .map(|step| {
                    let mut command = sysbench(&front.endpoint);
                    command.args([
                        "--tables=1",
                        "--table-size=100",
                        "--threads=4",
                        "--events=40",
                        "--time=0",
                    ]);
                    command.arg(format!("--db-ps-mode={mode}")).args(["oltp_read_write", step]);
                    process::run(&mut command).unwrap().succeeded().unwrap()
                })
                .collect();
            assert!(said[1].contains("total number of events:              40"), "{}", said[1]);
        }
        front.end();
    }
}
