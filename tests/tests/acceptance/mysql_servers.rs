//! MySQL and MariaDB as the other tests take them for, and every client and driver that goes to them *directly*: what
//! fails through the broker and not here is the broker's doing.

use tests::mysql::drivers::{self, Driver};
use tests::mysql::{
    Client, Encryption, Endpoint, Kind, Options, Plugin, Server, Tool, Which, shared, sysbench,
};
use tests::process;

use crate::mysql_async_driver::{self, Without};

/// Every shared server that there is.
fn servers() -> impl Iterator<Item = &'static Server> {
    Which::ALL.into_iter().filter_map(shared)
}

/// An account of the server's usual plugin, and the way to it over TCP: encrypted where the password needs it.
#[track_caller]
fn usual(server: &Server) -> Endpoint {
    let endpoint = server.endpoint(&server.user(Plugin::usual(server.kind())).unwrap());
    let is_mysql = server.kind() == Kind::MySql;
    endpoint.encrypted(if is_mysql { Encryption::On } else { Encryption::Off })
}

#[test]
fn servers_start_and_differ() {
    let [older, newer] = [Which::Distribution, Which::Newer].map(|which| shared(which).unwrap());
    assert!(older.version() < newer.version(), "{:?} {:?}", older.version(), newer.version());
    assert!(newer.version() >= (11, 6), "parsec came with 11.6, this is {:?}", newer.version());
    for server in servers() {
        let (major, minor) = server.version();
        assert!(server.sql("SELECT VERSION()").unwrap().starts_with(&format!("{major}.{minor}.")));
        let has_schema = server.sql("SELECT @@performance_schema").unwrap();
        assert_eq!(has_schema, if server.has_performance_schema() { "1" } else { "0" });
        assert_eq!(server.sql("SELECT @@max_connections, @@local_infile").unwrap(), "200\t1");
    }
    if let Some(mysql) = shared(Which::MySql) {
        assert_eq!((mysql.kind(), mysql.version().0), (Kind::MySql, 9));
    }
}

#[test]
fn accounts_of_every_plugin_need_their_password() {
    for server in servers() {
        for &plugin in server.plugins() {
            let account = server.user(plugin).unwrap();
            for encryption in [Encryption::Off, Encryption::On] {
                let endpoint = server.endpoint(&account).encrypted(encryption);
                // The distribution's clients do not know parsec.
                let client = Client::newer(&endpoint).unwrap();
                let said = client.query("SELECT CURRENT_USER(), DATABASE()").unwrap();
                assert_eq!(said, format!("{}\t{}", account.current_user(), account.name), "{plugin:?}");
                if plugin != Plugin::Nothing {
                    let stranger = Endpoint { password: Some("wrong".to_owned()), ..endpoint.clone() };
                    let said = Client::newer(&stranger).unwrap().refusal().unwrap();
                    assert!(said.contains("1045"), "{plugin:?} {said}");
                }
            }
            let socket = server.endpoint(&account).over_socket(server.socket());
            let said = Client::newer(&socket).unwrap().query("SELECT CURRENT_USER()").unwrap();
            assert_eq!(said, account.current_user(), "{plugin:?} over a Unix socket");
        }
    }
}

#[test]
fn the_network_is_no_way_in_for_the_administrator() {
    for server in servers() {
        let account = server.user(Plugin::Nothing).unwrap();
        let root = Endpoint { user: "root".to_owned(), database: None, ..server.endpoint(&account) };
        let said = Client::new(&root).unwrap().refusal().unwrap();
        assert!(said.contains("1045") || said.contains("1130"), "{said}");
    }
}

#[test]
fn newer_clients_of_mariadb_want_encryption_unless_told_otherwise() {
    let plaintext = Which::Distribution.start(&Options::default()).unwrap().unwrap();
    let account = plaintext.user(Plugin::NativePassword).unwrap();
    let endpoint = plaintext.endpoint(&account).encrypted(Encryption::Unsaid);
    let said = Client::newer(&endpoint).unwrap().refusal().unwrap();
    assert!(said.contains("2026") && said.contains("SSL is required"), "{said}");
    let socket = endpoint.clone().over_socket(plaintext.socket());
    let said = Client::newer(&socket).unwrap().refusal().unwrap();
    assert!(said.contains("2026"), "on a Unix socket, too: {said}");
    // They insist for the password's sake: without one there is a warning. The older ones never mind.
    let nobody = plaintext.endpoint(&plaintext.user(Plugin::Nothing).unwrap()).encrypted(Encryption::Unsaid);
    let finished = Client::newer(&nobody).unwrap().run("SELECT 'connected'").unwrap();
    assert_eq!(finished.stdout, "connected\n", "{finished}");
    assert!(finished.stderr.contains("--ssl-verify-server-cert is disabled"), "{finished}");
    Client::new(&endpoint.clone().encrypted(Encryption::Off)).unwrap().query("SELECT 1").unwrap();
    Client::newer(&endpoint.clone().encrypted(Encryption::Off)).unwrap().query("SELECT 1").unwrap();
}

#[test]
fn a_password_that_mysql_has_seen_is_forgotten_when_it_restarts_or_is_flushed() {
    let Some(server) = Which::MySql.start(&Options::with_tls()).unwrap() else { return };
    let endpoint = usual(&server);
    let client = |encryption| Client::mysql(&endpoint.clone().encrypted(encryption)).unwrap();
    // In clear and without the server's key only a password that was seen before gets in.
    let assert_forgotten = || {
        let said = client(Encryption::Off).refusal().unwrap();
        assert!(said.contains("2061"), "{said}");
    };
    let assert_known = || {
        client(Encryption::On).query("SELECT 1").unwrap();
        client(Encryption::Off).query("SELECT 1").unwrap();
    };
    assert_forgotten();
    assert_known();
    server.sql("FLUSH PRIVILEGES").unwrap();
    assert_forgotten();
    client(Encryption::Off).with(&["--get-server-public-key"]).query("SELECT 1").unwrap();
    assert_known();
    server.restart().unwrap();
    assert_forgotten();
}

#[test]
fn a_server_that_was_killed_comes_back_on_its_port() {
    let server = Which::Distribution.start(&Options::default()).unwrap().unwrap();
    let endpoint = usual(&server);
    let client = Client::new(&endpoint).unwrap();
    client.query("CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7);").unwrap();
    server.kill().unwrap();
    assert!(client.refusal().unwrap().contains("2002"), "nobody listens");
    server.resume().unwrap();
    assert_eq!(client.query("SELECT n FROM kept").unwrap(), "7");
    assert!(server.log().contains("ready for connections"), "{}", server.log());
}

#[test]
fn half_a_handshake_is_counted_by_the_server() {
    use std::io::Read;
    for server in servers() {
        let before = server.status("Aborted_connects").unwrap();
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        assert_eq!(stream.read(&mut [0; 4]).unwrap(), 4, "it greets first");
        drop(stream);
        tests::wait::until("the server notices", || server.status("Aborted_connects").unwrap() > before);
    }
}

#[test]
fn tools_do_their_work() {
    for server in servers() {
        let endpoint = usual(server).encrypted(Encryption::On);
        let clients = [Client::new(&endpoint).unwrap(), Client::newer(&endpoint).unwrap()];
        let own = (server.kind() == Kind::MySql).then(|| Client::mysql(&endpoint).unwrap());
        for client in clients.into_iter().chain(own) {
            let database = endpoint.database.as_deref().unwrap();
            client
                .query("DROP TABLE IF EXISTS kept; CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)")
                .unwrap();
            let dump = client.tool(Tool::Dump, &["--no-tablespaces", database]).unwrap();
            assert!(dump.contains("INSERT INTO `kept` VALUES"), "{dump}");
            assert!(client.tool(Tool::Admin, &["ping"]).unwrap().contains("alive"));
            let load = [
                "--query=SELECT 1",
                "--concurrency=4",
                "--number-of-queries=100",
                "--create-schema",
                database,
            ];
            client.tool(Tool::Slap, &[&load[..], &["--no-drop"]].concat()).unwrap();
        }
    }
}

#[test]
fn sysbench_makes_a_load() {
    for server in servers() {
        let endpoint = usual(server);
        Client::newer(&endpoint).unwrap().query("SELECT 1").unwrap();
        for mode in ["auto", "disable"] {
            let said: Vec<String> = ["prepare", "run", "cleanup"]
                .into_iter()
                .map(|step| {
                    let mut command = sysbench(&endpoint);
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
    }
}

#[test]
fn clients_compress() {
    for server in servers() {
        let endpoint = usual(server);
        let status = "SHOW STATUS LIKE 'Compression'";
        for client in [Client::new(&endpoint).unwrap(), Client::newer(&endpoint).unwrap()] {
            assert_eq!(client.clone().query(status).unwrap(), "Compression\tOFF");
            assert_eq!(client.with(&["--compress"]).query(status).unwrap(), "Compression\tON");
        }
        if server.kind() == Kind::MySql {
            for algorithm in ["zlib", "zstd"] {
                let option = format!("--compression-algorithms={algorithm}");
                let client = Client::mysql(&endpoint).unwrap().with(&[&option]);
                let said = client.query("SHOW STATUS LIKE 'Compression_algorithm'").unwrap();
                assert_eq!(said, format!("Compression_algorithm\t{algorithm}"));
            }
        }
    }
}

/// Everything on every server; and as an account of every plugin that the driver knows, that it gets in: over TLS, or
/// in clear where the password then goes another way, encrypted with the server's key.
#[track_caller]
fn drive(name: &str) {
    let driver = drivers::ALL.iter().find(|driver| driver.name == name).unwrap();
    for server in servers() {
        let done = driver.drive(&usual(server), &driver.cannot_do_on(server));
        done.unwrap_or_else(|failure| panic!("{:?} {failure}", server.version()));
        log_in(driver, server);
    }
}

#[track_caller]
fn log_in(driver: &Driver, server: &Server) {
    let others: Vec<&str> = driver.steps.iter().copied().filter(|step| *step != "user").collect();
    for &plugin in server.plugins().iter().filter(|plugin| driver.plugins.contains(&plugin.name())) {
        let account = server.user(plugin).unwrap();
        let has_key = matches!(plugin, Plugin::CachingSha2Password | Plugin::Sha256Password);
        let encryption = if has_key && driver.speaks_rsa { Encryption::Off } else { Encryption::On };
        let endpoint = server.endpoint(&account).encrypted(encryption);
        let done = driver.drive(&endpoint, &others);
        done.unwrap_or_else(|failure| panic!("{:?} {plugin:?} {encryption:?}: {failure}", server.version()));
    }
}

#[test]
fn every_driver_has_a_test() {
    let driven = [
        "PyMySQL",
        "mysql-connector-python",
        "mysql-connector-python in C",
        "aiomysql",
        "mysql2",
        "go-sql-driver",
        "MySQL Connector/J",
        "MariaDB Connector/J",
    ];
    assert_eq!(drivers::ALL.iter().map(|driver| driver.name).collect::<Vec<_>>(), driven);
}

#[test]
fn mysql_async_directly() {
    for server in servers() {
        let without = Without { attributes: !server.has_performance_schema(), ..Without::default() };
        // It has no TLS here: MySQL must have seen the password before.
        let endpoint = usual(server);
        Client::newer(&endpoint).unwrap().query("SELECT 1").unwrap();
        mysql_async_driver::drive(&endpoint, without);
    }
}

#[test]
fn pymysql_directly() {
    drive("PyMySQL");
}

#[test]
fn mysql_connector_python_directly() {
    drive("mysql-connector-python");
}

#[test]
fn mysql_connector_python_in_c_directly() {
    drive("mysql-connector-python in C");
}

#[test]
fn aiomysql_directly() {
    drive("aiomysql");
}

#[test]
fn mysql2_directly() {
    drive("mysql2");
}

#[test]
fn go_sql_driver_directly() {
    drive("go-sql-driver");
}

#[test]
fn mysql_connector_j_directly() {
    drive("MySQL Connector/J");
}

#[test]
fn mariadb_connector_j_directly() {
    drive("MariaDB Connector/J");
}
