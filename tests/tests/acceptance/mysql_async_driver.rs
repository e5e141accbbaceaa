//! The driver mysql_async does its everyday work at an endpoint: a server, or the broker in front of one.

use std::path::Path;

use mysql_async::prelude::Queryable;
use mysql_async::{
    ChangeUserOpts, Compression, Conn, Error, Opts, OptsBuilder, Pool, Row, TxOpts, Value, WhiteListFsHandler,
};
use tests::broker::Listen;
use tests::mysql::Endpoint;
use tests::{places, wait};

/// More than a packet holds, so it comes in several.
const LARGE: usize = 20 << 20;

/// What may be left out, for a server or a broker that does not have it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Without {
    /// The performance schema, in which connection attributes are seen.
    pub(crate) attributes: bool,
    /// Another login on the same connection.
    pub(crate) change_user: bool,
    /// Compressed packets.
    pub(crate) compression: bool,
}

/// Does everything but what `without` says, in clear.
///
/// # Panics
/// If something is not as it must be.
#[track_caller]
pub(crate) fn drive(endpoint: &Endpoint, without: Without) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async { tokio::time::timeout(wait::GENEROUS, everything(endpoint, without)).await.unwrap() };
    runtime.block_on(work).unwrap();
}

fn options(endpoint: &Endpoint, file: &Path) -> OptsBuilder {
    let options = OptsBuilder::default()
        .user(Some(&endpoint.user))
        .pass(endpoint.password.as_ref())
        .db_name(endpoint.database.as_ref())
        // Else it asks for the server's Unix socket and goes there, past whoever is in between.
        .prefer_socket(false)
        .connect_attribute("program_name", "driven")
        .local_infile_handler(Some(WhiteListFsHandler::new([file.to_owned()])));
    match &endpoint.listen {
        Listen::Tcp(port) => options.ip_or_hostname("127.0.0.1").tcp_port(*port),
        Listen::Unix(path) => options.socket(path.to_str()),
    }
}

async fn everything(endpoint: &Endpoint, without: Without) -> Result<(), Error> {
    let file = places::fresh("lines").unwrap().join("lines.txt");
    let lines: String = (0..1000).map(|n| format!("{n}\t{}\n", "x".repeat(n % 100))).collect();
    std::fs::write(&file, lines).unwrap();
    let options = options(endpoint, &file);
    let mut conn = Conn::new(options.clone()).await?;

    assert_eq!(one::<String>(&mut conn, "SELECT CURRENT_USER()").await?, endpoint.expected_user);
    assert_eq!(conn.query_first::<Option<String>, _>("SELECT DATABASE()").await?.unwrap(), endpoint.database);

    let double = conn.prep("SELECT ? * 2, CAST(? AS CHAR)").await?;
    for n in 0..3_i64 {
        let row: Option<(i64, String)> = conn.exec_first(&double, (n, format!("é{n}"))).await?;
        assert_eq!(row, Some((2 * n, format!("é{n}"))));
    }

    let refused = conn.query_drop("SELECT * FROM nowhere").await.expect_err("there is no such table");
    assert!(matches!(&refused, Error::Server(error) if error.code == 1146), "{refused}");

    conn.query_drop("CREATE TABLE rust_rows (n INT, words TEXT)").await?;
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    transaction.query_drop("INSERT INTO rust_rows VALUES (1, ''), (2, '')").await?;
    transaction.rollback().await?;
    assert_eq!(one::<u64>(&mut conn, "SELECT COUNT(*) FROM rust_rows").await?, 0);

    let mut results = conn.query_iter("SELECT 1; SELECT 2; DO 0; SELECT 3").await?;
    let mut values = Vec::new();
    while !results.is_empty() {
        values.extend(results.collect::<u64>().await?);
    }
    drop(results);
    assert_eq!(values, [1, 2, 3]);

    let large = "0123456789abcdef".repeat(LARGE / 16);
    let back: Option<String> = conn.exec_first("SELECT ?", (&large,)).await?;
    assert!(back.is_some_and(|back| back == large), "a large value comes back");
    let back: String = one(&mut conn, &format!("SELECT '{large}'")).await?;
    assert!(back == large, "and as text");

    conn.query_drop(format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE rust_rows", file.display())).await?;
    assert_eq!(conn.affected_rows(), 1000);

    let mut other = Conn::new(options.clone()).await?;
    kill(&mut conn, &mut other).await?;
    let id = other.id();
    other.query_drop("SET @kept = 1").await?;
    assert!(other.reset().await?, "it knows COM_RESET_CONNECTION");
    assert_eq!(one::<Value>(&mut other, "SELECT @kept").await?, Value::NULL);
    assert_eq!(other.id(), id);
    if !without.change_user {
        other.query_drop("SET @kept = 1").await?;
        other.change_user(ChangeUserOpts::default()).await?;
        assert_eq!(one::<String>(&mut other, "SELECT CURRENT_USER()").await?, endpoint.expected_user);
        assert_eq!(one::<Value>(&mut other, "SELECT @kept").await?, Value::NULL);
    }
    other.disconnect().await?;

    if !without.attributes {
        let seen = "SELECT attr_value FROM performance_schema.session_connect_attrs \
                    WHERE processlist_id = CONNECTION_ID() AND attr_name = 'program_name'";
        assert_eq!(one::<String>(&mut conn, seen).await?, "driven");
    }
    if !without.compression {
        let compressed = options.clone().compression(Compression::default());
        let mut compressed = Conn::new(compressed).await?;
        assert_eq!(
            one::<String>(&mut compressed, "SELECT REPEAT('z', 5000000)").await?,
            "z".repeat(5_000_000)
        );
        let status: Option<(String, String)> =
            compressed.query_first("SHOW STATUS LIKE 'Compression'").await?;
        assert_eq!(status.unwrap().1, "ON");
        compressed.disconnect().await?;
    }
    concurrent(options.into()).await?;
    conn.disconnect().await
}

/// Kills the query of `other`, which stays usable.
async fn kill(conn: &mut Conn, other: &mut Conn) -> Result<(), Error> {
    let id = other.id();
    let sleeping = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id} AND info LIKE 'SELECT SLEEP%'"
    );
    let (slept, killed) = tokio::join!(one::<u64>(other, "SELECT SLEEP(600)"), async {
        while one::<u64>(conn, &sleeping).await? == 0 {}
        conn.query_drop(format!("KILL QUERY {id}")).await
    });
    killed?;
    // MySQL's SLEEP gives 1 when it is cut short, MariaDB's an error.
    match slept {
        Ok(cut) => assert_eq!(cut, 1),
        Err(Error::Server(error)) => assert_eq!(error.code, 1317),
        Err(other) => return Err(other),
    }
    assert_eq!(one::<u32>(other, "SELECT CONNECTION_ID()").await?, id);
    Ok(())
}

/// Twenty sessions at once, of a pool that resets each before it is used again.
async fn concurrent(options: Opts) -> Result<(), Error> {
    let pool = Pool::new(options);
    let tasks: Vec<_> = (0..200_u64)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let row: Option<u64> = pool.get_conn().await?.exec_first("SELECT ? + 0", (n,)).await?;
                Ok::<_, Error>(row)
            })
        })
        .collect();
    for (n, task) in (0..200_u64).zip(tasks) {
        assert_eq!(task.await.unwrap()?, Some(n));
    }
    pool.disconnect().await
}

/// The first value of the first row.
async fn one<T: mysql_async::prelude::FromValue>(conn: &mut Conn, sql: &str) -> Result<T, Error> {
    let row: Option<Row> = conn.query_first(sql).await?;
    Ok(row.and_then(|mut row| row.take(0)).unwrap_or_else(|| panic!("{sql:.60} gave nothing")))
}
