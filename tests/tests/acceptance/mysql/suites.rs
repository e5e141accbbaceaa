//! The tests that PyMySQL and aiomysql have of their own give through the broker what they give directly.

use tests::broker::mysql;
use tests::mysql::suites::{Suite, administrator, differences};
use tests::mysql::{Account, Endpoint, Options, Plugin, Server, Which};

use super::unix;
use crate::support::broker;

/// Runs a suite directly and through the broker, and compares test by test.
#[track_caller]
fn compare(server: &Server, suite: Suite, over_socket: bool) {
    let direct = administrator(server).unwrap();
    let account = Account {
        name: direct.user.clone(),
        password: direct.password.clone().unwrap(),
        plugin: Plugin::usual(server.kind()),
    };
    let mut service = mysql("db", server, &account)
        .literal("sslmode", "disable")
        .line("config: {allowPublicKeyRetrieval: true}");
    if over_socket {
        service = service.listening_on(unix());
    }
    let through = Endpoint { listen: service.listen.clone(), ..direct.clone() };
    let direct = if over_socket { direct.over_socket(server.socket()) } else { direct };
    let broker = broker([service]);
    let expected = suite.run(&direct).unwrap();
    let found = suite.run(&through).unwrap();
    assert!(expected.values().filter(|end| *end == "PASSED").count() > 100, "{expected:#?}");
    assert_eq!(differences(&expected, &found), [""; 0], "{}", broker.said());
    assert!(broker.stop().unwrap().success(), "{}", broker.said());
}

#[test]
fn pymysqls_own_tests_see_no_difference() {
    for which in Which::ALL {
        let Some(server) = which.start(&Options::with_tls()).unwrap() else { continue };
        compare(&server, Suite::PyMySql, false);
    }
}

#[test]
fn aiomysqls_own_tests_see_no_difference() {
    let server = Which::Distribution.start(&Options::default()).unwrap().unwrap();
    compare(&server, Suite::AioMySql, true);
}
