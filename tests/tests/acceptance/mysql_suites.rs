//! The tests that PyMySQL and aiomysql have of their own, *directly*: what they make of a server without the broker is
//! what they must make of it with the broker, test by test.

use tests::mysql::suites::{Outcomes, Suite, administrator, differences};
use tests::mysql::{Options, Which};

/// Almost all pass. A few do not, with no broker anywhere: they want another release of the server or of a library,
/// or the system's own accounts.
#[track_caller]
fn assert_almost_all_pass(outcomes: &Outcomes, passed_min: usize) {
    let passed = outcomes.values().filter(|end| *end == "PASSED").count();
    assert!(passed >= passed_min, "{outcomes:#?}");
    let failed: Vec<_> =
        outcomes.iter().filter(|(_, end)| ["FAILED", "ERROR"].contains(&end.as_str())).collect();
    assert!(failed.len() <= 3, "{failed:#?}");
}

#[test]
fn pymysqls_own_tests_directly() {
    for which in Which::ALL {
        let Some(server) = which.start(&Options::with_tls()).unwrap() else { continue };
        let endpoint = administrator(&server).unwrap();
        let outcomes = Suite::PyMySql.run(&endpoint).unwrap();
        assert_almost_all_pass(&outcomes, 150);
        if which == Which::Distribution {
            let again = Suite::PyMySql.run(&endpoint).unwrap();
            assert_eq!(differences(&outcomes, &again), [""; 0], "a second run on the same server");
        }
    }
}

#[test]
fn aiomysqls_own_tests_directly() {
    let server = Which::Distribution.start(&Options::default()).unwrap().unwrap();
    // Over TCP it insists on TLS, which no client of a broker has.
    let endpoint = administrator(&server).unwrap().over_socket(server.socket());
    assert_almost_all_pass(&Suite::AioMySql.run(&endpoint).unwrap(), 130);
}
