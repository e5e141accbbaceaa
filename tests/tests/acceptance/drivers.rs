//! Drivers of several languages do their everyday work through the broker, without a password.
//!
//! Each program under `tests/drivers` prints a line for each step that gave what it must; that it did all of
//! them is checked here.

use std::future::poll_fn;
use std::process::Command;
use std::task::Poll;

use tests::broker::{Broker, File, Listen, pg};
use tests::obtain;
use tests::postgres::{Login, Major, shared};
use tests::process;
use tests::psql::clean;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, NoTls};

/// Runs a driver's program against `listen` with this `sslmode`, and checks that it did these steps.
#[track_caller]
fn drive(command: &mut Command, listen: &Listen, login: &Login, sslmode: &str, steps: &[&str]) {
    let (host, port) = listen.host_and_port();
    clean(command)
        .env("PGHOST", host)
        .env("PGPORT", port)
        .env("PGUSER", "nobody-in-particular")
        .env("PGDATABASE", &login.name)
        .env("PGSSLMODE", sslmode)
        .env("EXPECTED_USER", &login.name);
    let finished = process::run(command).unwrap();
    assert!(finished.status.success(), "{finished}");
    let expected: String = steps.iter().map(|step| format!("ok: {step}\n")).collect();
    assert_eq!(finished.stdout, expected, "{finished}");
}

/// Through a broker of its own, to PostgreSQL of both majors, with TLS to the newer one; then with TLS between the driver
/// and the broker, too.
#[track_caller]
fn drive_through_broker(command: impl Fn() -> Command, steps: &[&str]) {
    drive_with_modes(command, "require", steps);
}

/// The same for a driver that calls TLS without a verified certificate `encrypted`.
#[track_caller]
fn drive_with_modes(command: impl Fn() -> Command, encrypted: &str, steps: &[&str]) {
    let cases = [
        (Major::Distribution, "disable"),
        (Major::Newer, "disable"),
        (Major::Distribution, encrypted),
        (Major::Newer, encrypted),
    ];
    for (major, sslmode) in cases {
        let cluster = shared(major);
        let login = cluster.user(None).unwrap();
        let mut service = pg("db", cluster, &login);
        if major == Major::Newer {
            service = service.literal("sslmode", "require");
        }
        if sslmode != "disable" {
            service = service.line("clientTls: required");
        }
        let listen = service.listen.clone();
        let broker = Broker::start(&File::with([service]).unwrap()).unwrap();
        drive(&mut command(), &listen, &login, sslmode, steps);
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
    let steps = ["user", "prepared", "error", "transaction", "large", "notify", "concurrent"];
    drive_with_modes(command, "no-verify", &steps);
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

#[test]
fn tokio_postgres_does_its_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for major in Major::ALL {
        let cluster = shared(major);
        let login = cluster.user(None).unwrap();
        let service = pg("db", cluster, &login).literal("sslmode", "require");
        let (host, port) = service.listen.host_and_port();
        let broker = Broker::start(&File::with([service]).unwrap()).unwrap();
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(port.parse().unwrap()).user("nobody-in-particular").dbname(&login.name);
        runtime.block_on(async {
            tokio::time::timeout(tests::wait::GENEROUS, drive_tokio_postgres(&config, &login))
                .await
                .unwrap()
                .unwrap();
        });
        assert!(broker.stop().unwrap().success(), "{}", broker.said());
    }
}

async fn drive_tokio_postgres(
    config: &tokio_postgres::Config,
    login: &Login,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let (news_in, mut news) = tokio::sync::mpsc::unbounded_channel();
    let connected = tokio::spawn(async move {
        // What comes unasked is a message of the connection.
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let Ok(AsyncMessage::Notification(notification)) = message {
                let _ = news_in.send(notification.payload().to_owned());
            }
        }
    });

    let user: String = client.query_one("SELECT current_user::text", &[]).await?.get(0);
    assert_eq!(user, login.name);

    // A hundred queries at once: a pipeline of one prepared statement.
    let double = client.prepare("SELECT $1::int * 2").await?;
    let queries: Vec<i32> = (0..100).collect();
    let answers = futures_of(queries.iter().map(async |n| client.query_one(&double, &[n]).await)).await;
    for (n, answer) in queries.iter().zip(answers) {
        assert_eq!(answer?.get::<_, i32>(0), 2 * n);
    }

    let error = client.query_one("SELECT 1/0", &[]).await.expect_err("division by zero");
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));

    client.batch_execute("LISTEN tokio_news; NOTIFY tokio_news, 'hello'").await?;
    assert_eq!(news.recv().await.as_deref(), Some("hello"));

    let token = client.cancel_token();
    let sleep = client.batch_execute("SELECT pg_sleep(600)");
    let (slept, cancelled) = tokio::join!(sleep, async {
        let (other, other_connection) = config.connect(NoTls).await?;
        let other_connected = tokio::spawn(other_connection);
        let sleeping =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'PgSleep'";
        while other.query_one(sleeping, &[]).await?.get::<_, i64>(0) == 0 {}
        drop(other);
        other_connected.await.unwrap()?;
        token.cancel_query(NoTls).await
    });
    cancelled?;
    assert_eq!(slept.expect_err("cancelled").code(), Some(&SqlState::QUERY_CANCELED));

    drop(client);
    connected.await.unwrap();
    Ok(())
}

/// Polls all of them together, so that each query is sent before any is answered.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut done = true;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => done = false,
                }
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
