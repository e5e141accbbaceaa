//! Drivers of several languages do their everyday work through the broker, without a password.
//!
//! Each program under `tests/drivers` prints a line for each step that gave what it must; that it did all of
//! them is checked here.

use std::process::Command;

use tests::broker::{Broker, File, Listen, pg};
use tests::obtain;
use tests::postgres::{Login, Major, shared};
use tests::process;
use tests::psql::clean;

/// Runs a driver's program against `listen` and checks that it did these steps.
#[track_caller]
fn drive(command: &mut Command, listen: &Listen, login: &Login, steps: &[&str]) {
    let (host, port) = listen.host_and_port();
    clean(command)
        .env("PGHOST", host)
        .env("PGPORT", port)
        .env("PGUSER", "nobody-in-particular")
        .env("PGDATABASE", &login.name)
        .env("PGSSLMODE", "disable")
        .env("EXPECTED_USER", &login.name);
    let finished = process::run(command).unwrap();
    assert!(finished.status.success(), "{finished}");
    let expected: String = steps.iter().map(|step| format!("ok: {step}\n")).collect();
    assert_eq!(finished.stdout, expected, "{finished}");
}

/// Through a broker of its own, to PostgreSQL of both majors, with TLS to the newer one.
#[track_caller]
fn drive_through_broker(command: impl Fn() -> Command, steps: &[&str]) {
    for major in Major::ALL {
        let cluster = shared(major);
        let login = cluster.user(None).unwrap();
        let mut service = pg("db", cluster, &login);
        if major == Major::Newer {
            service = service.literal("sslmode", "require");
        }
        let listen = service.listen.clone();
        let broker = Broker::start(&File::with([service]).unwrap()).unwrap();
        drive(&mut command(), &listen, &login, steps);
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
    }
}

#[test]
fn asyncpg_does_its_work() {
    let command = || {
        let mut command = Command::new(obtain::python().unwrap());
        command.arg(obtain::drivers().join("python/with_asyncpg.py"));
        command
    };
    let steps = [
        "user",
        "prepared",
        "pipeline",
        "error",
        "transaction",
        "copy",
        "large",
        "notify",
        "cancel",
        "concurrent",
    ];
    drive_through_broker(command, &steps);
}

#[test]
fn psycopg2_does_its_work() {
    let command = || {
        let mut command = Command::new(obtain::python().unwrap());
        command.arg(obtain::drivers().join("python/with_psycopg2.py"));
        command
    };
    let steps = ["user", "transaction", "cursor", "copy", "large object", "notify", "cancel", "concurrent"];
    drive_through_broker(command, &steps);
}

#[test]
fn node_postgres_does_its_work() {
    let command = || {
        let (program, packages) = obtain::node_driver().unwrap();
        let mut command = Command::new("node");
        command.arg(program).arg(packages);
        command
    };
    drive_through_broker(
        command,
        &["user", "prepared", "error", "transaction", "large", "notify", "concurrent"],
    );
}

#[test]
fn pgx_does_its_work() {
    let command = || {
        let mut command = Command::new(obtain::go_driver().unwrap());
        command.arg("pgx");
        command
    };
    let steps = ["user", "prepared", "pipeline", "error", "copy", "large", "notify", "cancel", "concurrent"];
    drive_through_broker(command, &steps);
}

#[test]
fn lib_pq_does_its_work() {
    let command = || {
        let mut command = Command::new(obtain::go_driver().unwrap());
        command.arg("pq");
        command
    };
    drive_through_broker(command, &["user", "prepared", "error", "cancel"]);
}
