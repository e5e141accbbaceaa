"""Drives mysql-connector-python: the argument is "pure" or "c"; see mysql_steps.py."""

import sys
import tempfile
import threading

PURE = sys.argv[1] == "pure"
if not PURE:
    # Before anything loads the system's libssl: the wheel has a newer one, which this needs and others get on with.
    import _mysql_connector  # noqa: F401

import mysql.connector

from mysql_steps import (
    ATTRIBUTES,
    EXPECTED_USER,
    LARGE,
    LINES,
    NAME,
    PASSWORD,
    SLEEPING,
    TLS,
    USER,
    failed,
    place,
    run,
    step,
    want,
    write_lines,
)


def connect(**more):
    return mysql.connector.connect(
        user=USER,
        password=PASSWORD,
        database=NAME,
        use_pure=PURE,
        ssl_disabled=not TLS,
        allow_local_infile=True,
        conn_attrs={"program_name": "driven"},
        **{**place(), **more},
    )


def value(conn, sql, parameters=(), **options):
    cursor = conn.cursor(**options)
    cursor.execute(sql, parameters)
    row = cursor.fetchone()
    cursor.close()
    return row[0]


@step("user")
def _(conn):
    want("user", value(conn, "SELECT CURRENT_USER()"), EXPECTED_USER)


@step("database")
def _(conn):
    want("database", value(conn, "SELECT DATABASE()"), NAME)


@step("prepared")
def _(conn):
    cursor = conn.cursor(prepared=True)
    for n in range(3):
        cursor.execute("SELECT ? * 2, CAST(? AS CHAR)", (n, f"é{n}"))
        want("doubled", tuple(cursor.fetchone()), (2 * n, f"é{n}"))
    cursor.close()


@step("error")
def _(conn):
    try:
        value(conn, "SELECT * FROM nowhere")
        failed("a table that is not there")
    except mysql.connector.ProgrammingError as error:
        want("code", (error.errno, error.sqlstate), (1146, "42S02"))
    want("after it", value(conn, "SELECT 1"), 1)


@step("transaction")
def _(conn):
    conn.cmd_query("CREATE TABLE connector_rows (n INT)")
    conn.start_transaction()
    conn.cmd_query("INSERT INTO connector_rows VALUES (1), (2)")
    conn.rollback()
    want("after the rollback", value(conn, "SELECT COUNT(*) FROM connector_rows"), 0)


@step("multi")
def _(conn):
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2, 3; DO 0; SELECT 4")
        rows = []
        while True:
            if cursor.with_rows:
                rows.append(cursor.fetchall())
            if not cursor.nextset():
                break
    want("results", rows, [[(1,)], [(2, 3)], [(4,)]])


@step("large")
def _(conn):
    large = "0123456789abcdef" * (LARGE // 16)
    want("a large value came back", value(conn, "SELECT %s", (large,)) == large, True)
    # Only the way there: it cannot read a row of more than a packet in the binary protocol.
    want("prepared, too", value(conn, "SELECT LENGTH(?)", (large,), prepared=True), LARGE)


@step("infile")
def _(conn):
    with tempfile.TemporaryDirectory() as directory:
        path = write_lines(directory)
        conn.cmd_query("CREATE TABLE connector_lines (n INT, words TEXT)")
        conn.cmd_query(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE connector_lines")
    conn.commit()
    want("lines", value(conn, "SELECT COUNT(*) FROM connector_lines"), LINES)


@step("change user")
def _(conn):
    other = connect()
    other.cmd_query("SET @kept = 1")
    other.cmd_change_user(USER, PASSWORD, NAME)
    want("user", value(other, "SELECT CURRENT_USER()"), EXPECTED_USER)
    want("what the session had", value(other, "SELECT @kept"), None)
    other.close()


@step("reset")
def _(conn):
    other = connect()
    pid = other.connection_id
    other.cmd_query("SET @kept = 1")
    other.cmd_reset_connection()
    want("what the session had", value(other, "SELECT @kept"), None)
    want("same session", value(other, "SELECT CONNECTION_ID()"), pid)
    other.close()


@step("kill")
def _(conn):
    other = connect()
    outcome = []

    def sleep():
        try:
            outcome.append(value(other, "SELECT SLEEP(600)"))
        except mysql.connector.Error as error:
            outcome.append(error.errno)

    pid = other.connection_id
    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    while not value(conn, SLEEPING % pid):
        pass
    conn.cmd_query(f"KILL QUERY {pid}")
    sleeper.join()
    want("killed", outcome[0] in (1, 1317), True)  # MySQL's SLEEP gives 1 when it is cut short
    want("after it", value(other, "SELECT 1"), 1)
    other.close()


@step("attributes")
def _(conn):
    with conn.cursor() as cursor:
        cursor.execute(ATTRIBUTES)
        attributes = dict(cursor.fetchall())
    want("program_name", attributes.get("program_name"), "driven")


@step("compression")
def _(_conn):
    compressed = connect(compress=True)
    want("compressed", value(compressed, "SELECT REPEAT('z', 5000000)"), "z" * 5_000_000)
    cursor = compressed.cursor()
    cursor.execute("SHOW STATUS LIKE 'Compression'")
    want("the server says so", cursor.fetchone()[1], "ON")
    cursor.close()
    compressed.close()


@step("concurrent")
def _(_conn):
    many = [connect() for _ in range(20)]
    want("all answer", [value(one, "SELECT %s", (n,)) for n, one in enumerate(many)], list(range(20)))
    for one in many:
        one.close()


connection = connect()
run(connection)
connection.close()
