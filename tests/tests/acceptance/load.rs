//! pgbench in each of its modes, with several clients at once.

use std::process::Command;

use tests::broker::{Listen, pg};
use tests::postgres::{Installation, Login, Major, shared};
use tests::process;
use tests::psql::clean;

use crate::support::broker;

#[track_caller]
fn pgbench(listen: &Listen, login: &Login, arguments: &[&str]) -> String {
    let (host, port) = listen.host_and_port();
    let mut command = Command::new(Installation::of_distribution().unwrap().program("pgbench"));
    clean(&mut command).args(arguments).args(["--host", &host, "--port", &port, "--username", "anybody"]);
    let finished = process::run(command.arg(&login.name)).unwrap();
    assert!(finished.status.success(), "{arguments:?}: {finished}");
    finished.to_string()
}

#[test]
fn pgbench_runs_in_each_mode_without_a_failed_transaction() {
    for (major, sslmode, listen) in [
        (Major::Distribution, "disable", Listen::tcp()),
        (Major::Distribution, "require", Listen::unix().unwrap()),
        (Major::Newer, "require", Listen::tcp()),
    ] {
        let cluster = shared(major);
        let login = cluster.user(None).unwrap();
        let service = pg("db", cluster, &login).literal("sslmode", sslmode).listening_on(listen);
        let broker = broker([service.clone()]);
        pgbench(&service.listen, &login, &["--initialize", "--quiet", "--scale=1"]);
        for mode in ["simple", "extended", "prepared"] {
            let protocol = format!("--protocol={mode}");
            let said =
                pgbench(&service.listen, &login, &[&protocol, "--client=8", "--jobs=2", "--transactions=50"]);
            assert!(said.contains("number of transactions actually processed: 400/400"), "{said}");
            // A new connection for each transaction.
            let said = pgbench(
                &service.listen,
                &login,
                &[&protocol, "--connect", "--select-only", "--client=4", "--transactions=10"],
            );
            assert!(said.contains("number of transactions actually processed: 40/40"), "{said}");
        }
        // The same money went through accounts, tellers and branches, or some statement was lost.
        let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers)
            AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)";
        assert_eq!(cluster.sql_in(&login.name, sums).unwrap(), "t");
        drop(broker);
    }
}
