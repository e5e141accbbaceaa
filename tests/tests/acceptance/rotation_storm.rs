//! A password that changes every second while many clients connect, and none of them notices.
//!
//! The Go broker fails 378 of 2,125 such connects in fifteen changes.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::broker::{Broker, File, Listen, Service, Value, mysql, pg};
use tests::failure::{Doing, Result};
use tests::mysql::wire::Wire as MysqlWire;
use tests::mysql::{Options as MariaDbOptions, Plugin, Which};
use tests::postgres::{Cluster, Major, Options};
use tests::wire::Wire;

use crate::support::started;

/// Clients that connect at the same time.
const CLIENTS: usize = 64;

/// So often it changes at least: each order twice.
const CHANGES_MIN: usize = 6;

/// How often the password changes.
const PERIOD: Duration = Duration::from_secs(1);

/// Once the broker learns of a change by a refusal alone, and once it sees each in the store, before the server or after it.
const LEARNING: [&str; 2] = ["refresh: off", "refresh: 50ms"];

#[test]
fn clients_of_postgresql_connect_through_changes_and_notice_nothing() {
    for learning in LEARNING {
        let installation = Major::Distribution.installation().unwrap();
        // Sessions that have ended count for a moment.
        let settings = vec!["max_connections = 300".to_owned(), "fsync = off".to_owned()];
        let cluster = Cluster::start(&installation, &Options { settings, ..Options::default() }).unwrap();
        let login = cluster.user(None).unwrap();
        let service = pg("db", &cluster, &login).literal("sslmode", "disable").line(learning);
        let listen = service.listen.clone();
        let changes = storm(
            service,
            &login.password,
            &|| connect(&listen, &login.name).doing("connect"),
            &|password| cluster.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", login.name)).map(drop),
        );
        let words = format!("password authentication failed for user \"{}\"", login.name);
        let refused = cluster.log().lines().filter(|line| line.contains(&words)).count();
        // Those in flight at a change cannot be called back.
        assert!(refused < changes * (CLIENTS + 2), "{refused} refused logins in {changes} changes");
        #[expect(
            clippy::print_stdout,
            reason = "the figures of the long run, which the harness keeps to itself otherwise"
        )]
        {
            let connects = connects();
            println!(
                "{learning}: {connects} connects, {changes} changes, {refused} logins that the server refused"
            );
        }
    }
}

#[test]
fn clients_of_mariadb_connect_through_changes_and_notice_nothing() {
    let server = Which::Distribution.start(&MariaDbOptions::default()).unwrap().unwrap();
    for learning in LEARNING {
        let account = server.user(Plugin::NativePassword).unwrap();
        let service = mysql("db", &server, &account).literal("sslmode", "disable").line(learning);
        let listen = service.listen.clone();
        storm(
            service,
            &account.password,
            &|| {
                let mut wire = MysqlWire::session(&listen, &account.name)?;
                // COM_QUIT.
                wire.send(0, &[1])
            },
            &|password| {
                let alter = format!("ALTER USER {}@'%' IDENTIFIED BY '{password}'", account.name);
                server.sql(&alter).map(drop)
            },
        );
    }
}

fn connect(listen: &Listen, database: &str) -> io::Result<()> {
    let mut wire = Wire::connect(listen)?;
    wire.log_in(database)?;
    wire.send(&[b'X', 0, 0, 0, 4])
}

/// So many connects, or as many as the variable says: the long test makes 100,000.
fn connects() -> usize {
    std::env::var("ROTATION_CONNECTS").map_or(5_000, |number| number.parse().expect("a number"))
}

/// Lets many clients connect to `service`, whose password changes all the time: how often it has changed.
#[track_caller]
fn storm(
    service: Service,
    first: &str,
    connect: &(dyn Fn() -> Result<()> + Sync),
    alter: &(dyn Fn(&str) -> Result<()> + Sync),
) -> usize {
    let mut file = File::new().unwrap();
    let password = file.secret("password", first).unwrap();
    file.providers.push("reader: {type: command, run: [cat]}".to_owned());
    file.services.push(service.credential("password", Value::From("reader", password.display().to_string())));
    let broker = started(Broker::start(&file));

    let connects = connects();
    let (taken, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (is_over, changed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let done = || taken.load(Ordering::Relaxed);
    let changes = thread::scope(|scope| {
        let changes = scope.spawn(|| change_every_second(alter, &password, &done, (&is_over, &changed)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    // A fast server is done before much has changed.
                    while taken.fetch_add(1, Ordering::Relaxed) < connects
                        || changed.load(Ordering::Relaxed) < CHANGES_MIN
                    {
                        if let Err(error) = connect() {
                            failures.lock().unwrap().push(error.to_string());
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        changes.join().unwrap()
    });
    assert_eq!(failures.into_inner().unwrap(), [""; 0], "{changes} changes\n{}", broker.said());
    assert!(!broker.said().contains(first), "{}", broker.said());
    changes
}

/// Changes the password in the store first, in the server first, and in both at once, with up to half a second in between.
/// A machine that has too much to do gets a change only for every other connect of each client.
fn change_every_second(
    alter: &(dyn Fn(&str) -> Result<()> + Sync),
    store: &Path,
    done: &(dyn Fn() -> usize + Sync),
    (is_over, changed): (&AtomicBool, &AtomicUsize),
) -> usize {
    let mut round = 0;
    let mut at = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let next = format!("a-password-for-round-{round}");
        let in_store = || {
            let beside = store.with_extension("next");
            fs::write(&beside, &next).and_then(|()| fs::rename(&beside, store)).unwrap();
        };
        let in_server = || alter(&next).unwrap();
        let done_before = done();
        let gap = Duration::from_millis(round as u64 * 179 % 501);
        match round % 3 {
            0 => {
                in_store();
                thread::sleep(gap);
                in_server();
            }
            1 => {
                in_server();
                thread::sleep(gap);
                in_store();
            }
            _ => thread::scope(|scope| {
                scope.spawn(in_server);
                in_store();
            }),
        }
        round += 1;
        changed.store(round, Ordering::Relaxed);
        at = (at + PERIOD).max(Instant::now());
        while !is_over.load(Ordering::Relaxed) && (Instant::now() < at || done() < done_before + 2 * CLIENTS)
        {
            thread::sleep(Duration::from_millis(5));
        }
    }
    round
}
